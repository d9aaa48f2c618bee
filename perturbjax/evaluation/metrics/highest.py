"""Which readouts of a profile have the n highest values, without sorting.

On a CPU it is much cheaper to count the values above a threshold 32 times than to sort them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, UInt32

from perturbjax.screens.arrays import Array


def highest(
    values: Float[Array, '*batch M'], n: Int[Array, '*batch 1'] | int
) -> tuple[Bool[jax.Array, '*batch M'], Bool[jax.Array, '*batch M']]:
    """Which values are above the n-th largest, and which are equal to it; both bool `[..., M]`.

    Args:
      values: float32, without NaN.
      n: from 1 to M; the same for all profiles, or `[..., 1]`. With 0, no value is above or equal.
    """
    keys = _sortable(values)

    def set_bit(step: Int[jax.Array, ''], found: UInt32[jax.Array, '*batch 1']) -> UInt32[jax.Array, '*batch 1']:
        tried = found | (jnp.uint32(1) << (31 - step).astype(jnp.uint32))
        return jnp.where((keys >= tried).sum(axis=-1, keepdims=True) >= n, tried, found)

    last = jax.lax.fori_loop(0, 32, set_bit, jnp.zeros_like(keys[..., :1]))
    return keys > last, keys == last


def first_highest(values: Float[Array, '*batch M'], n: int) -> Bool[jax.Array, '*batch M']:
    """Which readouts have the n highest values, bool `[..., M]`; of equal ones, those that come first.

    All of them if there are no more than n. The values are as for `highest`.
    """
    if n >= values.shape[-1]:
        return jnp.ones_like(values, bool)
    above, tied = highest(values, n)
    return above | (tied & (jnp.cumsum(tied, axis=-1) <= n - above.sum(axis=-1, keepdims=True)))


def _sortable(values: Float[Array, '*batch M']) -> UInt32[jax.Array, '*batch M']:
    """Whole numbers in the order of the values; -0 and 0 are one value.

    The bits of floats are in their order already, but for the sign: that of negative floats is reversed.
    """
    values = jnp.asarray(values, jnp.float32)
    bits = jax.lax.bitcast_convert_type(jnp.where(values == 0, 0.0, values), jnp.uint32)
    negative = bits >> jnp.uint32(31) == 1
    return jnp.where(negative, ~bits, bits | jnp.uint32(1 << 31))
