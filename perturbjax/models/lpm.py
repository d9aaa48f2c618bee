"""LPM (Miladinovic et al. 2025): y = f(perturbation, readout, context) through three lookup tables."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Float, Int

from perturbjax.errors import InputError, check_range, did_you_mean
from perturbjax.models.dropout import Noise, relu_dropout
from perturbjax.models.flax_model import Sizes, flax_model
from perturbjax.models.model import Model
from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import PADDING

AGGREGATIONS = ('mean', 'sum', 'max')

# Precision of the factors of a matrix product; every sum is float32.
PRECISIONS = ('float32', 'tensorfloat32', 'bfloat16')

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
    """

    sizes: Sizes
    embedding_dims: tuple[int, int, int]
    hidden_dims: tuple[int, ...]
    aggregation: str = 'mean'
    matmul_precision: str = 'float32'

    @nn.compact
    def __call__(
        self,
        context: Int[Array, '*#batch'],
        perturbation: Int[Array, '*#batch K'],
        readout: Int[Array, '*#batch'],
        noise: Noise | None = None,
    ) -> Float[jax.Array, '*batch']:
        """Predictions for ids of shapes that broadcast.

        A batch of triples has the shapes `[B]`, `[B, K]`, `[B]`. A whole grid has `[N, 1]`, `[N, 1, K]`,
        `[1, M]` and gives `[N, M]`. With `noise` (in training) dropout is on; its positions are those of
        the predictions, in order.
        """
        normal = initializers.normal(1.0)
        contexts, perturbations, readouts = (
            self.param(name, normal, (rows, dim))
            for name, rows, dim in zip(('context', 'perturbation', 'readout'), self.sizes, self.embedding_dims)
        )
        combined = combine(perturbations, perturbation, self.aggregation)
        x = self._first_layer(jnp.concatenate([contexts[context], combined], axis=-1), readouts[readout])
        shape = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1])
        for layer in range(1, len(self.hidden_dims) + 1):
            x = nn.relu(x) if noise is None else relu_dropout(x, noise, layer)
            kernel, bias = self._dense(layer)
            x = _plus(self._times(x, kernel), bias)
        return x.reshape(shape)

    def _dense(self, layer: int) -> tuple[Float[jax.Array, 'I O'], Float[jax.Array, ' O']]:
        dims = (sum(self.embedding_dims), *self.hidden_dims, 1)
        kernel = self.param(f'kernel_{layer}', _KERNEL, (dims[layer], dims[layer + 1]))
        bias = self.param(f'bias_{layer}', _torch_bias(dims[layer]), (dims[layer + 1],))
        return kernel, bias

    def _first_layer(
        self, profile: Float[jax.Array, '*#batch D'], readout: Float[jax.Array, '*#batch D2']
    ) -> Float[jax.Array, '*#batch O']:
        """The dense layer over [context; perturbation; readout] as two projections, summed.

        Equal to concatenating first, but a grid of n profiles by m readouts costs n + m
        projections instead of n * m.
        """
        kernel, bias = self._dense(0)
        above, below = jnp.split(kernel, [profile.shape[-1]], axis=0)
        return _plus(self._times(profile, above), bias) + self._times(readout, below)

    def _times(self, x: Float[jax.Array, '*batch I'], kernel: Float[jax.Array, 'I O']) -> Float[jax.Array, '*batch O']:
        """`x @ kernel` in the precision asked for. The default of a device may be a lower one."""
        if self.matmul_precision == 'bfloat16':
            x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
            return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)
        return jnp.matmul(x, kernel, precision=self.matmul_precision)


def _plus(x: Float[jax.Array, '*batch O'], bias: Float[jax.Array, ' O']) -> Float[jax.Array, '*batch O']:
    return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


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


def lpm(
    embedding_dim: int | Sequence[int] = 32,
    hidden_dims: Sequence[int] = (512, 512),
    dropout: float = 0.0,
    aggregation: str = 'mean',
    matmul_precision: str = 'float32',
) -> Model:
    """LPM as a learned model.

    Args:
      embedding_dim: D of all three embeddings, or one each for context, perturbation and readout.
      hidden_dims: the width of each hidden layer.
      dropout: the rate after each hidden layer, in training.
      aggregation: how the embedding of a combination follows from those of its parts: mean, sum or max.
      matmul_precision: of the factors of matrix products: float32, tensorfloat32 or bfloat16.

    Raises:
      InputError: a setting that is out of its range.
    """
    _check(embedding_dim, hidden_dims, dropout, aggregation, matmul_precision)
    context, perturbation, readout = (embedding_dim,) * 3 if isinstance(embedding_dim, int) else embedding_dim
    dims = (context, perturbation, readout), tuple(hidden_dims)

    def module(sizes: Sizes) -> LPM:
        return LPM(sizes, *dims, aggregation, matmul_precision)

    return flax_model(module, dropout, row_tables=('perturbation', 'readout'))


def _check(
    embedding_dim: int | Sequence[int], hidden_dims: Sequence[int], dropout: float, aggregation: str, precision: str
) -> None:
    """Raises InputError on a setting that is out of its range."""
    for name, value, known in (
        ('aggregation', aggregation, AGGREGATIONS),
        ('matmul_precision', precision, PRECISIONS),
    ):
        if value not in known:
            raise InputError(f'models.lpm.{name}: no such {value!r}; {did_you_mean(value, known)}')
    dims = embedding_dim if isinstance(embedding_dim, Sequence) else (embedding_dim,) * 3
    if len(dims) != 3:
        raise InputError(
            f'models.lpm.embedding_dim: {list(dims)} must be one number, or three: context, perturbation, readout.'
        )
    check_range('models.lpm', 1, embedding_dim=min(dims), hidden_dims=min(hidden_dims, default=0))
    if not 0 <= dropout < 1:
        raise InputError(f'models.lpm.dropout: {dropout} must be at least 0 and below 1.')
