"""Means over groups of profiles, from sums that add up over screens with different panels of readouts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from perturbjax.screens.screen import Array
from perturbjax.screens.vocabulary import PADDING


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
