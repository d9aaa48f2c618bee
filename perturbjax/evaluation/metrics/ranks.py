"""Ranks of the readouts of a profile, and what follows from them: pure functions of profiles `[..., M]`.

They sort, which on a CPU costs more than all metrics that every run computes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.screens.arrays import Array


def average_ranks(values: Float[Array, '*batch M'], seen: Bool[Array, '*batch M']) -> Float[jax.Array, '*batch M']:
    """The rank of each value among those that are seen, from 1 for the lowest; equal values share their mean rank.

    0 where a value is not seen.
    """
    order, first, last = _runs(values, seen)
    back = jnp.argsort(order, axis=-1)
    return jnp.where(seen, jnp.take_along_axis((first + last) / 2 + 1, back, axis=-1), 0)


def roc_auc(
    score: Float[Array, '*batch M'], truth: Bool[Array, '*batch M'], seen: Bool[Array, '*batch M']
) -> Float[jax.Array, '*batch']:
    """The area under the ROC curve: how often a true readout has the higher score of a true and a false one.

    A tie is half of one. 0 to 1, higher is better, chance is 0.5. NaN if no readout that is seen is true, or all are.
    """
    true = truth & seen
    n, others = true.sum(axis=-1), (seen & ~true).sum(axis=-1)
    order, first, last = _runs(score, seen)
    ranks = jnp.sum((first + last) / 2 + 1, axis=-1, where=jnp.take_along_axis(true, order, axis=-1))
    # The mean rank, not the sum: float32 keeps its digits.
    share = (ranks / jnp.maximum(n, 1) - (n + 1) / 2) / jnp.maximum(others, 1)
    return jnp.where((n > 0) & (others > 0), share, jnp.nan)


def average_precision(
    score: Float[Array, '*batch M'], truth: Bool[Array, '*batch M'], seen: Bool[Array, '*batch M']
) -> Float[jax.Array, '*batch']:
    """The area under the curve of precision by recall, as a sum of steps: the mean precision at each true readout.

    The precision at a readout counts all readouts of its score or a higher one. 0 to 1, higher is better, chance is
    the share of true readouts. NaN if no readout that is seen is true, or all are.
    """
    true = truth & seen
    n, others = true.sum(axis=-1), (seen & ~true).sum(axis=-1)
    order, _, last = _runs(-score, seen)
    true = jnp.take_along_axis(true, order, axis=-1)
    found = jnp.take_along_axis(jnp.cumsum(true, axis=-1), last, axis=-1)
    precision = jnp.sum(found / (last + 1), axis=-1, where=true) / jnp.maximum(n, 1)
    return jnp.where((n > 0) & (others > 0), precision, jnp.nan)


def _runs(
    values: Float[Array, '*batch M'], seen: Bool[Array, '*batch M']
) -> tuple[Int[jax.Array, '*batch M'], Int[jax.Array, '*batch M'], Int[jax.Array, '*batch M']]:
    """The order of the values, those not seen last; and for each place in it, the first and last place of its value."""
    keys = jnp.where(seen, values, jnp.inf)
    order = jnp.argsort(keys, axis=-1)
    keys = jnp.take_along_axis(keys, order, axis=-1)
    place = jax.lax.broadcasted_iota(jnp.int32, keys.shape, keys.ndim - 1)
    differs, edge = keys[..., 1:] != keys[..., :-1], jnp.ones_like(keys[..., :1], bool)
    starts, ends = jnp.concatenate([edge, differs], axis=-1), jnp.concatenate([differs, edge], axis=-1)
    first = jax.lax.cummax(jnp.where(starts, place, 0), axis=keys.ndim - 1)
    last = jax.lax.cummin(jnp.where(ends, place, keys.shape[-1]), axis=keys.ndim - 1, reverse=True)
    return order, first, last
