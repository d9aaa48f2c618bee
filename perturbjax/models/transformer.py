"""The encoder block of Vaswani et al. 2017 with its norms after the sums, as BERT, scGPT and Geneformer have it.

    x <- LN(x + drop(attention(x)))
    x <- LN(x + drop(W2 drop(f(W1 x))))

Weights are those of torch.nn.TransformerEncoderLayer (norm_first=False): queries, keys and values from one kernel.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Bool, Float, Int

from perturbjax.models.torch_layers import linear
from perturbjax.screens.arrays import Array

EPSILON = 1e-5


def layer_norm(name: str | None = None, epsilon: float = EPSILON) -> nn.LayerNorm:
    """Layer norm with torch's epsilon, its variance from the centred values."""
    return nn.LayerNorm(epsilon=epsilon, use_fast_variance=False, name=name)


def leave_out(rate: float, train: bool) -> nn.Dropout:
    """Dropout, which does nothing unless `train`."""
    return nn.Dropout(rate, deterministic=not train)


class Attention(nn.Module):
    """Every place of a row looks at every place that is shown, with `heads` pairs of queries and keys.

    Attributes:
      heads: a divisor of the width.
      dropout: the rate at which a place is not looked at in training.
      at_once: how many places look at a time outside training, to bound memory; 0 is all.
    """

    heads: int
    dropout: float = 0.0
    at_once: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, 'B S D'], shown: Bool[Array, 'B S'], train: bool = False
    ) -> Float[jax.Array, 'B S D']:
        """The values that each place gathers, mixed once more; at least one place of each row must be shown."""
        rows, places, width = x.shape
        joint = nn.Dense(
            3 * width, kernel_init=initializers.xavier_uniform(), bias_init=initializers.zeros, name='in_proj'
        )(x)
        query, key, value = (
            each.reshape(rows, places, self.heads, -1).transpose(0, 2, 1, 3) for each in jnp.split(joint, 3, axis=-1)
        )
        drop = leave_out(self.dropout, train)

        def gather(some: Float[jax.Array, 'B H Q E']) -> Float[jax.Array, 'B H Q E']:
            weight = _weights(some, key, jnp.asarray(shown))
            return jnp.einsum('bhqk,bhke->bhqe', drop(weight) if train else weight, value)

        if train or not self.at_once or places <= self.at_once:
            gathered = gather(query)
        else:
            missing = -places % self.at_once
            padded = jnp.pad(query, ((0, 0), (0, 0), (0, missing), (0, 0)))
            pieces = jnp.stack(jnp.split(padded, (places + missing) // self.at_once, axis=2))
            gathered = jnp.concatenate(list(jax.lax.map(gather, pieces)), axis=2)[:, :, :places]
        joined = gathered.transpose(0, 2, 1, 3).reshape(rows, places, width)
        return linear(width, width, 'out_proj')(joined)


def _weights(
    query: Float[jax.Array, 'B H Q E'], key: Float[jax.Array, 'B H S E'], shown: Bool[jax.Array, 'B S']
) -> Float[jax.Array, 'B H Q S']:
    """How much each query takes of each place that is shown; they add up to 1."""
    logits = jnp.einsum('bhqe,bhke->bhqk', query / math.sqrt(query.shape[-1]), key)
    return jax.nn.softmax(jnp.where(shown[:, None, None, :], logits, -jnp.inf), axis=-1)


class Block(nn.Module):
    """Attention, then two linear layers, each added to what comes in and normed.

    Attributes:
      heads, at_once: see `Attention`.
      hidden: the width between the two linear layers.
      dropout: the rate of units left out in training.
      activation: f.
      epsilon: of the layer norms.
    """

    heads: int
    hidden: int
    dropout: float = 0.0
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    epsilon: float = EPSILON
    at_once: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, 'B S D'], shown: Bool[Array, 'B S'], train: bool = False
    ) -> Float[jax.Array, 'B S D']:
        """The states of all places, of which only those that are shown are looked at."""
        width = x.shape[-1]
        looked = Attention(self.heads, self.dropout, self.at_once, name='attention')(x, shown, train)
        x = layer_norm('norm_1', self.epsilon)(x + leave_out(self.dropout, train)(looked))
        inner = leave_out(self.dropout, train)(self.activation(linear(width, self.hidden, 'linear_1')(x)))
        changed = linear(self.hidden, width, 'linear_2')(inner)
        return layer_norm('norm_2', self.epsilon)(x + leave_out(self.dropout, train)(changed))


class Encoder(nn.Module):
    """Blocks one after the other; their weights are stacked, `[blocks, ...]`, so that one of them is compiled.

    In training each block is computed again on the way back, so that memory holds the attention of one alone.

    Attributes:
      blocks: how many.
      heads, hidden, dropout, activation, epsilon, at_once: see `Block`.
    """

    blocks: int
    heads: int
    hidden: int
    dropout: float = 0.0
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    epsilon: float = EPSILON
    at_once: int = 0

    @nn.compact
    def __call__(
        self, x: Float[Array, 'B S D'], shown: Bool[Array, 'B S'], train: bool = False
    ) -> Float[jax.Array, 'B S D']:
        """The states after the last block."""
        block = Block(self.heads, self.hidden, self.dropout, self.activation, self.epsilon, self.at_once, name='blocks')

        def step(block: Block, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return block(x, shown, train), None

        repeated = nn.scan(
            nn.remat(step, prevent_cse=False),
            variable_axes={'params': 0}, split_rngs={'params': True, 'dropout': True}, length=self.blocks,
        )  # fmt: skip
        x, _ = repeated(block, jnp.asarray(x), None)
        return x


class Table(nn.Module):
    """Vectors by id, of which one never learns.

    Attributes:
      rows, width: how many vectors, of what width.
      still: the id whose vector has no gradient.
      start: of the vectors.
    """

    rows: int
    width: int
    still: int
    start: Callable[..., jax.Array]

    @nn.compact
    def __call__(self, ids: Int[Array, '*shape']) -> Float[jax.Array, '*shape D']:
        """The vectors of these ids."""
        found = jnp.asarray(self.param('table', self.start, (self.rows, self.width)))[ids]
        return jnp.where((jnp.asarray(ids) == self.still)[..., None], jax.lax.stop_gradient(found), found)
