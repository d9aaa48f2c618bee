"""How GEARS learns: its loss over a batch of cells, and its optimizer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Int

from perturbjax.models.gears.network import OF_PERTURBATIONS, Graphs, Network
from perturbjax.screens.arrays import Array

Variables = Mapping[str, Any]


class CellBatch(NamedTuple):
    """B cells, each beside the control cell that it is paired with.

    Attributes:
      x: the control cells, log scale.
      y: the cells.
      parts: nodes of each cell's perturbation, padded with -1.
      condition: an id, the same for all cells of a perturbation in a context.
      genes: which readouts count: those whose mean is not 0 in the cell's condition; all of a control cell.
      control: the mean control cell of its context.
      is_first: which cell is the first of the batch.
    """

    x: Float[Array, 'B G']
    y: Float[Array, 'B G']
    parts: Int[Array, 'B K']
    condition: Int[Array, ' B']
    genes: Bool[Array, 'B G']
    control: Float[Array, 'B G']
    is_first: Bool[Array, ' B']


def loss(
    network: Network, weights: Variables, statistics: Variables, graphs: Graphs, batch: CellBatch, sign: float,
    uncertainty: float = 1.0,
) -> tuple[Float[jax.Array, ''], Variables]:  # fmt: skip
    """The mean over the conditions of a batch of the mean over their cells and readouts; and the batch statistics.

    Of one value it is (y - prediction)^4 + sign (sgn(y - control) - sgn(prediction - control))^2; the second term has
    no gradient. With a log variance s, the first is (1 + uncertainty e^-s) (y - prediction)^4, as released: nothing
    keeps s from growing.
    """
    (prediction, spread), statistics = network.apply(
        {'params': weights, 'batch_stats': statistics},
        batch.x, batch.parts, batch.is_first, graphs, train=True, mutable=['batch_stats'],
    )  # fmt: skip
    fourth = (batch.y - prediction) ** 4
    if spread is not None:
        fourth = (1 + uncertainty * jnp.exp(-spread)) * fourth
    turned = (jnp.sign(batch.y - batch.control) - jnp.sign(prediction - batch.control)) ** 2
    counted = jnp.where(batch.genes, fourth + sign * turned, 0).sum(axis=1) / jnp.maximum(batch.genes.sum(axis=1), 1)
    share = shares(batch.condition)
    return (share.astype(counted.dtype) * counted).sum(), statistics['batch_stats']


def shares(condition: Int[Array, ' B']) -> Float[jax.Array, ' B']:
    """How much each cell counts, so that all conditions of a batch count alike; they add up to 1."""
    condition = jnp.asarray(condition)
    each = 1 / (condition[:, None] == condition[None, :]).sum(axis=1)
    return each / each.sum()


class Optimizer(NamedTuple):
    """Adam, after each gradient is clipped to +-1 and weight decay is added to it (L2, not AdamW).

    The weights of perturbations have moments and a count of steps of their own: a batch of control cells alone gives
    them no gradient, and they stay as they are.

    Attributes:
      weight_decay: times the weight, is added to the clipped gradient.
    """

    weight_decay: float = 5e-4

    def _rule(self) -> optax.GradientTransformation:
        return optax.chain(optax.clip(1.0), optax.add_decayed_weights(self.weight_decay), optax.scale_by_adam())

    def init(self, weights: Variables) -> tuple[optax.OptState, optax.OptState]:
        """The moments before the first step."""
        return tuple(self._rule().init(each) for each in _halves(weights))  # type: ignore[return-value]

    def update(
        self, weights: Variables, moments: Any, gradient: Variables, rate: Float[Array, ''], is_perturbed: Array
    ) -> tuple[Variables, Any]:
        """The weights and moments after a step; `is_perturbed` says whether any cell of the batch is."""
        found, kept = dict[str, Any](), list[Any]()
        halves = zip(_halves(weights), moments, _halves(gradient), (True, is_perturbed), strict=True)
        for own, state, slope, has_gradient in halves:
            direction, new = self._rule().update(slope, state, own)
            moved = jax.tree.map(lambda w, d: w - rate.astype(w.dtype) * d, own, direction)
            moved, new = jax.tree.map(
                lambda now, before, has=has_gradient: jnp.where(has, now, before), (moved, new), (own, state)
            )
            found |= moved
            kept.append(new)
        return found, tuple(kept)


def _halves(weights: Variables) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights that every batch gives a gradient, and those of perturbations."""
    of_perturbations = {name: weights[name] for name in OF_PERTURBATIONS}
    return {name: each for name, each in weights.items() if name not in of_perturbations}, of_perturbations
