"""The generator of scGPT (Cui et al. 2024, scGPT 0.2.5): a perturbed cell from a control cell, by attention over genes.

With v the value of a gene in the control cell, and flag 1 for a gene that is perturbed:

    x = LN(gene table) + drop(LN(W2 relu(W1 min(v, 512)))) + flag table
    h = the states of all genes after the blocks of models/transformer.py
    y = a(h) v + b(h)                                 a and b: three linear layers each, with leaky ReLU

No place has a position, nothing is masked and no summary place is added: a cell is a set of genes. A gene that is not
in the vocabulary has the token of padding, as released, and is predicted all the same.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Bool, Float, Int

from perturbjax.models.torch_layers import linear
from perturbjax.models.transformer import Encoder, Table, layer_norm, leave_out
from perturbjax.screens.arrays import Array

# Flags of a gene: as it is, perturbed, padding.
NUM_FLAGS, PERTURBED, _PADDING_FLAG = 3, 1, 2

_LARGEST_VALUE = 512
_SLOPE = 0.01


class Network(nn.Module):
    """scGPT from B control cells with S genes to the perturbed cells.

    Attributes:
      num_tokens, padding: the size of the vocabulary, and its token of padding.
      width, heads, hidden, blocks: sizes of the encoder.
      dropout: the rate of units left out in training.
      at_once: see `transformer.Attention`.
    """

    num_tokens: int
    padding: int
    width: int = 512
    heads: int = 8
    hidden: int = 512
    blocks: int = 12
    dropout: float = 0.2
    at_once: int = 0

    def setup(self) -> None:
        """The parts, by the names that their weights have."""
        uniform = initializers.uniform(0.2)
        self.gene = Table(self.num_tokens, self.width, self.padding, lambda *given: uniform(*given) - jnp.float32(0.1))
        self.gene_norm = layer_norm()
        self.value = Values(self.width, self.dropout)
        self.flag = Table(NUM_FLAGS, self.width, _PADDING_FLAG, _start_of_flags)
        self.encoder = Encoder(self.blocks, self.heads, self.hidden, self.dropout, at_once=self.at_once)
        self.factor, self.offset = Head(self.width), Head(self.width)

    def __call__(
        self,
        tokens: Int[Array, ' S'],
        values: Float[Array, 'B S'],
        flags: Int[Array, 'B S'],
        shown: Bool[Array, 'B S'] | None = None,
        train: bool = False,
    ) -> Float[jax.Array, 'B S']:
        """The predicted cells; the arguments are those of `states`."""
        state = self.states(tokens, values, flags, shown, train)
        return self.factor(state) * jnp.asarray(values) + self.offset(state)

    def states(
        self,
        tokens: Int[Array, ' S'],
        values: Float[Array, 'B S'],
        flags: Int[Array, 'B S'],
        shown: Bool[Array, 'B S'] | None = None,
        train: bool = False,
    ) -> Float[jax.Array, 'B S D']:
        """The states of the genes after the last block.

        Args:
          tokens: of the genes, the same in all cells.
          values: of control cells, log scale.
          flags: `PERTURBED` or 0.
          shown: which genes the others look at; None is all.
          train: whether units are left out; it needs a key named `dropout`.
        """
        shown = jnp.ones(values.shape, bool) if shown is None else shown
        x = self.genes(tokens)[None] + self.value(values, train) + self.flag(flags)
        return self.encoder(x, shown, train)

    def genes(self, tokens: Int[Array, ' S']) -> Float[jax.Array, 'S D']:
        """The embeddings of genes after their norm, which serve as a table of their own."""
        return self.gene_norm(self.gene(tokens))


class Values(nn.Module):
    """The embedding of a value by two linear layers and a norm; values above 512 count as 512."""

    width: int
    dropout: float

    @nn.compact
    def __call__(self, values: Float[Array, 'B S'], train: bool = False) -> Float[jax.Array, 'B S D']:
        """A vector for each value."""
        least = jnp.minimum(jnp.asarray(values), _LARGEST_VALUE)[..., None]
        inner = nn.relu(linear(1, self.width, 'linear_1')(least))
        normed = layer_norm('norm')(linear(self.width, self.width, 'linear_2')(inner))
        return leave_out(self.dropout, train)(normed)


class Head(nn.Module):
    """A number from each state, by three linear layers."""

    width: int

    @nn.compact
    def __call__(self, state: Float[Array, 'B S D']) -> Float[jax.Array, 'B S']:
        """A number for each gene of each cell."""
        for i in range(2):
            state = nn.leaky_relu(linear(self.width, self.width, f'linear_{i + 1}')(state), _SLOPE)
        return linear(self.width, 1, 'linear_3')(state)[..., 0]


def _start_of_flags(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """N(0, 1), and 0 for padding."""
    return initializers.normal(1.0)(key, shape).at[_PADDING_FLAG].set(0)
