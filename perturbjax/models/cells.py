"""What models that learn from cells share: cells as sparse rows on the device, and the controls to predict from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jax.sharding import PartitionSpec
from jaxtyping import Float, Int, Key, Shaped

from perturbjax.errors import InputError
from perturbjax.models.model import DEVICE_AXIS
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary

# A prediction is the mean over so many control cells of its context, drawn with replacement.
NUM_CONTROLS = 300


class SparseRows(NamedTuple):
    """Rows of cells, of which each has at most W values that are not 0.

    Attributes:
      column: of each value; one past the last is padding.
      value: themselves.
      place: the row of each of n cells, of which only some are here; None where a cell's number is its row.
    """

    column: Int[Array, 'rows W']
    value: Float[Array, 'rows W']
    place: Int[Array, ' n'] | None = None


class Keys(NamedTuple):
    """The keys of a seed, by what they are for.

    Attributes:
      weights: the first weights.
      pairs: which control cell stands beside which cell.
      order: the order of cells in an epoch.
      controls: the control cells to predict from.
      noise: what else is drawn in training.
    """

    weights: Key[jax.Array, '']
    pairs: Key[jax.Array, '']
    order: Key[jax.Array, '']
    controls: Key[jax.Array, '']
    noise: Key[jax.Array, '']


def make_keys(seed: int) -> Keys:
    """Keys that do not depend on each other."""
    key = jax.random.key(np.uint32(seed))
    return Keys(*(jax.random.fold_in(key, use) for use in range(len(Keys._fields))))


def screen_of_cells(compendium: Compendium, model: str, scale: str | None = 'log1p') -> Screen:
    """The one screen, which has cells on that scale; None takes any.

    Raises InputError where there are several screens, or no such cells; it names the model.
    """
    if len(compendium.screens) > 1:
        raise InputError(
            f'models.{model}: it learns from one screen of cells, and data has {len(compendium.screens)}; give one of '
            'them, or leave the model out.'
        )
    (screen,) = compendium.screens
    if screen.kept is None:
        raise InputError(
            f'models.{model}: it learns from cells; set data.keep_cells = True, with a source of files (prepared data '
            'have profiles alone).'
        )
    if screen.kept.values is None:
        raise InputError(f'models.{model}: {screen.name}: cells have values that were not measured; leave them out.')
    if scale is not None and screen.scale != scale:
        raise InputError(
            f'models.{model}: it learns from cells on the scale {scale}, and {screen.name} is on {screen.scale}; for '
            'raw counts set data.counts = True.'
        )
    return screen


def most_values(values: scipy.sparse.csr_matrix) -> int:
    """How many values the fullest row has; at least 1."""
    return max(int(np.diff(values.indptr).max(initial=0)), 1)


def sparse_rows(values: scipy.sparse.csr_matrix, width: int) -> SparseRows:
    """The rows of a CSR matrix, with room for `width` values each."""
    sizes = np.diff(values.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(rows)) - np.repeat(values.indptr[:-1], sizes)
    column = np.full((len(sizes), width), values.shape[1], np.int32)
    value = np.zeros((len(sizes), width), np.float32)
    column[rows, place], value[rows, place] = values.indices, values.data
    return SparseRows(column, value)


def dense(rows: SparseRows, numbers: Int[Array, ' B'], readouts: int) -> Float[jax.Array, 'B {readouts}']:
    """The cells of these numbers, with their zeros; in a mesh of devices they are divided among these."""
    place = numbers if rows.place is None else jnp.asarray(rows.place)[numbers]
    column, value = (_divided(jnp.asarray(each)[place]) for each in rows[:2])
    empty = jnp.zeros((len(value), readouts), value.dtype)
    return _divided(empty.at[jnp.arange(len(empty))[:, None], column].add(value, mode='drop'))


def _divided(rows: Shaped[jax.Array, 'B _width']) -> Shaped[jax.Array, 'B _width']:
    """The rows, each on one of the devices of the mesh that is set; as they are where there is none."""
    if jax.sharding.get_abstract_mesh().empty:
        return rows
    return jax.lax.with_sharding_constraint(rows, PartitionSpec(DEVICE_AXIS))


def drawn_controls(
    numbers: Int[np.ndarray, ' n'], context: Int[np.ndarray, ' n'], key: Key[jax.Array, ''], drawn: int = NUM_CONTROLS
) -> dict[int, Int[np.ndarray, ' d']]:
    """The control cells that each context is predicted from: so many, drawn of those with these numbers."""
    found = {}
    for each in np.unique(context).tolist():
        own = numbers[context == each]
        places = jax.random.randint(jax.random.fold_in(key, each), (NUM_CONTROLS,), 0, len(own))
        found[each] = own[np.asarray(places)[:drawn]]
    return found


def control_cells(
    values: scipy.sparse.csr_matrix, numbers: Int[np.ndarray, ' c'], profile: Int[np.ndarray, ' n'], screen: Screen,
    vocabulary: Vocabulary, keys: Keys, drawn: int = NUM_CONTROLS,
) -> Float[np.ndarray, 'C d G']:  # fmt: skip
    """The control cells that each context of the vocabulary is predicted from; NaN where it has none.

    Args:
      values, profile: of all cells; the profile is one of the screen.
      numbers: which of them are control cells.
      screen, vocabulary, keys: of the run.
      drawn: how many are drawn.
    """
    found = np.full((len(vocabulary.contexts), drawn, values.shape[1]), np.nan, np.float32)
    for each, some in drawn_controls(numbers, screen.context[profile[numbers]], keys.controls, drawn).items():
        found[each] = values[some].toarray()
    return found


class Dealt(NamedTuple):
    """Cells in n batches of B: their numbers, and a weight of 0 for what only fills up."""

    numbers: Int[Array, 'n B']
    weight: Float[Array, 'n B']


def deal(numbers: Int[np.ndarray, ' n'], batch_size: int, fewest: int = 1) -> Dealt | None:
    """The cells in order, in batches of one size.

    The last one is filled up with the first cells again; if it has fewer than `fewest` cells of its own it is left
    out. None where no batch remains.
    """
    rest = len(numbers) % batch_size
    kept = numbers[: len(numbers) - rest] if rest < fewest else numbers
    if not len(kept):
        return None
    padded = np.resize(kept, -(-len(kept) // batch_size) * batch_size).astype(np.int32)
    weight = (np.arange(len(padded)) < len(kept)).astype(np.float32)
    return Dealt(padded.reshape(-1, batch_size), weight.reshape(-1, batch_size))


def falling_rates(rate: float, decay: float, epoch: int, steps: int) -> Float[np.ndarray, ' {steps}']:
    """The learning rate of each step of an epoch, counted from 0, where it falls from epoch to epoch."""
    return np.full(steps, rate * decay**epoch, np.float32)


def column_of(vocabulary: Vocabulary, screen: Screen) -> Int[np.ndarray, ' M']:
    """The column of each readout of the vocabulary in the screen's panel; -1 where it has none."""
    column = np.full(len(vocabulary.readouts), -1, np.int32)
    column[screen.readout] = np.arange(len(screen.readout))
    return column
