"""The error of predicted expression, without what comes from having few cells.

A profile of few cells is off by sampling alone, so even the right distribution has a squared error. What sampling adds
on either side is therefore subtracted. Source: the normalised expression error of cell-eval2.
"""

import numpy as np
from jaxtyping import Bool, Float

from perturbjax.evaluation.referees.bulk import Bulk


def expression_error(
    truth: Bulk, prediction: Bulk, own: Bool[np.ndarray, 'P M']
) -> tuple[Float[np.ndarray, ' P'], Float[np.ndarray, ' P']]:
    """The squared error of each perturbation and its squared effect, both per readout and without sampling.

    The sum of the errors over the sum of the effects is the metric: 0 is perfect, about 1 is to predict control, and
    lower is better. Single values may be negative.

    What is subtracted for the prediction is at most what is subtracted for the truth, and in all perturbations together
    at most the spread of the predicted profiles: cells that cancel out in their profile earn nothing.

    Args:
      truth: profiles of P perturbations and of control, the last.
      prediction: of the same perturbations.
      own: the readouts of the perturbed genes themselves, which are left out of each perturbation.
    """
    kept = ~own
    number = kept.sum(axis=1)
    weight = np.where(number > 0, 1 / np.maximum(number, 1), np.nan)
    allowed = np.minimum(prediction.error, truth.error[:-1])
    claimed = np.nansum(weight * allowed)
    share = min(1.0, _spread(prediction.values, kept, np.nan_to_num(weight)) / claimed) if claimed > 0 else 1.0
    error = _squares(prediction.values - truth.values[:-1], kept) - share * allowed - truth.error[:-1]
    effect = _squares(truth.values[:-1] - truth.values[-1], kept) - truth.error[:-1] - truth.error[-1]
    return weight * error, weight * effect


def _squares(difference: np.ndarray, kept: np.ndarray) -> np.ndarray:
    return np.sum(difference**2, axis=1, where=kept)


def _spread(profiles: np.ndarray, kept: np.ndarray, weight: np.ndarray) -> float:
    """The weighted squared deviations of profiles `[P, M]` from their mean, over readouts kept in two or more."""
    weights = kept * weight[:, None]
    total = weights.sum(axis=0)
    mean = (weights * profiles).sum(axis=0) / np.where(total > 0, total, 1)
    squares = (weights * (profiles - mean) ** 2).sum(axis=0)
    return float(squares[kept.sum(axis=0) > 1].sum())
