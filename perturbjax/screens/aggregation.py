"""From rows to profiles: normalise counts, then average the rows of each (context, perturbation).

Sums run over blocks of rows, so the memory needed grows with the profiles and not with the rows.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError
from perturbjax.screens.blocks import ENTRIES, Block, Stored, blocks
from perturbjax.screens.cells import Keeper
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.row_checks import watched
from perturbjax.screens.shared_control import share_control


class Entries(NamedTuple):
    """E values of N rows by M readouts, with their row and column, each `[E]`; what a sparse block leaves out is 0."""

    row: np.ndarray
    column: np.ndarray
    value: np.ndarray


class Sums(NamedTuple):
    """Sums over the rows behind P profiles by M readouts, for each half of the rows.

    Attributes:
      rows: the number of rows, `[2, P, 1]`.
      missing: how many of them were not measured, `[2, P, M]`.
      total: the sum of the values, `[2, P, M]`.
      squares: the sum of the squared values, over both halves, `[P, M]`.
    """

    rows: np.ndarray
    missing: np.ndarray
    total: np.ndarray
    squares: np.ndarray


def average(
    measurements: Measurements,
    counts: bool = False,
    target_sum: float = 1e4,
    missing_values: tuple[float, ...] = (),
    duplicate_seed: int = 0,
    scale: str = '',
    keep_cells: bool = False,
) -> Measurements:
    """One profile per (context, perturbation): the mean over its rows, and its error.

    Args:
      measurements: N rows. Sparse values are never made dense, and values in a file are never read whole.
      counts: the values are raw counts; each row is scaled to the sum `target_sum`, then ln(1 + x) is taken.
      target_sum: see `counts`.
      missing_values: values that stand for "not measured", such as a floor.
      duplicate_seed: of the random choice of the rows that make each half.
      scale: what the means are declared to be; rows that do not look like it are told in a warning.
      keep_cells: whether the rows are kept too, for models that learn from them.

    Returns:
      Measurements with `cells`, and with `standard_error` and `halves` unless every profile has only
      one row. Sorted by context, then by perturbation.

    Raises:
      InputError: `counts` is set, but there are negative values or fractions.
    """
    rows = pd.DataFrame({'context': measurements.context, 'perturbation': measurements.perturbation})
    groups = rows.groupby(['context', 'perturbation'], sort=True, observed=True)
    profile, names = groups.ngroup().to_numpy(), groups.size()
    cells = names.to_numpy()
    entries = _entries(measurements, missing_values, '' if counts else scale)
    if counts:
        entries = _log_normalised(entries, measurements, target_sum)
    keeper = Keeper() if keep_cells else None
    entries = entries if keeper is None else keeper.passing(entries)
    sums = _sum(entries, profile, _second_half(profile, duplicate_seed), (len(cells), len(measurements.readout)))
    mean, error, halves = _means(sums)
    replicated = bool((cells > 1).any())
    profiles = dataclasses.replace(
        measurements,
        values=mean,
        context=names.index.get_level_values('context').to_numpy(object),
        perturbation=names.index.get_level_values('perturbation').to_numpy(object),
        cells=cells.astype(np.int32),
        standard_error=error if replicated else None,
        halves=halves if replicated else None,
        kept=None if keeper is None else keeper.cells(profile, len(measurements.readout)),
    )
    return share_control(profiles)


def _entries(measurements: Measurements, missing_values: tuple[float, ...] = (), scale: str = '') -> Iterator[Entries]:
    """All values, block by block; the `missing_values` become NaN. A warning says if rows do not fit the scale."""
    say = functools.partial(logging.warning, '%s: %s', measurements.name)
    stored = blocks(measurements.values, measurements.name)
    for block in watched(stored, len(measurements.readout), scale, say):
        row, column, value = _listed(block)
        if missing_values and scipy.sparse.issparse(block.values):
            raise InputError('data.missing_values: a sparse block cannot have missing values; leave the setting empty.')
        if missing_values:
            value[is_missing(value, missing_values)] = np.nan
        yield Entries(row, column, value)


def is_missing(values: np.ndarray, missing_values: tuple[float, ...]) -> np.ndarray:
    """Which values stand for "not measured", bool; compared to 5 digits, because files and users round them."""
    return np.isclose(values[..., None], np.array(missing_values, float), rtol=1e-5).any(axis=-1)


def _listed(block: Block) -> Entries:
    values = block.values
    if scipy.sparse.issparse(values):
        values.sum_duplicates()
        values = values.tocoo()
        row, column, value = values.row, values.col, values.data
    else:
        row, column = (each.ravel() for each in np.indices(values.shape, np.int32))
        value = values.ravel()
    return Entries(row + block.rows.start, column + block.columns.start, value.astype(np.float64))


def _log_normalised(entries: Iterator[Entries], measurements: Measurements, target_sum: float) -> Iterator[Entries]:
    """ln(1 + target_sum * count / total of the row); a row without counts stays 0."""
    name, rows = measurements.name, len(measurements.context)
    stored = measurements.values
    totals = _totals(measurements) if isinstance(stored, Stored) and stored.by_columns else None
    counted = np.zeros(rows, bool)
    for row, column, value in entries:
        _check_counts(value, name)
        total = np.bincount(row, value, rows) if totals is None else totals
        counted |= total > 0
        yield Entries(row, column, np.log1p(value * (target_sum / np.maximum(total, 1))[row]))
    if not counted.all():
        logging.warning('%s: %d rows have no counts at all; they stay 0.', name, (~counted).sum())


def _totals(measurements: Measurements) -> np.ndarray:
    """The sum of each row `[N]`; needed where a block does not have whole rows."""
    rows = len(measurements.context)
    return sum((np.bincount(each.row, each.value, rows) for each in _entries(measurements)), np.zeros(rows))


def _check_counts(values: np.ndarray, name: str) -> None:
    wrong = values[~((values >= 0) & (values == np.floor(values)))]
    if wrong.size:
        raise InputError(
            f'{name}: data.counts is set, but {wrong.size} values are no counts, such as {wrong[0]:g}; '
            'give the raw counts, or set data.counts=False for values that are already normalised.'
        )


def _second_half(profile: np.ndarray, seed: int) -> np.ndarray:
    """A random half of each profile's rows, the smaller one where their number is odd, bool `[N]`."""
    shuffled = np.random.default_rng(seed).permutation(len(profile))
    ordered = shuffled[np.argsort(profile[shuffled], kind='stable')]
    rank = pd.Series(profile[ordered]).groupby(profile[ordered]).cumcount().to_numpy()
    second = np.zeros(len(profile), bool)
    second[ordered] = rank % 2 == 1
    return second


def _sum(entries: Iterator[Entries], profile: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> Sums:
    """The sums of all entries, by profile and half.

    Args:
      entries: all values.
      profile: of each row `[N]`.
      second: whether a row is in the second half, bool `[N]`.
      shape: P and M.
    """
    half = np.where(second, shape[0], 0) + profile
    rows = np.bincount(half, minlength=2 * shape[0]).reshape(2, shape[0], 1)
    sums = Sums(rows, np.zeros((2, *shape), np.int32), np.zeros((2, *shape)), np.zeros(shape))
    missing, total, squares = (each.reshape(-1) for each in sums[1:])
    for row, column, value in entries:
        index = half[row] * shape[1] + column  # into the flattened [2, P, M]
        known = ~np.isnan(value)
        if not known.all():
            np.add.at(missing, index[~known], 1)
            index, value = index[known], value[known]
        np.add.at(total, index, value)
        np.add.at(squares, np.where(index < squares.size, index, index - squares.size), value**2)
    return sums


def _means(sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of each profile's measured rows and its error `[P, M]`, and both halves' means `[2, P, M]`; float32."""
    profiles, readouts = sums.squares.shape
    mean, error = (np.empty(sums.squares.shape, np.float32) for _ in range(2))
    halves = np.empty(sums.total.shape, np.float32)
    step = max(1, ENTRIES // readouts)
    for some in (slice(start, start + step) for start in range(0, profiles, step)):
        part = Sums(sums.rows[:, some], sums.missing[:, some], sums.total[:, some], sums.squares[some])
        mean[some], error[some], halves[:, some] = _means_of(part)
    return mean, error, halves


def _means_of(sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    each_n = sums.rows - sums.missing
    n, total = each_n.sum(axis=0), sums.total.sum(axis=0)
    with np.errstate(divide='ignore', invalid='ignore'):
        mean = total / n
        variance = np.maximum(sums.squares - n * mean**2, 0) / (n - 1)
        error = np.where(n > 1, np.sqrt(variance / n), np.nan)
        halves = np.where(sums.rows.sum(axis=0) > 1, sums.total / each_n, np.nan)
    return mean, error, halves
