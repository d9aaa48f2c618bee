"""How scGPT is fine-tuned: a step over genes that are drawn for it, and the error of validation cells."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from perturbjax.models.cell_learner import Drawn, StepLoss
from perturbjax.models.cells import dense
from perturbjax.models.paired_cells import PairedCells
from perturbjax.models.scgpt.learning import CellBatch, loss, squared_errors, start, step
from perturbjax.models.scgpt.network import PERTURBED, Network
from perturbjax.screens.arrays import Array


class Tables(NamedTuple):
    """What a step needs beside the values of its cells, over all their G genes.

    Attributes:
      cells: the nodes of perturbations are genes.
      tokens: of the genes.
      weights: to start from; those that are missing are random.
    """

    cells: PairedCells
    tokens: Int[Array, ' G']
    weights: Any


class ScgptRule(NamedTuple):
    """See `cell_learner.Rule`; the plan is the learning rates, and the state weights and moments.

    Attributes:
      network: over the tokens.
      genes: how many are drawn for a step.
    """

    network: Network
    genes: int

    def start(self, key: Key[jax.Array, ''], tables: Tables) -> tuple[Any, Any]:
        """The pretrained weights."""
        none, ids = jnp.zeros((1, 1)), jnp.zeros((1, 1), jnp.int32)
        weights = dict(self.network.init(key, ids[0], none, ids)['params']) | tables.weights
        return weights, start(weights)

    def step(
        self, state: tuple[Any, Any], tables: Tables, drawn: Drawn, plan: Float[jax.Array, ''], key: Key[jax.Array, '']
    ) -> tuple[tuple[Any, Any], StepLoss]:
        """A step on the cells, over genes that are drawn for it."""
        weights, moments = state
        batch = batch_of(tables, drawn, self.genes, jax.random.fold_in(key, 0))
        dropout = jax.random.fold_in(key, 1)
        value, gradient = jax.value_and_grad(lambda weights: loss(self.network, weights, batch, dropout))(weights)
        return step(weights, moments, gradient, plan), StepLoss(value, jnp.ones(()))

    def kept(self, state: tuple[Any, Any]) -> Any:
        """The weights."""
        return state[0]

    def first_look(self, tables: Tables) -> Float[jax.Array, ' 2']:
        """The sum of errors, and the number of cells."""
        return jnp.zeros(2)

    def look(
        self, carry: Float[jax.Array, ' 2'], state: tuple[Any, Any], tables: Tables, drawn: Drawn,
        key: Key[jax.Array, ''],
    ) -> Float[jax.Array, ' 2']:  # fmt: skip
        """The sums with these cells, over genes that are drawn for them."""
        batch = batch_of(tables, drawn, self.genes, jax.random.fold_in(key, 2))
        errors = squared_errors(self.network, state[0], batch).mean(axis=1)
        return carry + jnp.stack([(errors * drawn.weight).sum(), drawn.weight.sum()])

    def error(self, carry: Float[jax.Array, ' 2'], tables: Tables) -> Float[jax.Array, '']:
        """The mean squared error."""
        return carry[0] / carry[1]


def batch_of(tables: Tables, drawn: Drawn, genes: int, key: Key[jax.Array, '']) -> CellBatch:
    """The batch of cells, over genes that are drawn from the panel without replacement."""
    cells, size = tables.cells, len(tables.tokens)
    some = jax.random.permutation(key, size)[:genes] if genes < size else jnp.arange(size)
    numbers, partner = drawn.numbers, jnp.asarray(cells.partner)[drawn.numbers]
    y, x = (dense(drawn.rows, each, size)[:, some] for each in (numbers, partner))
    parts = jnp.asarray(cells.parts)[jnp.asarray(cells.condition)[numbers]]
    return CellBatch(jnp.asarray(tables.tokens)[some], x, flags_of(parts, some), y)


def flags_of(parts: Int[Array, 'B K'], genes: Int[Array, ' S']) -> Int[jax.Array, 'B S']:
    """The flag of each gene: whether it is one of the parts of the perturbation, which -1 pads."""
    is_part = (jnp.asarray(parts)[:, :, None] == jnp.asarray(genes)[None, None, :]).any(axis=1)
    return jnp.where(is_part, PERTURBED, 0)
