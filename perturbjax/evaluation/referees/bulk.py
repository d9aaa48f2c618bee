"""The profile of each perturbation's cells, and how far it is from that of endlessly many such cells."""

from typing import NamedTuple

import numpy as np

from perturbjax.evaluation.referees.pair import Cells

# Counts of a profile are scaled to this sum. Source: the rule of the Virtual Cell Challenge 2026 in cell-eval2.
TARGET_SUM = 50_000.0
# Cells at a time in the jackknife: few enough to stay in a processor's cache.
_CELLS = 64


class Bulk(NamedTuple):
    """Profiles of G groups of cells.

    Attributes:
      values: `[G, M]`. Of counts: ln(1 + 50,000 x share of the group's counts). Else the mean of the cells.
      error: the expected squared distance of each profile from its expectation, summed over readouts, `[G]`; 0 for a
        group of one cell, of which it cannot be known.
    """

    values: np.ndarray
    error: np.ndarray


def bulk(cells: Cells, groups: int, counts: bool) -> Bulk:
    """The profiles of the groups 0 to `groups - 1`; all zero for a group without counts."""
    profiles = [(_of_counts if counts else _of_logs)(cells.of(group)) for group in range(groups)]
    values, error = zip(*profiles)
    return Bulk(np.array(values), np.array(error))


def _of_logs(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of the cells `[N, M]`, and its variance summed over readouts."""
    n = len(values)
    return values.mean(axis=0), values.var(axis=0, ddof=1).sum() / n if n > 1 else 0.0


def _of_counts(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The profile of the summed counts `[N, M]`, and its variance by leaving out one cell at a time.

    The variance is (n - 1) / n sum_i sum_g (v_ig - mean_i v_ig)^2, where v_i is the profile without cell i.
    """
    n, total = len(values), values.sum(axis=0)
    profile = _profile(total[None])[0]
    if n < 2 or not total.any():
        return profile, 0.0
    first, second = np.zeros(len(total)), np.zeros(len(total))
    for start in range(0, n, _CELLS):
        # Deviations from the profile of all cells: their squares keep their digits.
        deviation = _profile(total - values[start : start + _CELLS]) - profile
        first += deviation.sum(axis=0)
        second += (deviation**2).sum(axis=0)
    return profile, max(float((second - first**2 / n).sum()) * (n - 1) / n, 0.0)


def _profile(counts: np.ndarray) -> np.ndarray:
    """ln(1 + 50,000 x share) of summed counts `[N, M]`; zeros for a row without counts."""
    total = counts.sum(axis=1, keepdims=True)
    return np.log1p(TARGET_SUM * counts / np.where(total > 0, total, 1))
