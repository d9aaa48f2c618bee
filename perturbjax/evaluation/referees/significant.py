"""How alike the significant readouts of two tables of differential expression are: their sets, changes and signs.

Significant is an adjusted p value below 5%. The readouts of a perturbed gene itself are left out of its perturbation:
that they change is the experiment, not the prediction. Source of all: cell-eval2.
"""

import numpy as np
from jaxtyping import Bool, Float

from perturbjax.evaluation.referees.differential import Differential

LEVEL = 0.05
# With fewer truly significant readouts a ratio of mean changes is noise.
LEAST_SIGNIFICANT = 10
# The share of right signs up to which a prediction reaches.
PURITY = 0.9


def significant_jaccard(
    truth: Differential, prediction: Differential, own: Bool[np.ndarray, 'P M']
) -> Float[np.ndarray, ' P']:
    """Readouts significant on both sides, over those significant on either; 0 to 1, higher is better.

    1 where none is on either side.
    """
    true, predicted = _significant(truth, own), _significant(prediction, own)
    both, either = (true & predicted).sum(axis=1), (true | predicted).sum(axis=1)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def change_nmae(truth: Differential, prediction: Differential, own: Bool[np.ndarray, 'P M']) -> Float[np.ndarray, ' P']:
    """Mean absolute error of log2 fold changes over mean absolute true change, of truly significant readouts.

    0 or more, lower is better, and predicting no change scores 1. NaN with fewer than 10 of them.
    """
    true = _significant(truth, own) & np.isfinite(truth.change)
    predicted = np.where(np.isfinite(prediction.change), prediction.change, 0)
    error = np.sum(np.abs(predicted - truth.change), axis=1, where=true)
    size = np.sum(np.abs(truth.change), axis=1, where=true)
    known = (true.sum(axis=1) >= LEAST_SIGNIFICANT) & (size > 0)
    return np.where(known, error / np.where(known, size, 1), np.nan)


def direction_fidelity(
    truth: Differential, prediction: Differential, own: Bool[np.ndarray, 'P M']
) -> Float[np.ndarray, ' P']:
    """Readouts predicted significant with the true sign, over those predicted or truly significant, whichever are more.

    0 to 1, higher is better. The true change of a readout predicted significant need not be significant itself; where
    it is 0, the readout is not counted among the predicted. NaN where nothing is significant on either side.
    """
    called = _significant(prediction, own) & _has_sign(truth)
    most = np.maximum(called.sum(axis=1), _significant(truth, own).sum(axis=1))
    right = (called & _same_sign(truth, prediction)).sum(axis=1)
    return np.where(most > 0, right / np.maximum(most, 1), np.nan)


def direction_reach(
    truth: Differential, prediction: Differential, own: Bool[np.ndarray, 'P M'], readouts: tuple[str, ...]
) -> Float[np.ndarray, ' P']:
    """How many of the truly significant readouts one can take in the predicted order with 90% of the signs right.

    The largest such number over the number of truly significant readouts; 0 to 1, higher is better. The predicted order
    is by adjusted p value, p value, size of the change and name. NaN where no readout is truly significant.
    """
    true, scores = _significant(truth, own), np.full(len(own), np.nan)
    name = np.argsort(np.argsort(np.array(readouts)))
    for row in np.flatnonzero(true.any(axis=1)):
        size = np.abs(prediction.change[row])
        order = np.lexsort((name, -size, prediction.p_value[row], prediction.adjusted[row]))
        order = order[true[row, order] & _has_sign(truth)[row, order]]
        right = np.cumsum(_same_sign(truth, prediction)[row, order])
        depth = np.arange(1, len(order) + 1)
        scores[row] = np.max(depth, where=right / depth >= PURITY, initial=0) / true[row].sum()
    return scores


def _significant(table: Differential, own: np.ndarray) -> np.ndarray:
    """Bool `[P, M]`; a readout that is not tested is not significant."""
    return (table.adjusted < LEVEL) & ~own


def _has_sign(table: Differential) -> np.ndarray:
    return ~np.isnan(table.change) & (table.change != 0)


def _same_sign(truth: Differential, prediction: Differential) -> np.ndarray:
    """Where both change, and in the same direction, bool `[P, M]`."""
    return _has_sign(truth) & _has_sign(prediction) & (np.sign(truth.change) == np.sign(prediction.change))
