"""Dropout whose bits are a function of counters alone: cheap, and the same on any number of devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Noise(NamedTuple):
    """What dropout bits are made from.

    Attributes:
      seed: uint32, different at every step.
      position: `[B]`, each row's place in the global batch, whichever device holds it.
    """

    seed: jax.Array
    position: jax.Array


def mix(x: jax.Array) -> jax.Array:
    """A bijection of uint32 in which every input bit moves every output bit (two multiply-xorshift rounds)."""
    x = x ^ (x >> 16)
    x = x * jnp.uint32(0x7FEB352D)
    x = x ^ (x >> 15)
    x = x * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def dropout(x: jax.Array, rate: float, noise: Noise, layer: int) -> jax.Array:
    """`x [B, D]` with each unit 0 with probability `rate`, else divided by 1 - `rate`."""
    if rate == 0:
        return x
    row = mix(noise.position.astype(jnp.uint32) ^ mix(noise.seed + jnp.uint32(layer)))
    bits = mix(row[:, None] + mix(jnp.arange(x.shape[1], dtype=jnp.uint32))[None, :])
    return jnp.where(bits >= jnp.uint32(int(rate * 2**32)), x / (1 - rate), 0)
