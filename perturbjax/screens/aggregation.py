"""Rows to profiles: normalise counts, then average the rows of each (context, perturbation).

Sums run over blocks of rows, so the memory needed is that of the profiles, not of the rows.
"""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError
from perturbjax.screens.blocks import ENTRIES, Block, Stored, blocks
from perturbjax.screens.measurements import Measurements


class Entries(NamedTuple):
    """Values of N rows by M readouts with their places, each `[E]`; where a sparse block has none, it is 0."""

    row: np.ndarray
    column: np.ndarray
    value: np.ndarray


class Sums(NamedTuple):
    """Sums over the rows in both halves of P profiles by M readouts.

    Attributes:
      rows: their number, `[2, P, 1]`.
      missing: how many of them were not measured, `[2, P, M]`.
      total: of the values, `[2, P, M]`.
      squares: of the values squared, both halves together, `[P, M]`.
    """

    rows: np.ndarray
    missing: np.ndarray
    total: np.ndarray
    squares: np.ndarray


def average(
    measurements: Measurements,
    counts: bool = False,
    target_sum: float = 1e4,
    missing: tuple[float, ...] = (),
    duplicate_seed: int = 0,
) -> Measurements:
    """One profile per (context, perturbation): the mean over its rows, with what is known of its error.

    Args:
      measurements: N rows; a sparse block is never made dense, one that stays in its file never read whole.
      counts: the values are raw counts: each row is scaled to `target_sum`, then ln(1 + x).
      missing: values that stand for "not measured", such as a floor.
      duplicate_seed: which rows make which half.

    Returns:
      Measurements with `cells`, and with `standard_error` and `halves` where a profile has
      more than one row (None where none has). Sorted by context, then perturbation.

    Raises:
      InputError: counts are expected, but negative values or fractions found.
    """
    rows = pd.DataFrame({'context': measurements.context, 'perturbation': measurements.perturbation})
    groups = rows.groupby(['context', 'perturbation'], sort=True, observed=True)
    profile, names = groups.ngroup().to_numpy(), groups.size()
    cells = names.to_numpy()
    entries = _entries(measurements, missing)
    if counts:
        entries = _log_normalised(entries, measurements, target_sum)
    sums = _sum(entries, profile, _second_half(profile, duplicate_seed), (len(cells), len(measurements.readout)))
    mean, error, halves = _means(sums)
    replicated = bool((cells > 1).any())
    return dataclasses.replace(
        measurements,
        values=mean,
        context=names.index.get_level_values('context').to_numpy(object),
        perturbation=names.index.get_level_values('perturbation').to_numpy(object),
        cells=cells.astype(np.int32),
        standard_error=error if replicated else None,
        halves=halves if replicated else None,
    )


def _entries(measurements: Measurements, missing: tuple[float, ...] = ()) -> Iterator[Entries]:
    """All values block by block; NaN where one of the `missing` stands (to 5 digits: files and users round them)."""
    for block in blocks(measurements.values, measurements.name):
        row, column, value = _listed(block)
        if missing and scipy.sparse.issparse(block.values):
            raise InputError('data.missing: a sparse block has no missing values; leave it empty.')
        if missing:
            value[np.isclose(value[:, None], np.array(missing), rtol=1e-5).any(axis=1)] = np.nan
        yield Entries(row, column, value)


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
    """ln(1 + target_sum * count / total of the row); a row without any count stays 0."""
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
    """The sum of each row `[N]`, for blocks that do not have whole rows."""
    rows = len(measurements.context)
    return sum((np.bincount(each.row, each.value, rows) for each in _entries(measurements)), np.zeros(rows))


def _check_counts(values: np.ndarray, name: str) -> None:
    wrong = values[~((values >= 0) & (values == np.floor(values)))]
    if wrong.size:
        raise InputError(
            f'{name}: data.counts is set, but {wrong.size} values are no counts, such as {wrong[0]:g}; '
            'give the raw counts, or set data.counts=False for values that are normalised already.'
        )


def _second_half(profile: np.ndarray, seed: int) -> np.ndarray:
    """A random half (the smaller, where odd) of each profile's rows, bool `[rows]`."""
    shuffled = np.random.default_rng(seed).permutation(len(profile))
    ordered = shuffled[np.argsort(profile[shuffled], kind='stable')]
    rank = pd.Series(profile[ordered]).groupby(profile[ordered]).cumcount().to_numpy()
    second = np.zeros(len(profile), bool)
    second[ordered] = rank % 2 == 1
    return second


def _sum(entries: Iterator[Entries], profile: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> Sums:
    """Sums for `shape` profiles x readouts; `profile` and `second` tell of each row its profile and its half."""
    half = np.where(second, shape[0], 0) + profile
    rows = np.bincount(half, minlength=2 * shape[0]).reshape(2, shape[0], 1)
    sums = Sums(rows, np.zeros((2, *shape), np.int32), np.zeros((2, *shape)), np.zeros(shape))
    missing, total, squares = (each.reshape(-1) for each in sums[1:])
    for row, column, value in entries:
        place = half[row] * shape[1] + column
        known = ~np.isnan(value)
        if not known.all():
            np.add.at(missing, place[~known], 1)
            place, value = place[known], value[known]
        np.add.at(total, place, value)
        np.add.at(squares, np.where(place < squares.size, place, place - squares.size), value**2)
    return sums


def _means(sums: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and its standard error over each profile's measured rows `[P, M]`, and both halves' `[2, P, M]`; float32."""
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
