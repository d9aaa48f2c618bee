"""Means over groups of profiles, from sums that add up over screens with different panels of readouts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Real, Shaped

from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import PADDING


class Sums(NamedTuple):
    """Sums over groups of profiles of one screen, from which means over any union of groups follow.

    Attributes:
      total: sum of the measured values in each of G groups.
      number: how many were measured.
      readout: ids.
    """

    total: Float[jax.Array, 'G M']
    number: Float[jax.Array, 'G M']
    readout: Int[jax.Array, ' M']


def add_up(values: Float[jax.Array, 'N M'], members: Real[jax.Array, 'G N'], readout: Int[jax.Array, ' M']) -> Sums:
    """Sums of values (NaN = not measured) over groups of profiles."""
    measured = ~jnp.isnan(values)
    weights = members.astype(values.dtype)
    return Sums(exact_matmul(weights, jnp.where(measured, values, 0)), exact_matmul(weights, measured), readout)


def mean_over(
    sums: tuple[Sums, ...], weights: tuple[Float[jax.Array, 'Q _G'], ...], readout: Int[Array, ' M']
) -> Float[jax.Array, 'Q M']:
    """Weighted means over the groups of all screens, on the asked panel; NaN where nothing was measured.

    Args:
      sums: one per screen.
      weights: one per screen: which groups count for which query.
      readout: ids asked for.
    """
    total = count = jnp.zeros((), sums[0].total.dtype)
    for each, weight in zip(sums, weights, strict=True):
        column, there = columns(each.readout, readout)
        total = total + jnp.where(there, exact_matmul(weight, each.total)[:, column], 0)
        count = count + jnp.where(there, exact_matmul(weight, each.number)[:, column], 0)
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1), jnp.nan)


def columns(
    panel: Int[Array, ' panel'], asked: Int[Array, ' M']
) -> tuple[Int[jax.Array, ' M'], Bool[jax.Array, '1 M']]:
    """Where each asked readout stands in a panel, and whether it is there."""
    order = jnp.argsort(panel)
    column = order[jnp.clip(jnp.searchsorted(panel[order], asked), 0, len(panel) - 1)]
    return column, (panel[column] == asked)[None, :]


def same_combination(asked: Int[Array, 'Q K'], known: Int[Array, 'N K2']) -> Bool[jax.Array, 'Q N']:
    """Which asked perturbations are which known ones."""
    width = max(asked.shape[1], known.shape[1])
    asked, known = (
        jnp.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=PADDING) for ids in (asked, known)
    )
    return (asked[:, None, :] == known[None, :, :]).all(axis=-1)


def one_hot(ids: Int[Array, ' Q'], size: int, dtype: Any) -> Float[jax.Array, 'Q {size}']:
    """Rows with a one at each id."""
    return (ids[:, None] == jnp.arange(size)[None, :]).astype(dtype)


def exact_matmul(a: Float[Array, 'I J'], b: Shaped[Array, ' J *rest']) -> Float[jax.Array, ' I *rest']:
    """Matrix product in the full precision of `a` also where the hardware would round to fewer bits."""
    return jnp.matmul(a, b.astype(a.dtype), precision='highest')
