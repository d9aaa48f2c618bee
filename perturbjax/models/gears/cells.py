"""Batches of the cells that GEARS learns from, and the readouts that judge an epoch."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from perturbjax.models.cells import dense
from perturbjax.models.gears.learning import CellBatch
from perturbjax.models.paired_cells import PairedCells
from perturbjax.screens.arrays import Array

# The readouts by which an epoch is chosen: those that change most in a condition.
NUM_STRONGEST = 20


def batch_of(cells: PairedCells, numbers: Int[Array, ' B']) -> CellBatch:
    """The batch of the cells with these numbers."""
    readouts, condition = cells.genes.shape[1], cells.condition[numbers]
    own, partner = (dense(cells.rows, some, readouts) for some in (numbers, cells.partner[numbers]))
    is_first = jnp.arange(len(numbers)) == 0
    control = cells.control[cells.context[condition]]
    return CellBatch(partner, own, cells.parts[condition], condition, cells.genes[condition], control, is_first)


def strongest_readouts(
    cells: Float[np.ndarray, 'n G'], control: Float[np.ndarray, 'c G'], number: int = NUM_STRONGEST
) -> Int[np.ndarray, ' {number}']:
    """The readouts with the largest |t| of Welch's test of a condition's cells against control cells."""
    (mean, square, n), (other, other_square, m) = (
        (each.mean(axis=0), each.var(axis=0, ddof=1 if len(each) > 1 else 0), len(each)) for each in (cells, control)
    )
    error = np.sqrt(square / n + other_square / m)
    t = np.where(error > 0, (mean - other) / np.where(error > 0, error, 1), 0)
    return np.argsort(-np.abs(t), kind='stable')[:number]
