"""LPM (Miladinovic et al. 2025): y = f(perturbation, readout, context) through three lookup tables."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers

from perturbjax.errors import InputError, check_range, did_you_mean
from perturbjax.models.dropout import Noise, relu_dropout
from perturbjax.models.model import Params, Query
from perturbjax.screens.screen import Array
from perturbjax.screens.vocabulary import PADDING, Vocabulary

AGGREGATIONS = ('mean', 'sum', 'max')

# Of the numbers that are multiplied; sums are float32 in all.
PRECISIONS = ('float32', 'tensorfloat32', 'bfloat16')

# Xavier-uniform with torch's ReLU gain of sqrt(2), as released.
_KERNEL = initializers.variance_scaling(2.0, 'fan_avg', 'uniform')


class LPM(nn.Module):
    """Three embedding tables and an MLP with ReLU to one number.

    Attributes:
      contexts, perturbations, readouts: C, P, M, the rows of the three tables.
      widths: D of the context, perturbation and readout embedding.
      hidden: width of each hidden layer.
      dropout: rate after each hidden layer, in training.
      aggregation: how a combination's embedding follows from its parts': mean, sum or max.
      matmul: one of `PRECISIONS`; tensorfloat32 is float32 where the device does not have it.
    """

    contexts: int
    perturbations: int
    readouts: int
    widths: tuple[int, int, int]
    hidden: tuple[int, ...]
    dropout: float
    aggregation: str
    matmul: str = 'float32'

    @nn.compact
    def __call__(
        self, context: jax.Array, perturbation: jax.Array, readout: jax.Array, noise: Noise | None = None
    ) -> jax.Array:
        """Predictions for ids: context `[...]` and perturbation `[..., K]`, and readout of a shape that broadcasts.

        A batch of triples has shapes `[B]`, `[B, K]`, `[B]`; a whole grid has `[N, 1]`, `[N, 1, K]`,
        `[1, M]` and gives `[N, M]`. With `noise` (training) dropout is on; its positions are those of
        the predictions, in order.
        """
        normal = initializers.normal(1.0)
        contexts = self.param('context', normal, (self.contexts, self.widths[0]))
        perturbations = self.param('perturbation', normal, (self.perturbations, self.widths[1]))
        readouts = self.param('readout', normal, (self.readouts, self.widths[2]))
        combined = combine(perturbations, perturbation, self.aggregation)
        x = self._first_layer(jnp.concatenate([contexts[context], combined], axis=-1), readouts[readout])
        shape = x.shape[:-1]
        x = x.reshape(-1, x.shape[-1])
        for layer in range(1, len(self.hidden) + 1):
            x = nn.relu(x) if noise is None else relu_dropout(x, noise, layer)
            kernel, bias = self._dense(layer)
            x = _plus(self._times(x, kernel), bias)
        return x.reshape(shape)

    def _dense(self, layer: int) -> tuple[jax.Array, jax.Array]:
        sizes = (sum(self.widths), *self.hidden, 1)
        kernel = self.param(f'kernel_{layer}', _KERNEL, (sizes[layer], sizes[layer + 1]))
        bias = self.param(f'bias_{layer}', _torch_bias(sizes[layer]), (sizes[layer + 1],))
        return kernel, bias

    def _first_layer(self, profile: jax.Array, readout: jax.Array) -> jax.Array:
        """The dense layer over [context; perturbation; readout] as two projections, summed.

        Equal to concatenating first, but a grid of n profiles by m readouts costs n + m
        projections instead of n * m.
        """
        kernel, bias = self._dense(0)
        above, below = jnp.split(kernel, [profile.shape[-1]], axis=0)
        return _plus(self._times(profile, above), bias) + self._times(readout, below)

    def _times(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        """`x @ kernel` in the precision asked for; a device's own default may be a lower one."""
        if self.matmul == 'bfloat16':
            x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
            return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)
        return jnp.matmul(x, kernel, precision=self.matmul)


def _plus(x: jax.Array, bias: jax.Array) -> jax.Array:
    return x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def predict_values(module: LPM, weights: Params, *ids: Array, noise: Noise | None = None) -> jax.Array:
    """The module's predictions with these weights; ids as `LPM.__call__` takes them."""
    return cast(jax.Array, module.apply({'params': weights}, *ids, noise))


def combine(table: jax.Array, perturbation: jax.Array, aggregation: str) -> jax.Array:
    """Embeddings `[..., D]` of combinations `[..., K]` of rows of `table [P, D]`; padding is left out."""
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


class Fitted(NamedTuple):
    """LPM's params after training, or those of an ensemble of S.

    Attributes:
      weights: the module's parameters; of an ensemble each with a leading axis `[S, ...]`.
      contexts, perturbations, readouts: how many training profiles each name had, `[C]`, `[P]`,
        `[M]`; a name without any has an untrained embedding, and no prediction.
    """

    weights: Params
    contexts: Array
    perturbations: Array
    readouts: Array

    @property
    def members(self) -> int | None:
        """S; None for a single model."""
        shape = self.weights['kernel_0'].shape
        return shape[0] if len(shape) == 3 else None


class LearnedModel(NamedTuple):
    """A model that `training` fits by gradient descent.

    Attributes:
      module: `vocabulary -> LPM`.
      predict: `(Fitted, query) -> [Q, M]`, an ensemble's mean; NaN for names that no training profile had.
      spread: the same of the standard deviation over an ensemble's members.
    """

    module: Callable[[Vocabulary], LPM]
    predict: Callable[[Fitted, Query], jax.Array]
    spread: Callable[[Fitted, Query], jax.Array]


def lpm(
    embedding: int | Sequence[int] = 32,
    hidden: Sequence[int] = (512, 512),
    dropout: float = 0.0,
    aggregation: str = 'mean',
    matmul: str = 'float32',
) -> LearnedModel:
    """LPM with one embedding width, or one each for context, perturbation and readout."""
    _check(embedding, hidden, dropout, aggregation, matmul)
    context, perturbation, readout = (embedding,) * 3 if isinstance(embedding, int) else embedding
    fixed = (context, perturbation, readout), tuple(hidden), dropout, aggregation, matmul

    def module(vocabulary: Vocabulary) -> LPM:
        return LPM(len(vocabulary.contexts), len(vocabulary.perturbations), len(vocabulary.readouts), *fixed)

    def each_member(fitted: Fitted, query: Query) -> jax.Array:
        """`[S, Q, M]`."""
        grid = query.context[:, None], query.perturbation[:, None, :], query.readout[None, :]
        sized = LPM(len(fitted.contexts), len(fitted.perturbations), len(fitted.readouts), *fixed)
        if fitted.members is None:
            return predict_values(sized, fitted.weights, *grid)[None]
        return jax.lax.map(lambda weights: predict_values(sized, weights, *grid), fitted.weights)

    def predict(fitted: Fitted, query: Query) -> jax.Array:
        return jnp.where(trained(fitted, query), each_member(fitted, query).mean(axis=0), jnp.nan)

    def spread(fitted: Fitted, query: Query) -> jax.Array:
        return jnp.where(trained(fitted, query), each_member(fitted, query).std(axis=0), jnp.nan)

    return LearnedModel(module, predict, spread)


def _check(
    embedding: int | Sequence[int], hidden: Sequence[int], dropout: float, aggregation: str, matmul: str
) -> None:
    """Raises InputError on a setting that cannot be."""
    for name, value, known in (('aggregation', aggregation, AGGREGATIONS), ('matmul', matmul, PRECISIONS)):
        if value not in known:
            raise InputError(f'models.lpm.{name}: no such {value!r}; {did_you_mean(value, known)}')
    check_range('models.lpm', 1, embedding=min(embedding) if isinstance(embedding, Sequence) else embedding)
    check_range('models.lpm', 1, hidden=min(hidden, default=0))
    if isinstance(embedding, Sequence) and len(embedding) != 3:
        raise InputError(
            f'models.lpm.embedding: {list(embedding)} must be one width, or three: context, perturbation, readout.'
        )
    if not 0 <= dropout < 1:
        raise InputError(f'models.lpm.dropout: {dropout} must be at least 0 and below 1.')


def trained(fitted: Fitted, query: Query) -> jax.Array:
    """Whether every name of each value asked for had training profiles, bool `[Q, M]`."""
    parts = (fitted.perturbations[query.perturbation] > 0) | (query.perturbation == PADDING)
    profiles = (fitted.contexts[query.context] > 0) & parts.all(axis=1)
    return profiles[:, None] & (fitted.readouts[query.readout] > 0)[None, :]
