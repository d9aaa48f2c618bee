"""The networks of CPA (Lotfollahi et al. 2023, cpa-tools 0.8.8): an autoencoder of cells, and an adversary.

With x the counts of a cell, E [P, D] the embeddings of single perturbations (control is one of them) and d their doses:

    z0 = Linear(blocks(ln(1 + x)))                     the state without the perturbation, which the adversary looks at
    z  = z0 + sum over parts of f(d) E[part]           + the embedding of its context, where contexts have one
    mean = softmax(decoder(z)) * sum of x              with one dispersion for each readout (`nb`)

A block is Linear, batch norm, ReLU, dropout. f is the dose itself (`linear`), or a sigmoid of it or of ln(1 + dose)
that starts at 0 for no dose (`sigm`, `logsigm`). With `gauss` x is on a log scale, and the decoder gives a mean and a
variance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn import initializers
from jaxtyping import Float, Int

from perturbjax.models.torch_layers import BatchNorm, linear
from perturbjax.screens.arrays import Array

LIKELIHOODS = ('nb', 'gauss')
DOSERS = ('linear', 'sigm', 'logsigm')

# Of the batch norms: added to the variance, and what a batch adds to the running statistics.
_EPSILON, _MOMENTUM = 1e-3, 0.01

# The decoder of `gauss` drops so many, whatever the settings; and no variance is smaller.
_GAUSS_DROPOUT, _LEAST_VARIANCE = 0.1, 1e-4


class CellBatch(NamedTuple):
    """B cells.

    Attributes:
      x: their counts; with `gauss` values on a log scale.
      parts: the ids of the parts of each perturbation, padded with -1.
      dose: of each part.
      condition: the class of each in which the adversary puts it, one for each perturbation, combinations too.
      context: likewise, of contexts.
      weight: 1; 0 for what only fills the batch up, which stands at its end.
    """

    x: Float[Array, 'B G']
    parts: Int[Array, 'B K']
    dose: Float[Array, 'B K']
    condition: Int[Array, ' B']
    context: Int[Array, ' B']
    weight: Float[Array, ' B']


class Mixing(NamedTuple):
    """How cells are mixed in pairs: `share` of each, and 1 - share of the cell at `order`."""

    share: Float[Array, '']
    order: Int[Array, ' B']

    def of(self, x: Float[Array, 'B F']) -> Float[jax.Array, 'B F']:
        """The rows, mixed."""
        x, share = jnp.asarray(x), jnp.asarray(self.share, x.dtype)
        return share * x + (1 - share) * x[self.order]


class Output(NamedTuple):
    """What the autoencoder makes of B cells.

    Attributes:
      basal, latent: without and with the perturbation.
      mean: of the values.
      spread: with `nb` the inverse dispersion of each readout, with `gauss` the variance of each value.
    """

    basal: Float[jax.Array, 'B D']
    latent: Float[jax.Array, 'B D']
    mean: Float[jax.Array, 'B G']
    spread: Float[jax.Array, '#B G']


class Blocks(nn.Module):
    """Linear, batch norm (`normed`), ReLU and dropout, for each of the widths.

    Attributes:
      widths: of the input and of each block.
    """

    widths: Sequence[int]
    dropout: float
    normed: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, 'B F'], weight: Float[Array, ' B'] | None = None, train: bool = False
    ) -> Float[jax.Array, 'B F2']:
        """The last block; rows of `weight` 0 do not count in the batch norms."""
        hidden = jnp.asarray(x)
        for layer, width in enumerate(self.widths[1:]):
            hidden = linear(self.widths[layer], width, f'linear_{layer}')(hidden)
            if self.normed:
                hidden = BatchNorm(_EPSILON, _MOMENTUM, name=f'norm_{layer}')(hidden, weight, train)
            hidden = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(hidden))
        return hidden


class Autoencoder(nn.Module):
    """From cells to their latent states, and from these to the cells that the perturbation makes of them.

    Attributes:
      num_genes, num_perturbations: G, and the single perturbations P, control among them.
      num_contexts: contexts that have an embedding; 0 for none.
      latent: D.
      encoder, decoder: widths of their blocks.
      dropout: of the encoder.
      likelihood, doser: see the module.
    """

    num_genes: int
    num_perturbations: int
    num_contexts: int = 0
    latent: int = 32
    encoder: tuple[int, ...] = (256,) * 4
    decoder: tuple[int, ...] = (256,) * 2
    dropout: float = 0.2
    likelihood: str = 'nb'
    doser: str = 'linear'

    def setup(self) -> None:
        """The layers and tables."""
        self.encoding = Blocks((self.num_genes, *self.encoder), self.dropout)
        self.to_latent = linear(self.encoder[-1], self.latent)
        normal = initializers.normal(1.0)
        self.perturbation = self.param('perturbation', normal, (self.num_perturbations, self.latent))
        if self.doser != 'linear':
            self.slope, self.shift = (
                self.param(f'doser_{name}', start, (self.num_perturbations,))
                for name, start in (('slope', initializers.ones), ('shift', initializers.zeros))
            )
        if self.num_contexts:
            self.context = self.param('context', normal, (self.num_contexts, self.latent))
        gauss = self.likelihood == 'gauss'
        self.decoding = Blocks((self.latent, *self.decoder), _GAUSS_DROPOUT if gauss else 0.0, normed=False)
        self.to_mean = linear(self.decoder[-1], self.num_genes)
        if gauss:
            self.to_variance = linear(self.decoder[-1], self.num_genes)
        else:
            self.dispersion = self.param('dispersion', normal, (self.num_genes,))

    def __call__(self, batch: CellBatch, train: bool = False, mixing: Mixing | None = None) -> Output:
        """The states of the cells and what is made of them; `batch` is mixed already, its perturbations are not."""
        basal = self.encode(batch.x, batch.weight, train)
        added = self.added(batch)
        latent = basal + (added if mixing is None else mixing.of(added))
        return Output(basal, latent, *self.decode(latent, jnp.asarray(batch.x).sum(axis=1), train))

    def encode(
        self, x: Float[Array, 'B G'], weight: Float[Array, ' B'] | None = None, train: bool = False
    ) -> Float[jax.Array, 'B D']:
        """The basal states."""
        x = jnp.asarray(x)
        return self.to_latent(self.encoding(x if self.likelihood == 'gauss' else jnp.log1p(x), weight, train))

    def added(self, batch: CellBatch) -> Float[jax.Array, 'B D']:
        """What perturbation and context add to the basal state."""
        parts, dose = jnp.maximum(batch.parts, 0), jnp.asarray(batch.dose, self.perturbation.dtype)
        if self.doser != 'linear':
            measured = jnp.log1p(dose) if self.doser == 'logsigm' else dose
            slope, shift = self.slope[parts], self.shift[parts]
            dose = nn.sigmoid(slope * measured + shift) - nn.sigmoid(shift)
        amount = jnp.where(batch.parts >= 0, dose, 0)
        added = (amount[..., None] * self.perturbation[parts]).sum(axis=1)
        return added + self.context[batch.context] if self.num_contexts else added

    def decode(
        self, latent: Float[Array, 'B D'], total: Float[Array, ' B'], train: bool = False
    ) -> tuple[Float[jax.Array, 'B G'], Float[jax.Array, '#B G']]:
        """Mean and spread, see `Output`; `total` is the sum of each cell's counts."""
        hidden = self.decoding(latent, None, train)
        if self.likelihood == 'gauss':
            return self.to_mean(hidden), jnp.exp(self.to_variance(hidden)) + _LEAST_VARIANCE
        return nn.softmax(self.to_mean(hidden)) * total[:, None], jnp.exp(self.dispersion)[None, :]


class Adversary(nn.Module):
    """Guesses, from the basal state, which condition a cell is from; and from which context, where these count.

    Attributes:
      classes: numbers of conditions, and of contexts if they have embeddings.
      latent: D.
      widths: of the blocks.
      dropout: of the blocks.
    """

    classes: tuple[int, ...]
    latent: int = 32
    widths: tuple[int, ...] = (128,) * 2
    dropout: float = 0.3

    @nn.compact
    def __call__(
        self, basal: Float[Array, 'B D'], weight: Float[Array, ' B'] | None = None, train: bool = False
    ) -> tuple[Float[jax.Array, 'B _classes'], ...]:
        """The logits of the classes, for each thing that is guessed."""
        found = []
        for name, number in zip(('condition', 'context'), self.classes, strict=False):
            hidden = Blocks((self.latent, *self.widths), self.dropout, name=f'{name}_blocks')(basal, weight, train)
            found.append(linear(self.widths[-1], number, f'{name}_logits')(hidden))
        return tuple(found)
