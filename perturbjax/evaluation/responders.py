"""Which readouts respond to a perturbation: judged from the truth and its replicates, never from a prediction."""

from typing import NamedTuple

import anndata
import numpy as np
import scipy.stats

# What `perturbjax.prediction.file` keeps of the rows behind a profile, see `screens.replicates`.
LAYERS = ('variance', 'control_variance', 'rest_cells', 'rest_mean', 'rest_variance', 'first_half', 'second_half')


def has_replicates(predictions: anndata.AnnData) -> bool:
    """Whether the predictions keep what `screens.replicates` knows; files of before may not."""
    return {'cells', 'control_cells', *LAYERS} <= {*predictions.obs, *predictions.layers}


class Responders(NamedTuple):
    """Of N profiles in M readouts.

    Attributes:
      weight: `[N, M]`, 0 or more with sum 1 over a profile's readouts; NaN where it cannot be known.
      p_value: of the difference from control, `[N, M]`; NaN without replicates.
    """

    weight: np.ndarray
    p_value: np.ndarray


def responders(predictions: anndata.AnnData, truth: np.ndarray, cells: np.ndarray) -> Responders:
    """The readouts that respond, for a truth `[N, M]` that is the mean of `cells` `[N]` rows.

    Everything is NaN where the predictions lack what `screens.replicates` knows.
    """
    if not has_replicates(predictions):
        return Responders(*np.full((2, *truth.shape), np.nan))
    known = {name: np.asarray(predictions.layers[name], float) for name in LAYERS}
    weight = response_weight(truth - known['rest_mean'], np.nan_to_num(known['variance']) + known['rest_variance'])
    control_cells = np.asarray(predictions.obs['control_cells'], float)[:, None]
    # Where control is defined by the scale it is known without error.
    control_error = np.where(control_cells > 0, known['control_variance'] / np.maximum(control_cells, 1), 0)
    rows = np.asarray(predictions.obs['cells'], float)[:, None]
    difference = truth - np.asarray(predictions.layers['control'], float)
    error = known['variance'] / cells[:, None]
    return Responders(weight, welch(difference, error, rows - 1, control_error, control_cells - 1))


def response_weight(difference: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """How much each readout counts, `[N, M]`: |t| scaled to [0, 1] over a profile, squared, with sum 1.

    `difference` is that of the profile from the rest of its context; t = difference / sqrt(variance),
    `variance` being that of the profile's rows plus that of the rest's (scanpy's t-test with overestimated
    variance, whose number of rows is one factor for all readouts). Source: Mejia et al. 2025.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        t = np.abs(np.where(variance > 0, difference / np.sqrt(variance), np.nan))
    seen = ~np.isnan(t)
    low = np.min(t, axis=-1, where=seen, initial=np.inf, keepdims=True)
    squares = np.where(seen, (t - low) ** 2, 0)
    total = squares.sum(axis=-1, keepdims=True)
    return np.where(seen & (total > 0), squares / np.where(total > 0, total, 1), np.nan)


def welch(
    difference: np.ndarray, error: np.ndarray, freedom: np.ndarray, other_error: np.ndarray, other_freedom: np.ndarray
) -> np.ndarray:
    """Two-sided p values of Welch's t test between two means.

    `error` and `other_error` are the squared standard errors, each known with its degrees of freedom.
    NaN where there is no error to judge by. All broadcast.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        total = error + other_error
        parts = (
            np.where(each > 0, each**2 / np.maximum(df, 1), 0)
            for each, df in ((error, freedom), (other_error, other_freedom))
        )
        df = total**2 / sum(parts)
        p = 2 * scipy.stats.t.sf(np.abs(difference) / np.sqrt(total), df)
    return np.where(total > 0, p, np.nan)


def half_cells(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of `cells` `[N]` rows are in the first half and in the second."""
    return cells - cells // 2, cells // 2


def differs_from_rest(predictions: anndata.AnnData) -> np.ndarray:
    """p values `[N, M]` of the second half against the rest of the context."""
    known = {name: np.asarray(predictions.layers[name], float) for name in LAYERS}
    cells = np.asarray(predictions.obs['cells'], float)[:, None]
    error = known['variance'] / np.maximum(half_cells(cells)[1], 1)
    rest_error = known['rest_variance'] / known['rest_cells']
    return welch(known['second_half'] - known['rest_mean'], error, cells - 1, rest_error, known['rest_cells'] - 1)
