"""Batches of the cells that GEARS learns from, and the readouts that judge an epoch."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from perturbjax.models.cells import SparseRows, dense
from perturbjax.models.gears.learning import CellBatch
from perturbjax.models.paired_cells import Chosen, PairedCells
from perturbjax.screens.arrays import Array

# The readouts by which an epoch is chosen: those that change most in a condition.
NUM_STRONGEST = 20


class Judged(NamedTuple):
    """What the cells of S validation conditions are compared with.

    Attributes:
      condition: of each cell, 0 to S - 1; S of those that do not validate.
      truth: the mean cell of each condition.
      strongest: the readouts that it is judged by.
    """

    condition: Int[Array, ' n']
    truth: Float[Array, 'S G']
    strongest: Int[Array, 'S T']


def batch_of(cells: PairedCells, rows: SparseRows, numbers: Int[Array, ' B']) -> CellBatch:
    """The batch of the cells with these numbers, whose values are in `rows`."""
    readouts, condition = cells.genes.shape[1], jnp.asarray(cells.condition)[numbers]
    own, partner = (dense(rows, some, readouts) for some in (numbers, jnp.asarray(cells.partner)[numbers]))
    is_first = jnp.arange(len(numbers)) == 0
    parts, genes, context = (jnp.asarray(each)[condition] for each in (cells.parts, cells.genes, cells.context))
    return CellBatch(partner, own, parts, condition, genes, jnp.asarray(cells.control)[context], is_first)


def judge_by(values: scipy.sparse.csr_matrix, cells: PairedCells, chosen: Chosen) -> Judged:
    """What the validation cells are compared with."""
    numbers, context = chosen.validation, cells.context[cells.condition[chosen.control]]
    conditions, own = np.unique(cells.condition[numbers], return_inverse=True)
    condition = np.full(len(cells.condition), len(conditions), np.int32)
    condition[numbers] = own
    truth = np.zeros((len(conditions), values.shape[1]), np.float32)
    strongest = np.zeros((len(conditions), min(NUM_STRONGEST, values.shape[1])), np.int32)
    for i, each in enumerate(conditions):
        some = values[numbers[own == i]].toarray()
        truth[i] = some.mean(axis=0)
        controls = values[chosen.control[context == cells.context[each]]].toarray()
        strongest[i] = strongest_readouts(some, controls, strongest.shape[1])
    return Judged(condition, truth, strongest)


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
