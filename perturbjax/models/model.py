"""The shape of a model: a pair of pure functions, and the question it answers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from perturbjax.screens.screen import Array, Compendium, Screen
from perturbjax.screens.vocabulary import PADDING

Params = Any
Masks = tuple[Array, ...]


class Query(NamedTuple):
    """Q profiles to predict over one panel of M readouts, as ids of the vocabulary.

    Attributes:
      context: `[Q]`.
      perturbation: `[Q, K]`, padded with -1.
      readout: `[M]`.
    """

    context: Array
    perturbation: Array
    readout: Array


class Model(NamedTuple):
    """A closed-form model.

    Attributes:
      fit: `(compendium, training) -> params`; `training` is one bool `[N]` per screen. Being a
        mask and not a slice, it can be vmapped: all splits are fitted in one call.
      predict: `(params, query) -> [Q, M]`, NaN where the model has no answer.
    """

    fit: Callable[[Compendium, Masks], Params]
    predict: Callable[[Params, Query], jax.Array]


class Sums(NamedTuple):
    """Sums over groups of profiles of one screen, from which means over any union of groups follow.

    Attributes:
      total: `[G, M]`, sum of the measured values.
      number: `[G, M]`, how many were measured.
      readout: ids `[M]`.
    """

    total: jax.Array
    number: jax.Array
    readout: jax.Array


def add_up(values: jax.Array, members: jax.Array, readout: jax.Array) -> Sums:
    """Sums of `values [N, M]` (NaN = not measured) over groups given by `members [G, N]`."""
    measured = ~jnp.isnan(values)
    weights = members.astype(values.dtype)
    return Sums(exact_matmul(weights, jnp.where(measured, values, 0)), exact_matmul(weights, measured), readout)


def mean_over(sums: tuple[Sums, ...], weights: tuple[jax.Array, ...], readout: Array) -> jax.Array:
    """Weighted means `[Q, M]` over the groups of all screens, on the asked panel; NaN where nothing was measured.

    Args:
      sums: one per screen.
      weights: `[Q, G]`, one per screen: which groups count for which query.
      readout: ids `[M]` asked for.
    """
    total = count = jnp.zeros((), sums[0].total.dtype)
    for each, weight in zip(sums, weights, strict=True):
        place, there = columns(each.readout, readout)
        total = total + jnp.where(there, exact_matmul(weight, each.total)[:, place], 0)
        count = count + jnp.where(there, exact_matmul(weight, each.number)[:, place], 0)
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), jnp.nan)


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
    contexts, own = jnp.array(screen.contexts), jnp.asarray(screen.context)
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


def columns(panel: Array, asked: Array) -> tuple[jax.Array, jax.Array]:
    """Where each asked readout stands in a panel: places `[M]` and whether it is there, bool `[1, M]`."""
    order = jnp.argsort(panel)
    place = order[jnp.clip(jnp.searchsorted(panel[order], asked), 0, len(panel) - 1)]
    return place, (panel[place] == asked)[None, :]


def same_combination(asked: Array, known: Array) -> jax.Array:
    """Which asked perturbations `[Q, K]` are which known ones `[N, K']`, bool `[Q, N]`."""
    width = max(asked.shape[1], known.shape[1])
    asked, known = (
        jnp.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=PADDING) for ids in (asked, known)
    )
    return (asked[:, None, :] == known[None, :, :]).all(axis=-1)


def one_hot(ids: Array, size: int, dtype: Any) -> jax.Array:
    """Rows `[Q, size]` with a one at each id."""
    return (ids[:, None] == jnp.arange(size)[None, :]).astype(dtype)


def exact_matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product in the full precision of `a` also where the hardware would round to fewer bits."""
    return jnp.matmul(a, b.astype(a.dtype), precision='highest')
