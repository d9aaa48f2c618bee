"""Batch norm and linear layers that count and start as torch's do, for networks that were released in torch."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Float

from perturbjax.screens.arrays import Array

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
_KERNEL = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')


def linear(fan_in: int, width: int, name: str | None = None) -> nn.Dense:
    """A linear layer whose kernel and bias start at U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as torch's do."""

    def bias(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -1 / fan_in**0.5, 1 / fan_in**0.5)

    return nn.Dense(width, kernel_init=_KERNEL, bias_init=bias, name=name)


class BatchNorm(nn.Module):
    """Batch norm over all rows, each of which may count several times or not at all.

    flax.linen.BatchNorm differs in its running variance: here it is the unbiased one, as in torch. Without any row the
    running statistics stay as they are.

    Attributes:
      epsilon: is added to the variance.
      momentum: what a batch adds to the running statistics.
    """

    epsilon: float = 1e-5
    momentum: float = 0.1

    @nn.compact
    def __call__(
        self, x: Float[Array, '*rows F'], weight: Float[Array, '*rows'] | None = None, train: bool = False
    ) -> Float[jax.Array, '*rows F']:
        """The rows standardised by their own mean and variance (`train`), or by the running ones.

        `weight` says how many rows each stands for; None is 1.
        """
        width = (x.shape[-1],)
        scale, bias = self.param('scale', initializers.ones, width), self.param('bias', initializers.zeros, width)
        mean = self.variable('batch_stats', 'mean', jnp.zeros, width)
        variance = self.variable('batch_stats', 'variance', jnp.ones, width)
        rows = jnp.asarray(x).reshape(-1, *width)
        if train:
            counts = jnp.ones(len(rows), x.dtype) if weight is None else weight.reshape(-1)
            now, spread, number = self._moments(rows, counts)
            unbiased = spread * number / jnp.maximum(number - 1, 1)
            for kept, new in ((mean, now), (variance, unbiased)):
                moved = (1 - self.momentum) * kept.value + self.momentum * new
                kept.value = jnp.where(number > 0, moved, kept.value)
        else:
            now, spread = mean.value, variance.value
        normed = (rows - now[None, :]) * jax.lax.rsqrt(spread + self.epsilon)[None, :]
        return (normed * scale[None, :] + bias[None, :]).reshape(x.shape)

    def _moments(
        self, rows: Float[Array, 'n F'], counts: Float[Array, ' n']
    ) -> tuple[Float[jax.Array, ' F'], Float[jax.Array, ' F'], Float[jax.Array, '']]:
        """Mean, variance and number of the rows."""
        number = counts.sum()
        divisor = jnp.maximum(number, 1)
        mean = (counts[:, None] * rows).sum(axis=0) / divisor
        squares = (counts[:, None] * (rows - mean[None, :]) ** 2).sum(axis=0)
        return mean, squares / divisor, number
