"""The layers of GEARS: linear ones and batch norms in turn."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from perturbjax.models.torch_layers import BatchNorm, linear
from perturbjax.screens.arrays import Array


class Mlp(nn.Module):
    """Linear layers, each followed by batch norm, with ReLU between them: it ends in batch norm.

    Attributes:
      widths: of the input and of each layer.
    """

    widths: Sequence[int]

    @nn.compact
    def __call__(
        self, x: Float[Array, '*rows F'], weight: Float[Array, '*rows'] | None = None, train: bool = False
    ) -> Float[jax.Array, '*rows F2']:
        """The last layer; `weight` and `train` are those of `BatchNorm`."""
        shape = jnp.shape(x)
        # Rows in one axis: the gradient of a kernel over two axes of rows takes twice as long on a CPU.
        x, weight = jnp.asarray(x).reshape(-1, shape[-1]), None if weight is None else jnp.asarray(weight).reshape(-1)
        for layer, width in enumerate(self.widths[1:]):
            x = nn.relu(x) if layer else x
            x = linear(self.widths[layer], width, f'linear_{layer}')(x)
            x = BatchNorm(name=f'norm_{layer}')(x, weight, train)
        return x.reshape(*shape[:-1], x.shape[-1])
