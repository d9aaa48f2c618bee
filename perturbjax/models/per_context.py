"""Models that are fitted in every context of every screen on its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from perturbjax.models.model import Query
from perturbjax.models.sums import columns
from perturbjax.screens.screen import Screen


class ContextFits(NamedTuple):
    """One screen's fits, made in each of its contexts on its own.

    Attributes:
      fits: pytree, stacked over the C contexts.
      context: ids `[C]`.
      readout: ids `[M]`, the panel.
    """

    fits: Any
    context: jax.Array
    readout: jax.Array


def fit_contexts(screen: Screen, fit: Callable[[jax.Array], Any]) -> ContextFits:
    """Fits every context of a screen; `fit` is given the mask `[N]` of the context's profiles."""
    contexts, own = jnp.array(screen.present_contexts), jnp.asarray(screen.context)
    return ContextFits(
        jax.lax.map(lambda context: fit(own == context), contexts), contexts, jnp.asarray(screen.readout)
    )


def predict_contexts(
    screens: tuple[ContextFits, ...], query: Query, predict: Callable[[Any, jax.Array], jax.Array]
) -> jax.Array:
    """Predictions `[Q, M]` by the fit of each query's context; NaN where no screen has that context and readout.

    `predict` is given a fit and the places `[M]` of the asked readouts in its panel.
    """
    dtype = jnp.result_type(*jax.tree.leaves(screens[0].fits))
    answers = jnp.full((len(query.context), len(query.readout)), jnp.nan, dtype)
    for each in screens:
        place, there = columns(each.readout, query.readout)

        def answer(answers, context_fit, place=place, there=there):
            context, fit = context_fit
            asked = (query.context == context)[:, None] & there & jnp.isnan(answers)
            return jnp.where(asked, predict(fit, place), answers), None

        answers, _ = jax.lax.scan(answer, answers, (each.context, each.fits))
    return answers
