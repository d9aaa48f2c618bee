"""How the generator of scGPT is fine-tuned: its loss over a batch of cells, and its optimizer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int, Key

from perturbjax.models.scgpt.network import Network
from perturbjax.screens.arrays import Array

Variables = Mapping[str, Any]

# The longest gradient that is taken as it is.
_LARGEST_NORM = 1.0
# torch adds it to the norm that it divides by.
_BESIDE_NORM = 1e-6


class CellBatch(NamedTuple):
    """B cells over the same S genes, each beside the control cell that it is paired with.

    Attributes:
      tokens: of the genes.
      x: the control cells, log scale.
      flags: which genes are perturbed.
      y: the cells.
    """

    tokens: Int[Array, ' S']
    x: Float[Array, 'B S']
    flags: Int[Array, 'B S']
    y: Float[Array, 'B S']


def loss(
    network: Network, weights: Variables, batch: CellBatch, key: Key[jax.Array, ''] | None = None
) -> Float[jax.Array, '']:
    """The mean squared error over all genes and cells; `key` is that of dropout, without it nothing is left out."""
    return squared_errors(network, weights, batch, key).mean()


def squared_errors(
    network: Network, weights: Variables, batch: CellBatch, key: Key[jax.Array, ''] | None = None
) -> Float[jax.Array, 'B S']:
    """The squared error of each gene in each cell."""
    rngs = None if key is None else {'dropout': key}
    found = network.apply({'params': weights}, batch.tokens, batch.x, batch.flags, train=key is not None, rngs=rngs)
    return (jnp.asarray(found) - batch.y) ** 2


def start(weights: Variables) -> optax.OptState:
    """The moments of Adam before the first step."""
    return _rule().init(weights)


def step(
    weights: Variables, moments: optax.OptState, gradient: Variables, rate: Float[Array, '']
) -> tuple[Variables, optax.OptState]:
    """The weights and moments after a step of Adam on the gradient clipped by its norm."""
    direction, moments = _rule().update(clipped(gradient), moments)
    return jax.tree.map(lambda w, d: w - jnp.asarray(rate, w.dtype) * d, weights, direction), moments


def clipped(gradient: Variables) -> Variables:
    """The gradient, scaled to a norm of 1 where that of all weights together is larger."""
    share = jnp.minimum(_LARGEST_NORM / (optax.tree.norm(gradient) + _BESIDE_NORM), 1)
    return jax.tree.map(lambda each: share.astype(each.dtype) * each, gradient)


def _rule() -> optax.GradientTransformation:
    return optax.scale_by_adam()
