"""Which readouts respond to a perturbation, judged by the truth and its replicates, never by a prediction."""

from collections.abc import Mapping
from typing import NamedTuple

import anndata
import numpy as np
import scipy.special

from perturbjax.evaluation.row_blocks import row_blocks
from perturbjax.mapped_layers import not_known

# The layers in which `prediction.file` keeps statistics of the rows behind a profile, see `screens.replicates`.
LAYERS = ('variance', 'control_variance', 'rest_cells', 'rest_mean', 'rest_variance', 'first_half', 'second_half')


def has_replicates(predictions: anndata.AnnData) -> bool:
    """Whether the predictions have the statistics of `screens.replicates`; files of older versions do not."""
    return {'cells', 'control_cells', *LAYERS} <= {*predictions.obs, *predictions.layers}


class Responders(NamedTuple):
    """How strongly N profiles respond in M readouts.

    Attributes:
      weight: `[N, M]`, at least 0, with sum 1 over the readouts of a profile; NaN where it cannot be computed.
      p_value: p value of the difference from control, `[N, M]`; NaN without replicates.
      statistic: the t statistic of that difference, `[N, M]`; NaN without replicates, None if it was not asked for.
    """

    weight: np.ndarray
    p_value: np.ndarray
    statistic: np.ndarray | None = None


def responders(
    predictions: anndata.AnnData, truth: np.ndarray, cells: np.ndarray, with_statistic: bool = False
) -> Responders:
    """The readouts that respond, for a truth `[N, M]` that is the mean of `cells` `[N]` rows.

    Everything is NaN if the predictions lack the statistics of `screens.replicates`. With 20,000 readouts a field
    takes as much memory as a model's predictions, so the t statistic is kept only where it is asked for.
    """
    found = Responders(*(not_known(truth.shape) for _ in range(2 + with_statistic)))
    if has_replicates(predictions):
        layers = {name: np.asarray(predictions.layers[name]) for name in (*LAYERS, 'control')}
        rows, control_cells = (np.asarray(predictions.obs[name], float) for name in ('cells', 'control_cells'))
        for part in row_blocks(*truth.shape):
            known = {name: layer[part].astype(float) for name, layer in layers.items()}
            counts = (each[part, None] for each in (cells, rows, control_cells))
            for kept, new in zip(found, _responders(known, truth[part], *counts)):
                if kept is not None:
                    kept[part] = new
    return found


def _responders(
    known: Mapping[str, np.ndarray], truth: np.ndarray, cells: np.ndarray, rows: np.ndarray, control_cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All fields of `Responders` for some profiles, each `[N, M]`; the numbers of cells are `[N, 1]`."""
    weight = response_weight(truth - known['rest_mean'], np.nan_to_num(known['variance']) + known['rest_variance'])
    # If control is defined by the scale, it has no error.
    control_error = np.where(control_cells > 0, known['control_variance'] / np.maximum(control_cells, 1), 0)
    error, change = known['variance'] / cells, truth - known['control']
    total = error + control_error
    statistic = change / np.sqrt(np.where(total > 0, total, np.nan))
    return weight, welch(change, error, rows - 1, control_error, control_cells - 1), statistic


def response_weight(difference: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """The weight of each readout, `[N, M]`: |t| shifted to start at 0 in a profile, squared, scaled to sum 1.

    t = difference / sqrt(variance), as in scanpy's t-test with overestimated variance (without the number of
    rows, which is the same factor for all readouts). Source: Mejia et al. 2025.

    Args:
      difference: the profile minus the rest of its context, `[N, M]`.
      variance: variance of the profile's rows plus variance of the rest, `[N, M]`.
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
    """Two-sided p values of Welch's t test between two means; NaN where the error is 0 or not known.

    All arguments broadcast.

    Args:
      difference: of the two means.
      error, other_error: the squared standard error of each mean.
      freedom, other_freedom: the degrees of freedom of each error.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        total = error + other_error
        parts = (
            np.where(each > 0, each**2 / np.maximum(df, 1), 0)
            for each, df in ((error, freedom), (other_error, other_freedom))
        )
        df = total**2 / sum(parts)
        p = 2 * scipy.special.stdtr(df, -np.abs(difference) / np.sqrt(total))
    return np.where(total > 0, p, np.nan)


def half_cells(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of `cells` `[N]` rows are in the first half, and how many in the second."""
    return cells - cells // 2, cells // 2


def differs_from_rest(predictions: anndata.AnnData, rows: slice = slice(None)) -> np.ndarray:
    """p values `[N, M]`, of the chosen rows, of the difference between the second half and the rest of the context."""
    known = {name: np.asarray(predictions.layers[name][rows], float) for name in LAYERS}
    cells = np.asarray(predictions.obs['cells'], float)[rows, None]
    error = known['variance'] / np.maximum(half_cells(cells)[1], 1)
    rest_error = known['rest_variance'] / known['rest_cells']
    return welch(known['second_half'] - known['rest_mean'], error, cells - 1, rest_error, known['rest_cells'] - 1)
