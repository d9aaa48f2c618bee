"""Which readouts differ between the cells of a perturbation and those of control, on the true and the predicted side.

Source: the tables of differential expression of cell-eval2 (arithmetic means, Wilcoxon's rank sum test, false discovery
rates within each perturbation). Both sides are compared with the true control cells.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float

from perturbjax.evaluation.referees.pair import Cells, Pair

# Readouts count if control has more than this, in counts per million.
LEAST_CPM = 5.0
# Added to means in the ratio, so that it is never 0 / 0.
_EPSILON = 1e-9
_MILLION = 1e6


class Differential(NamedTuple):
    """Differential expression of P perturbations in M readouts.

    Attributes:
      change: log2 of the ratio of the means, each plus 1e-9, `[P, M]`.
      p_value: of the two-sided rank sum test with correction for ties and without one for continuity; 1 where all
        cells have one value, `[P, M]`.
      adjusted: p values adjusted by Benjamini and Hochberg within a perturbation; NaN where not tested, `[P, M]`.
      tested: the readouts that count, `[M]`.
    """

    change: Float[np.ndarray, 'P M']
    p_value: Float[np.ndarray, 'P M']
    adjusted: Float[np.ndarray, 'P M']
    tested: Bool[np.ndarray, ' M']


def differential(pair: Pair, cells: Cells) -> Differential:
    """The table of one side of a pair.

    Of counts, cells are scaled to a million, and readouts with at most 5 per million in control do not count. Values
    that are logarithms count in all readouts, and their means are those of e^x - 1.
    """
    control = _scaled(pair.truth.of(len(pair.perturbations)), pair.counts)
    level = control.mean(axis=0)
    tested = level > LEAST_CPM if pair.counts else np.ones(len(level), bool)
    change, p_value = np.empty((2, len(pair.perturbations), len(level)))
    for group in range(len(change)):
        own = _scaled(cells.of(group), pair.counts)
        change[group] = np.log2((own.mean(axis=0) + _EPSILON) / (level + _EPSILON))
        p_value[group] = rank_sum(own, control)
    adjusted = np.full_like(p_value, np.nan)
    if tested.any():
        adjusted[:, tested] = scipy.stats.false_discovery_control(p_value[:, tested], axis=1)
    return Differential(change, p_value, adjusted, tested)


def rank_sum(values: Float[np.ndarray, 'N M'], control: Float[np.ndarray, 'K M']) -> Float[np.ndarray, ' M']:
    """p values of the rank sum test by its normal approximation; 1 where all values are equal."""
    constant = np.ptp(np.concatenate([values, control]), axis=0) == 0
    found = np.ones(values.shape[1])
    if not constant.all():
        test = scipy.stats.mannwhitneyu(
            values[:, ~constant], control[:, ~constant], use_continuity=False, method='asymptotic'
        )
        found[~constant] = test.pvalue
    return found


def _scaled(values: np.ndarray, counts: bool) -> np.ndarray:
    """Cells in linear units: counts per million, or e^x - 1 of logarithms."""
    if not counts:
        return np.expm1(values)
    # The order of these divisions decides which values of two cells are tied.
    scale = values.sum(axis=1, keepdims=True) / _MILLION
    return values / np.where(scale > 0, scale, 1)
