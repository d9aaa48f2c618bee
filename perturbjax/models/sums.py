"""Means over groups of profiles, from sums that add up over screens with different panels of readouts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Real, Shaped

from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import PADDING

# A table of so many entries, groups x profiles, is not made: sorting and adding up by group take less memory and time.
LARGE_TABLE = 2**20


class Sums(NamedTuple):
    """Sums over groups of profiles of one screen, from which means over any union of groups follow.

    Attributes:
      total: sum of the measured values in each of G groups, each times the weight of its profile.
      number: how many were measured; the sum of their weights.
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


def add_up_groups(
    values: Float[jax.Array, 'N M'],
    group: Int[jax.Array, ' N'],
    num_groups: int,
    readout: Int[jax.Array, ' M'],
    weight: Float[Array, ' N'] | None = None,
) -> Sums:
    """The same where each profile is in one group; a number of a group that is too large is none."""
    measured = ~jnp.isnan(values)
    zero = jnp.zeros((num_groups, values.shape[1]), values.dtype)
    total, number = (
        zero.at[group].add(weighed(each, weight), mode='drop')
        for each in (jnp.where(measured, values, 0), measured.astype(values.dtype))
    )
    return Sums(total, number, readout)


def weighed(rows: Float[jax.Array, ' N *rest'], weight: Float[Array, ' N'] | None) -> Float[jax.Array, ' N *rest']:
    """Each profile's row times its weight; the rows as they are where profiles have none."""
    return rows if weight is None else rows * jnp.asarray(weight).reshape(-1, *[1] * (rows.ndim - 1))


def mean_of(
    sums: tuple[Sums, ...], group: tuple[Int[Array, ' Q'], ...], readout: Int[Array, ' M'], least: float = 0
) -> Float[jax.Array, 'Q M']:
    """As `mean_over`, where one group of each screen counts for each query; with no more than `least`, NaN."""
    total = count = jnp.zeros((), sums[0].total.dtype)
    for each, number in zip(sums, group, strict=True):
        column, there = columns(each.readout, readout)
        total = total + jnp.where(there, each.total[number][:, column], 0)
        count = count + jnp.where(there, each.number[number][:, column], 0)
    return jnp.where(count > least, total / jnp.where(count > least, count, 1), jnp.nan)


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
    asked, known = pad_parts(asked, width), pad_parts(known, width)
    return (asked[:, None, :] == known[None, :, :]).all(axis=-1)


def pad_parts(perturbation: Int[Array, 'Q K'], width: int) -> Int[jax.Array, 'Q {width}']:
    """Perturbations with room for more parts."""
    return jnp.pad(perturbation, ((0, 0), (0, width - perturbation.shape[1])), constant_values=PADDING)


def equal_rows(rows: Int[Array, 'N K']) -> Int[jax.Array, ' N']:
    """A number from 0 on for each row: the same for equal rows, and in lexicographic order."""
    order = jnp.lexsort(jnp.asarray(rows).T[::-1])
    ordered = jnp.asarray(rows)[order]
    is_new = (ordered[1:] != ordered[:-1]).any(axis=1)
    number = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(is_new, dtype=jnp.int32)])
    return jnp.zeros(len(rows), jnp.int32).at[order].set(number)


def one_hot(ids: Int[Array, ' Q'], size: int, dtype: Any) -> Float[jax.Array, 'Q {size}']:
    """Rows with a one at each id."""
    return (ids[:, None] == jnp.arange(size)[None, :]).astype(dtype)


def exact_matmul(a: Float[Array, 'I J'], b: Shaped[Array, ' J *rest']) -> Float[jax.Array, ' I *rest']:
    """Matrix product in the full precision of `a` also where the hardware would round to fewer bits."""
    return jnp.matmul(a, b.astype(a.dtype), precision='highest')
