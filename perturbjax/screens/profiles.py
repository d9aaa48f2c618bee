"""Rows to profiles: normalise counts, then average the rows of each (context, perturbation)."""

import dataclasses
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError
from perturbjax.screens.measurements import Measurements

Values: TypeAlias = Any  # np.ndarray or scipy.sparse.csr_matrix


def average(
    measurements: Measurements,
    counts: bool = False,
    target_sum: float = 1e4,
    missing: tuple[float, ...] = (),
    duplicate_seed: int = 0,
) -> Measurements:
    """One profile per (context, perturbation): the mean over its rows, with what is known of its error.

    Args:
      measurements: N rows; a sparse block is never made dense.
      counts: the values are raw counts: each row is scaled to `target_sum`, then ln(1 + x).
      missing: values that stand for "not measured", such as a floor.
      duplicate_seed: which half of the rows makes the technical duplicate.

    Returns:
      Measurements with `cells`, and with `standard_error` and `duplicate` where a profile has
      more than one row (None where none has). Sorted by context, then perturbation.

    Raises:
      InputError: counts are expected, but negative values or fractions found.
    """
    values = _blank(measurements.values, missing)
    if counts:
        values = _log_normalise(_check_counts(values, measurements.name), target_sum, measurements.name)
    rows = pd.DataFrame({'context': measurements.context, 'perturbation': measurements.perturbation})
    groups = rows.groupby(['context', 'perturbation'], sort=True, observed=True)
    profile = groups.ngroup().to_numpy()
    names = groups.size()
    cells = names.to_numpy()
    mean, error = _mean_and_error(values, _members(profile, np.ones(len(profile), bool), len(cells)))
    second = _members(profile, _second_half(profile, duplicate_seed), len(cells))
    replicated = bool((cells > 1).any())
    return dataclasses.replace(
        measurements,
        values=mean,
        context=names.index.get_level_values('context').to_numpy(object),
        perturbation=names.index.get_level_values('perturbation').to_numpy(object),
        cells=cells.astype(np.int32),
        standard_error=error if replicated else None,
        duplicate=_mean_and_error(values, second)[0] if replicated else None,
    )


def _blank(values: Values, missing: tuple[float, ...]) -> Values:
    """The values with NaN where one of the `missing` stands (to 5 digits: files and users round them)."""
    if not missing:
        return values
    if scipy.sparse.issparse(values):
        raise InputError('data.missing: a sparse block has no missing values; leave it empty.')
    return np.where(np.isclose(values[..., None], np.array(missing, values.dtype), rtol=1e-5).any(-1), np.nan, values)


def _check_counts(values: Values, name: str) -> Values:
    entries = values.data if scipy.sparse.issparse(values) else values
    wrong = entries[~((entries >= 0) & (entries == np.floor(entries)))]
    if wrong.size:
        raise InputError(
            f'{name}: data.counts is set, but {wrong.size} values are no counts, such as {wrong[0]:g}; '
            'give the raw counts, or set data.counts=False for values that are normalised already.'
        )
    return values


def _log_normalise(counts: Values, target_sum: float, name: str) -> Values:
    """ln(1 + target_sum * count / total of the row); a row without any count stays 0."""
    totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    if (totals == 0).any():
        logging.warning('%s: %d rows have no counts at all; they stay 0.', name, (totals == 0).sum())
    scale = target_sum / np.where(totals == 0, 1, totals)
    if scipy.sparse.issparse(counts):
        return scipy.sparse.csr_matrix(scipy.sparse.diags_array(scale) @ counts).log1p()
    return np.log1p(counts * scale[:, None])


def _members(profile: np.ndarray, chosen: np.ndarray, profiles: int) -> scipy.sparse.csr_matrix:
    """Which rows belong to which profile, 0/1, `[profiles, rows]`."""
    rows = np.flatnonzero(chosen)
    ones = np.ones(len(rows), np.float64)
    return scipy.sparse.csr_matrix((ones, (profile[rows], rows)), shape=(profiles, len(profile)))


def _second_half(profile: np.ndarray, seed: int) -> np.ndarray:
    """A random half (the smaller, where odd) of each profile's rows, bool `[rows]`."""
    shuffled = np.random.default_rng(seed).permutation(len(profile))
    ordered = shuffled[np.argsort(profile[shuffled], kind='stable')]
    rank = pd.Series(profile[ordered]).groupby(profile[ordered]).cumcount().to_numpy()
    second = np.zeros(len(profile), bool)
    second[ordered] = rank % 2 == 1
    return second


def _mean_and_error(values: Values, members: scipy.sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error over each profile's measured rows, float32 `[profiles, M]`."""
    if scipy.sparse.issparse(values):
        total, squares = (members @ values).toarray(), (members @ values.multiply(values)).toarray()
        n = np.asarray(members.sum(axis=1)).reshape(-1, 1)
    else:
        filled = np.nan_to_num(values.astype(np.float64))
        total, squares, n = members @ filled, members @ filled**2, members @ ~np.isnan(values)
    with np.errstate(divide='ignore', invalid='ignore'):
        mean = total / n
        variance = np.maximum(squares - n * mean**2, 0) / (n - 1)
        error = np.where(n > 1, np.sqrt(variance / n), np.nan)
    return mean.astype(np.float32), error.astype(np.float32)
