"""The network of LPM (Miladinovic et al. 2025): y = f(perturbation, readout, context) through three lookup tables."""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Float, Int

from perturbjax.models.dropout import Noise, relu_dropout
from perturbjax.models.flax_model import Sizes
from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import PADDING

AGGREGATIONS = ('mean', 'sum', 'max')

# Precision of the factors of a matrix product; every sum is float32.
PRECISIONS = ('float32', 'tensorfloat32', 'bfloat16')

HEADS = ('mlp', 'bilinear')

# Xavier-uniform with torch's ReLU gain of sqrt(2), as released.
_KERNEL = initializers.variance_scaling(2.0, 'fan_avg', 'uniform')


class LPM(nn.Module):
    """Three embedding tables, and an MLP with ReLU that ends in one number.

    Attributes:
      sizes: C, P and M, the rows of the three tables.
      embedding_dims: D of the context, perturbation and readout embedding.
      hidden_dims: the width of each hidden layer.
      aggregation: how the embedding of a combination follows from those of its parts: mean, sum or max.
      matmul_precision: one of `PRECISIONS`; tensorfloat32 is float32 on a device that does not have it.
      head: `mlp` takes all three embeddings, as published. `bilinear` takes those of context and perturbation,
        and its last layer is multiplied by that of the readout: one pass for all readouts of a profile.
      interaction: whether the sum of the products of all pairs of parts joins a combination's embedding.
      embedding_scale: the standard deviation of the tables at the start.
      starts_at_zero: whether the last layer is 0 at the start, and with it every prediction.
    """

    sizes: Sizes
    embedding_dims: tuple[int, int, int]
    hidden_dims: tuple[int, ...]
    aggregation: str = 'mean'
    matmul_precision: str = 'float32'
    head: str = 'mlp'
    interaction: bool = False
    embedding_scale: float = 1.0
    starts_at_zero: bool = False

    @nn.compact
    def __call__(
        self,
        context: Int[Array, '*#batch'],
        perturbation: Int[Array, '*#batch K'],
        readout: Int[Array, '*#batch'],
        noise: Noise | None = None,
        features: Mapping[str, Float[Array, '_n _F']] | None = None,
    ) -> Float[jax.Array, '*batch']:
        """Predictions for ids of shapes that broadcast.

        A batch of triples has the shapes `[B]`, `[B, K]`, `[B]`. A whole grid has `[N, 1]`, `[N, 1, K]`,
        `[1, M]` and gives `[N, M]`. With `noise` (in training) dropout is on; its positions are those of
        the predictions, in order. An embedding is a row of a table, plus a learned projection of the features of an
        axis that has some; then the table is 0 at the start, and stays so for a name that nothing is learnt of.
        """
        contexts, perturbations, readouts = (
            self._table(name, rows, dim, (features or {}).get(name))
            for name, rows, dim in zip(('context', 'perturbation', 'readout'), self.sizes, self.embedding_dims)
        )
        embedded = [contexts[context], combine(perturbations, perturbation, self.aggregation)]
        if self.interaction:
            embedded.append(pair_products(perturbations, perturbation))
        profile = jnp.concatenate(embedded, axis=-1)
        if self.head == 'bilinear':
            return _products(self._layers(profile, None, noise), readouts[readout])
        return self._layers(profile, readouts[readout], noise)[..., 0]

    def _table(
        self, name: str, rows: int, dim: int, features: Float[Array, '{rows} F'] | None
    ) -> Float[jax.Array, '{rows} {dim}']:
        normal = initializers.normal(self.embedding_scale)
        if features is None:
            return self.param(name, normal, (rows, dim))
        projection = self.param(f'{name}_projection', normal, (features.shape[1], dim))
        return self.param(name, initializers.zeros, (rows, dim)) + self._times(jnp.asarray(features), projection)

    def _layers(
        self,
        profile: Float[jax.Array, '*#batch D'],
        readout: Float[jax.Array, '*#batch D2'] | None,
        noise: Noise | None,
    ) -> Float[jax.Array, '*batch O']:
        """The MLP over [profile; readout], or over the profile alone.

        Its first layer is two projections, summed: equal to concatenating first, but a grid of n profiles by m
        readouts costs n + m projections instead of n * m.
        """
        width, last = profile.shape[-1], self.embedding_dims[2] if readout is None else 1
        dims = (width + (0 if readout is None else readout.shape[-1]), *self.hidden_dims, last)
        kernel, bias = self._dense(0, dims)
        x = _plus(self._times(profile, kernel[:width]), bias)
        if readout is not None:
            x = x + self._times(readout, kernel[width:])
        shape = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1])
        if noise is not None:
            # Positions are those of predictions; a row here may stand for several.
            noise = noise._replace(position=noise.position.reshape(len(x), -1)[:, 0])
        for layer in range(1, len(self.hidden_dims) + 1):
            x = nn.relu(x) if noise is None else relu_dropout(x, noise, layer)
            kernel, bias = self._dense(layer, dims)
            x = _plus(self._times(x, kernel), bias)
        return x.reshape(*shape, last)

    def _dense(self, layer: int, dims: tuple[int, ...]) -> tuple[Float[jax.Array, 'I O'], Float[jax.Array, ' O']]:
        is_zero = self.starts_at_zero and layer == len(self.hidden_dims)
        of_kernel, of_bias = (initializers.zeros,) * 2 if is_zero else (_KERNEL, _torch_bias(dims[layer]))
        kernel = self.param(f'kernel_{layer}', of_kernel, (dims[layer], dims[layer + 1]))
        return kernel, self.param(f'bias_{layer}', of_bias, (dims[layer + 1],))

    def _times(self, x: Float[jax.Array, '*batch I'], kernel: Float[jax.Array, 'I O']) -> Float[jax.Array, '*batch O']:
        """`x @ kernel` in the precision asked for. The default of a device may be a lower one."""
        if self.matmul_precision == 'bfloat16':
            x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
            return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)
        return jnp.matmul(x, kernel, precision=self.matmul_precision)


def _plus(x: Float[jax.Array, '*batch O'], bias: Float[jax.Array, ' O']) -> Float[jax.Array, '*batch O']:
    return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def _products(
    profile: Float[jax.Array, '*#batch D'], readout: Float[jax.Array, '*#batch D']
) -> Float[jax.Array, '*batch']:
    """The inner product of each profile with each readout; of grids as a matrix product."""
    if profile.ndim < 3 or profile.shape[-2] != 1 or readout.shape[-3] != 1:
        return (profile * readout).sum(axis=-1)
    return jnp.matmul(profile[..., 0, :], jnp.swapaxes(readout[..., 0, :, :], -1, -2), precision='highest')


def pair_products(table: Float[jax.Array, 'P D'], perturbation: Int[Array, '*batch K']) -> Float[jax.Array, '*batch D']:
    """The sum over all pairs of parts of the product of their embeddings; 0 for a single perturbation."""
    there = (perturbation != PADDING)[..., None]
    rows = jnp.where(there, table[jnp.maximum(perturbation, 0)], 0)
    return (rows.sum(axis=-2) ** 2 - (rows**2).sum(axis=-2)) / 2


def combine(
    table: Float[jax.Array, 'P D'], perturbation: Int[Array, '*batch K'], aggregation: str
) -> Float[jax.Array, '*batch D']:
    """Embeddings of combinations of rows of the table; padding is left out."""
    there = (perturbation != PADDING)[..., None]
    rows = table[jnp.maximum(perturbation, 0)]
    if aggregation == 'max':
        return jnp.where(there, rows, -jnp.inf).max(axis=-2)
    total = jnp.where(there, rows, 0).sum(axis=-2)
    return total if aggregation == 'sum' else total / there.sum(axis=-2)


def _torch_bias(fan_in: int) -> Callable:
    """torch's default: uniform on +-1/sqrt(fan in)."""

    def initialise(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -1, 1) / jnp.sqrt(jnp.array(fan_in, dtype))

    return initialise
