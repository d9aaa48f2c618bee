"""How GEARS is fitted: a step on a batch of cells, and the error of validation conditions that chooses the epoch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Key

from perturbjax.models.cell_learner import Drawn, StepLoss
from perturbjax.models.gears.cells import Judged, batch_of
from perturbjax.models.gears.learning import Optimizer, loss
from perturbjax.models.gears.network import Graphs, Network, renormalised
from perturbjax.models.paired_cells import PairedCells

# How much the term of signs counts in the loss; it has no gradient.
_SIGN = 0.1


class Tables(NamedTuple):
    """What a step needs beside the values of its cells; `judged` is None where nothing validates."""

    cells: PairedCells
    graphs: Graphs
    judged: Judged | None


class State(NamedTuple):
    """What training changes."""

    weights: Any
    statistics: Any
    moments: Any


class GearsRule(NamedTuple):
    """See `cell_learner.Rule`; the plan is the learning rates.

    Attributes:
      network: over the readouts of the cells, and the nodes of their perturbations.
      weight_decay: see `Optimizer`.
    """

    network: Network
    weight_decay: float

    def start(self, key: Key[jax.Array, ''], tables: Tables) -> State:
        """Random weights."""
        none = jnp.zeros((1, self.network.num_genes))
        no_parts = jnp.full((1, tables.cells.parts.shape[1]), -1, jnp.int32)
        variables = self.network.init(key, none, no_parts, jnp.ones(1, bool), tables.graphs)
        weights = variables['params']
        return State(weights, variables['batch_stats'], Optimizer(self.weight_decay).init(weights))

    def step(
        self, state: State, tables: Tables, drawn: Drawn, plan: Float[jax.Array, ''], key: Key[jax.Array, '']
    ) -> tuple[State, StepLoss]:
        """A step on the cells; nothing is random."""
        weights = renormalised(state.weights)
        batch = batch_of(tables.cells, drawn.rows, drawn.numbers)

        def of_weights(weights: Any) -> tuple[jax.Array, Any]:
            return loss(self.network, weights, state.statistics, tables.graphs, batch, _SIGN)

        (value, statistics), gradient = jax.value_and_grad(of_weights, has_aux=True)(weights)
        is_perturbed = jnp.asarray(batch.parts >= 0).any()
        moved, moments = Optimizer(self.weight_decay).update(weights, state.moments, gradient, plan, is_perturbed)
        return State(moved, statistics, moments), StepLoss(value, jnp.ones(()))

    def kept(self, state: State) -> dict[str, Any]:
        """Weights and running statistics."""
        return {'weights': state.weights, 'statistics': state.statistics}

    def first_look(self, tables: Tables) -> tuple[jax.Array, jax.Array]:
        """The sum of predicted cells, and their number, of each validation condition."""
        truth = jnp.asarray(tables.judged.truth)  # type: ignore[union-attr]
        return jnp.zeros_like(truth), jnp.zeros(len(truth))

    def look(
        self, carry: tuple[jax.Array, jax.Array], state: State, tables: Tables, drawn: Drawn, key: Key[jax.Array, '']
    ) -> tuple[jax.Array, jax.Array]:
        """The sums with these cells."""
        batch = batch_of(tables.cells, drawn.rows, drawn.numbers)
        variables = {'params': renormalised(state.weights), 'batch_stats': state.statistics}
        predicted, _ = self.network.apply(variables, batch.x, batch.parts, batch.is_first, tables.graphs)
        total, number = carry
        own = jnp.asarray(tables.judged.condition)[drawn.numbers]  # type: ignore[union-attr]
        condition = jnp.where(drawn.weight > 0, own, len(number))
        return total.at[condition].add(predicted, mode='drop'), number.at[condition].add(1, mode='drop')

    def error(self, carry: tuple[jax.Array, jax.Array], tables: Tables) -> Float[jax.Array, '']:
        """The squared error of each condition's mean over its strongest readouts; the mean over the conditions."""
        total, number = carry
        _, truth, strongest = tables.judged  # type: ignore[misc]
        return jnp.take_along_axis((total / number[:, None] - truth) ** 2, strongest, axis=1).mean()
