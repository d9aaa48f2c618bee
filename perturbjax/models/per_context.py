"""Models that are fitted in every context of every screen on its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.model import Query
from perturbjax.models.sums import columns
from perturbjax.screens.screen import Screen


class ContextFits(NamedTuple):
    """One screen's fits, made in each of its contexts on its own.

    Attributes:
      fits: pytree, stacked over the C contexts.
      context: ids.
      readout: ids of the panel.
    """

    fits: Any
    context: Int[jax.Array, ' C']
    readout: Int[jax.Array, ' M']


def fit_contexts(screen: Screen, fit: Callable[[Bool[jax.Array, ' N']], Any]) -> ContextFits:
    """Fits every context of a screen; `fit` is given the mask of the context's profiles."""
    contexts, own = jnp.array(screen.present_contexts), jnp.asarray(screen.context)
    return ContextFits(
        jax.lax.map(lambda context: fit(own == context), contexts), contexts, jnp.asarray(screen.readout)
    )


def predict_contexts(
    screens: tuple[ContextFits, ...],
    query: Query,
    predict: Callable[[Any, Int[jax.Array, ' M']], Float[jax.Array, 'Q M']],
) -> Float[jax.Array, 'Q M']:
    """Predictions by the fit of each query's context; NaN where no screen has that context and readout.

    `predict` is given a fit and the columns of the asked readouts in its panel.
    """
    dtype = jnp.result_type(*jax.tree.leaves(screens[0].fits))
    answers = jnp.full((len(query.context), len(query.readout)), jnp.nan, dtype)
    for each in screens:
        column, there = columns(each.readout, query.readout)

        def answer(answers, context_fit, column=column, there=there):
            context, fit = context_fit
            asked = (query.context == context)[:, None] & there & jnp.isnan(answers)
            return jnp.where(asked, predict(fit, column), answers), None

        answers, _ = jax.lax.scan(answer, answers, (each.context, each.fits))
    return answers
