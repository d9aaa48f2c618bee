"""What CPA learns from: the counts of cells, with the conditions and contexts that the adversary is to guess."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError
from perturbjax.models.cell_learner import Drawn
from perturbjax.models.cells import dense
from perturbjax.models.cpa.losses import Guessed
from perturbjax.models.cpa.network import CellBatch
from perturbjax.models.model import Masks
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Screen

# Recovered counts are whole numbers, to this error; if more than the share is not, the values were no counts. (A cell
# that has no count of 1 gives fractions.)
_WHOLE, _SHARE_OF_FRACTIONS = 0.05, 0.2

# So many cells are looked at to tell.
_LOOKED_AT = 1000


class LabelledCells(NamedTuple):
    """What is known of the cells that take part beside their values, of the N profiles of a screen.

    Attributes:
      profile: of each cell, a row of the tables below.
      parts: the ids of the parts of each profile's perturbation, padded with -1.
      condition, context: the classes of each profile.
      total: the sum of each cell's scaled counts over the panel; 1 with `gauss`.
      weights: how much the adversary counts a cell of each condition, and of each context.
    """

    profile: Int[Array, ' n']
    parts: Int[Array, 'N K']
    condition: Int[Array, ' N']
    context: Int[Array, ' N']
    total: Float[Array, ' n']
    weights: tuple[Float[Array, ' C'], Float[Array, ' X']]


class Chosen(NamedTuple):
    """The numbers of the cells that train and validate, and of the control cells that train."""

    training: Int[np.ndarray, ' a']
    validation: Int[np.ndarray, ' b']
    control: Int[np.ndarray, ' c']


def recovered_counts(values: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """The counts behind values ln(1 + counts scaled to a sum): the smallest of each cell that is not 0 was 1."""
    counts = scipy.sparse.csr_matrix(values, dtype=np.float64, copy=True)
    counts.eliminate_zeros()
    counts.data = np.expm1(counts.data)
    sizes = np.diff(counts.indptr)
    starts = counts.indptr[:-1][sizes > 0]
    smallest = np.minimum.reduceat(counts.data, starts) if len(starts) else np.zeros(0)
    counts.data = (counts.data / np.repeat(smallest, sizes[sizes > 0])).astype(np.float32)
    return scipy.sparse.csr_matrix((counts.data, counts.indices, counts.indptr), shape=values.shape)


def check_counts(screen: Screen) -> None:
    """Raises InputError where the values of the cells cannot have been counts; some cells tell it."""
    assert screen.kept is not None
    assert screen.kept.values is not None
    values = screen.kept.values
    some = values[:: -(-values.shape[0] // _LOOKED_AT)]
    counts = recovered_counts(some).data
    fractions = np.abs(counts - np.round(counts)) > _WHOLE
    if (some.data < 0).any() or fractions.mean() > _SHARE_OF_FRACTIONS:
        raise InputError(
            f'models.cpa.likelihood: nb needs counts, and the cells of {screen.name} are not ln(1 + counts scaled to '
            f'the same sum): divided by the smallest of its cell, {fractions.mean():.0%} of the values are no whole '
            "numbers; give raw counts with data.counts = True, or set models.cpa.likelihood = 'gauss'."
        )


def label_cells(
    screen: Screen, training: Masks, validation: Masks, likelihood: str
) -> tuple[scipy.sparse.csr_matrix, LabelledCells, Chosen]:
    """The cells of the training and validation profiles, renumbered, and which of them do what.

    No cell of any other profile is looked at. The values are counts, or with `gauss` on the log scale that they had.
    """
    cells, (trains,), (validates,) = screen.kept, map(np.asarray, training), map(np.asarray, validation)
    assert cells is not None
    assert cells.values is not None
    numbers = cells.of(trains | validates)
    values, profile = cells.values[numbers], cells.profile[numbers]
    _, condition = np.unique(screen.perturbation, axis=0, return_inverse=True)
    _, context = np.unique(screen.context, return_inverse=True)
    chosen = Chosen(*(_where(mask, profile) for mask in (trains, validates, trains & screen.is_control)))
    trained = profile[chosen.training]
    weights = (_class_weights(condition, trained), np.ones(context.max() + 1, np.float32))
    counts, total = values, np.ones(len(numbers), np.float32)
    if likelihood == 'nb':
        scaled = values.astype(np.float64).expm1()
        counts, total = recovered_counts(values), np.asarray(scaled.sum(axis=1), np.float32).ravel()
    parts, of_condition, of_context = (np.asarray(each, np.int32) for each in (screen.perturbation, condition, context))
    labels = (profile, parts, of_condition.ravel(), of_context)
    return counts, LabelledCells(*labels, total, weights), chosen


def _where(mask: Bool[np.ndarray, ' N'], profile: Int[np.ndarray, ' n']) -> Int[np.ndarray, ' c']:
    return np.flatnonzero(mask[profile])


def _class_weights(condition: Int[np.ndarray, ' N'], profile: Int[np.ndarray, ' n']) -> Float[np.ndarray, ' C']:
    """Cells / cells of the class - 1, of those that train; 0 of a class without any."""
    counts = np.bincount(condition.ravel()[profile], minlength=condition.max() + 1)
    return np.where(counts > 0, len(profile) / np.maximum(counts, 1) - 1, 0).astype(np.float32)


def batch_of(cells: LabelledCells, drawn: Drawn, readouts: int) -> CellBatch:
    """The batch of cells; all doses are 1."""
    profile = jnp.asarray(cells.profile)[drawn.numbers]
    parts = jnp.asarray(cells.parts)[profile]
    dose = jnp.ones(parts.shape, jnp.float32)
    condition, context = (jnp.asarray(each)[profile] for each in (cells.condition, cells.context))
    values = dense(drawn.rows, drawn.numbers, readouts)
    return CellBatch(values, parts, dose, condition, context, jnp.asarray(drawn.weight))


def guessed_of(cells: LabelledCells, batch: CellBatch, things: int) -> Guessed:
    """What the adversary is asked of a batch: the condition, and the context where `things` is 2."""
    return Guessed((batch.condition, batch.context)[:things], cells.weights[:things])
