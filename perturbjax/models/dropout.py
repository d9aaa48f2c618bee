"""Dropout whose bits are a function of counters alone: cheap, and the same on any number of devices."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt

from perturbjax.screens.arrays import Array

_STEPS = 2**16  # of the rate: each unit draws 16 bits


class Noise(NamedTuple):
    """What dropout is made from.

    Attributes:
      rate: the probability with which a unit is left out, below 1; rounded to 1 / 65,536.
      seed: different at every step.
      position: the position of each row in the global batch, whichever device holds it.
    """

    rate: Float[Array, ''] | np.floating
    seed: UInt[Array, '']
    position: UInt[Array, ' B']


def mix(x: UInt[Array, '*shape']) -> UInt[Array, '*shape']:
    """A bijection of uint32 in which every input bit moves every output bit (two multiply-xorshift rounds)."""
    x = x ^ (x >> 16)
    x = x * jnp.uint32(0x7FEB352D)
    x = x ^ (x >> 15)
    x = x * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def relu_dropout(x: Float[jax.Array, 'B D'], noise: Noise, layer: int) -> Float[jax.Array, 'B D']:
    """`max(x, 0)`, each unit 0 with the noise's probability, else scaled up so that the mean stays."""
    row = mix(noise.position.astype(jnp.uint32) ^ mix(noise.seed + jnp.uint32(layer)))
    # One hash is enough for two units.
    pairs = mix(jnp.arange(-(-x.shape[1] // 2), dtype=jnp.uint32))
    bits = jax.lax.bitcast_convert_type(mix(row[:, None] + pairs[None, :]), jnp.uint16)
    kept = bits.reshape(len(x), -1)[:, : x.shape[1]] >= _left_out(noise).astype(jnp.uint16)
    return jnp.where(kept & (x > 0), x * _scale(noise), 0)


def _left_out(noise: Noise) -> Float[jax.Array, '']:
    return jnp.round(jnp.asarray(noise.rate, jnp.float32) * _STEPS)


def _scale(noise: Noise) -> Float[jax.Array, '']:
    return _STEPS / (_STEPS - _left_out(noise))


def _forward(
    x: Float[jax.Array, 'B D'], noise: Noise, layer: int
) -> tuple[Float[jax.Array, 'B D'], tuple[Float[jax.Array, 'B D'], Noise]]:
    y = relu_dropout(x, noise, layer)
    return y, (y, noise)


def _backward(
    layer: int, saved: tuple[Float[jax.Array, 'B D'], Noise], gradient: Float[jax.Array, 'B D']
) -> tuple[Float[jax.Array, 'B D'], None]:
    """What came through was positive and was kept, so that no bit is drawn again."""
    y, noise = saved
    return jnp.where(y > 0, gradient * _scale(noise), 0), None


relu_dropout.defvjp(_forward, _backward)
