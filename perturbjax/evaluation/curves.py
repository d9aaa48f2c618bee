"""L2 and Pearson-delta by the number of readouts, from those that matter most (Ahlmann-Eltze et al. 2025).

Both metrics are functions of sums over readouts, so all numbers of readouts come from one cumulative sum.
"""

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.row_blocks import row_blocks
from perturbjax.evaluation.summary import NEARLY_ALL
from perturbjax.screens.scales import find_scale

_METRICS = ('l2', 'pearson_delta')
# A smaller spread, relative to the values, is float32 rounding, as in `metrics.correlations`.
_ROUNDING = 1e-5


def readout_curves(predictions: anndata.AnnData) -> pd.DataFrame:
    """Both metrics over the n readouts that rank highest in a profile, as means over profiles.

    Columns: model; metric (`l2` or `pearson_delta`); ranking (`control`: by level in control, on scales that
    give control a level; `delta`: by the size of the true change); n; value, NaN if it is undefined for all
    profiles. A profile with fewer than n readouts counts with all of them. Models that predict less than 99%
    of the measured values are left out, because distances over fewer readouts cannot be compared.
    """
    truth = np.asarray(predictions.layers['truth'])
    measured = ~np.isnan(truth)
    layers = {str(name): np.asarray(predictions.layers[str(name)]) for name in predictions.uns['models']}
    models = [name for name, layer in layers.items() if (~np.isnan(layer))[measured].mean() >= NEARLY_ALL]
    sizes = _sizes(int(measured.sum(axis=1).max()))
    control = np.asarray(predictions.layers['control'])
    rankings = {'control': np.where(_has_level(predictions), control, np.nan), 'delta': np.abs(truth - control)}
    tables = []
    for ranking, key in rankings.items():
        ranked = ~np.isnan(np.where(measured, key, np.nan)).all(axis=1)
        if models and ranked.any():
            given = truth[ranked], control[ranked], key[ranked]
            curves = [_mean(_curves(*given, layers[name][ranked], sizes)) for name in models]
            tables.append(_table(np.stack(curves), models, ranking, sizes))
    columns = ['model', 'metric', 'ranking', 'n', 'value']
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _sizes(most: int) -> tuple[int, ...]:
    """1, 2, 5, 10, ... and the largest."""
    steps = (digit * 10**power for power in range(len(str(most))) for digit in (1, 2, 5))
    return (*(each for each in steps if each < most), most)


def _has_level(predictions: anndata.AnnData) -> np.ndarray:
    """Whether control has a level in each profile's screen, bool `[N, 1]`."""
    scale = predictions.obs['screen'].astype(str).map(dict(predictions.uns['scale']))
    return np.array([find_scale(each).control_has_level for each in scale])[:, None]


def _curves(
    truth: np.ndarray, control: np.ndarray, key: np.ndarray, prediction: np.ndarray, sizes: tuple[int, ...]
) -> np.ndarray:
    """The curve of each profile and metric, `[N, 2, sizes]`; all else is `[N, M]`."""
    parts = (_part(truth[p], control[p], key[p], prediction[p], sizes) for p in row_blocks(*truth.shape))
    return np.concatenate([*parts])


def _part(
    truth: np.ndarray, control: np.ndarray, key: np.ndarray, prediction: np.ndarray, sizes: tuple[int, ...]
) -> np.ndarray:
    order = np.argsort(np.where(np.isnan(truth) | np.isnan(key), np.inf, -key), axis=1, kind='stable')
    order = order[:, : sizes[-1]]
    truth, control, prediction, key = (
        np.take_along_axis(each, order, axis=1).astype(float) for each in (truth, control, prediction, key)
    )
    # Readouts without a rank are last, and count for nothing.
    truth = np.where(np.isnan(key), np.nan, truth)
    error, change, predicted = truth - prediction, truth - control, prediction - control
    starts = np.array([0, *sizes[:-1]])

    def sums(terms: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Sums over the first n readouts, `[N, sizes]`."""
        return np.add.reduceat(np.where(seen, terms, 0), starts, axis=1).cumsum(axis=1)

    seen = ~np.isnan(error)
    count = sums(np.ones_like(error), seen)
    distance = np.sqrt(np.where(count > 0, sums(error**2, seen), np.nan))
    seen = ~np.isnan(change + predicted)
    # Sums of squares of values far from 0 lose digits.
    x, y = (each - np.where(seen, each, 0).mean(axis=1, keepdims=True) for each in (change, predicted))
    count, sum_x, sum_y, xx, yy, xy = (sums(each, seen) for each in (np.ones_like(x), x, y, x * x, y * y, x * y))
    rounding = (_ROUNDING * _largest(seen, truth, control, starts)) ** 2
    with np.errstate(divide='ignore', invalid='ignore'):
        spread_x, spread_y = (
            np.where(total - mean**2 / count > rounding, total - mean**2 / count, np.nan)
            for total, mean in ((xx, sum_x), (yy, sum_y))
        )
        correlation = (xy - sum_x * sum_y / count) / np.sqrt(spread_x * spread_y)
    return np.stack([distance, np.clip(correlation, -1, 1)], axis=1)


def _largest(seen: np.ndarray, truth: np.ndarray, control: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The largest absolute value of truth and control among the first n readouts, `[N, sizes]`."""
    size = np.where(seen, np.maximum(np.abs(truth), np.abs(control)), 0)
    return np.maximum.accumulate(np.maximum.reduceat(size, starts, axis=1), axis=1)


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the profiles for which the value is defined."""
    known = ~np.isnan(values)
    with np.errstate(invalid='ignore'):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)


def _table(values: np.ndarray, models: list[str], ranking: str, sizes: tuple[int, ...]) -> pd.DataFrame:
    names = pd.MultiIndex.from_product([models, _METRICS, sizes], names=['model', 'metric', 'n'])
    table = pd.DataFrame({'value': values.ravel()}, names).reset_index()
    table.insert(2, 'ranking', ranking)
    return table
