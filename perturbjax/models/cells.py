"""What models that learn from cells share: cells as sparse rows on the device, and the controls to predict from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float, Int, Key

from perturbjax.errors import InputError
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary

# A prediction is the mean over so many control cells of its context, drawn with replacement.
NUM_CONTROLS = 300


class SparseRows(NamedTuple):
    """n rows of which each has at most W values that are not 0, at these columns; a column past the last is padding."""

    column: Int[Array, 'n W']
    value: Float[Array, 'n W']


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


def sparse_rows(values: scipy.sparse.csr_matrix) -> SparseRows:
    """The rows of a CSR matrix."""
    sizes = np.diff(values.indptr)
    width, rows = max(int(sizes.max(initial=0)), 1), np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(rows)) - np.repeat(values.indptr[:-1], sizes)
    column = np.full((len(sizes), width), values.shape[1], np.int32)
    value = np.zeros((len(sizes), width), np.float32)
    column[rows, place], value[rows, place] = values.indices, values.data
    return SparseRows(column, value)


def dense(rows: SparseRows, numbers: Int[Array, ' B'], readouts: int) -> Float[jax.Array, 'B {readouts}']:
    """The rows of these numbers, with their zeros."""
    column, value = (each[numbers] for each in rows)
    empty = jnp.zeros((len(value), readouts), value.dtype)
    return empty.at[jnp.arange(len(empty))[:, None], column].add(value, mode='drop')


def drawn_controls(
    numbers: Int[np.ndarray, ' n'], context: Int[np.ndarray, ' n'], key: Key[jax.Array, '']
) -> dict[int, Int[np.ndarray, ' d']]:
    """The control cells that each context is predicted from: `NUM_CONTROLS` of those with these numbers."""
    drawn = {}
    for each in np.unique(context).tolist():
        own = numbers[context == each]
        places = jax.random.randint(jax.random.fold_in(key, each), (NUM_CONTROLS,), 0, len(own))
        drawn[each] = own[np.asarray(places)]
    return drawn


class Dealt(NamedTuple):
    """Cells in n batches of B: their numbers, and a weight of 0 for what only fills up."""

    numbers: Int[Array, 'n B']
    weight: Float[Array, 'n B']


def filled_batches(numbers: Int[np.ndarray, ' n'], size: int) -> Dealt:
    """The cells in order, in batches of one size; the last one is filled up with the first cells again."""
    padded = np.resize(numbers, -(-len(numbers) // size) * size).astype(np.int32)
    weight = (np.arange(len(padded)) < len(numbers)).astype(np.float32)
    return Dealt(padded.reshape(-1, size), weight.reshape(-1, size))


def shuffled_batches(
    numbers: Int[np.ndarray, ' n'], size: int, key: Key[jax.Array, '']
) -> Int[jax.Array, 'batches {size}']:
    """The cells in a random order, in whole batches; what is left over is left out."""
    batches = len(numbers) // size
    return jax.random.permutation(key, jnp.asarray(numbers))[: batches * size].reshape(batches, size)


def column_of(vocabulary: Vocabulary, screen: Screen) -> Int[np.ndarray, ' M']:
    """The column of each readout of the vocabulary in the screen's panel; -1 where it has none."""
    column = np.full(len(vocabulary.readouts), -1, np.int32)
    column[screen.readout] = np.arange(len(screen.readout))
    return column


def check_finite(mean: float, epoch: int, model: str) -> None:
    """Raises InputError where the loss of an epoch, counted from 1, is not a number."""
    if not np.isfinite(mean):
        raise InputError(
            f'models.{model}: the loss was no longer finite in epoch {epoch}; lower models.{model}.learning_rate.'
        )
