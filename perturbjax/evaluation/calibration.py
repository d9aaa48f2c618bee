"""Would a metric show it if a model were good? Calibration of every metric on the data at hand.

One half of a perturbation's rows (cells, wells) is the truth, the other half predicts it: a repeat of
the experiment, which no model can be asked to beat by much. A metric is worth reading where this
technical duplicate clearly beats a prediction that knows nothing of the perturbation, the mean of the
training perturbations. Source: Mejia et al. 2025; Miller et al. 2025.
"""

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.evaluation.controls import permuted_labels
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.responders import LAYERS, differs_from_rest, half_cells, has_replicates
from perturbjax.evaluation.scores import BASELINE, WHOLE, Compared, compare
from perturbjax.evaluation.statistics import bootstrap, interval
from perturbjax.evaluation.summary import at_once, estimates, number_of_clusters, sums_of

COLUMNS = [
    'metric', 'negative', 'permuted', 'duplicate', 'interpolated',
    'drf', 'drf_low', 'drf_high', 'drf_interpolated', 'bds', 'calibrated',
]  # fmt: skip
_NEGATIVE, _PERMUTED, _DUPLICATE, _INTERPOLATED = range(4)
_PERFECT = np.array([metric.perfect for metric in METRICS.values()])


def calibrate(predictions: anndata.AnnData, seed: int = 0, replicates: int = 2000) -> pd.DataFrame:
    """One row per metric; none where no held-out profile has replicates, for then no duplicate is possible.

    Columns: metric; the metric of four predictions of the first half of the rows: `negative` (the mean of
    the training perturbations in the context; a correlation that it does not have is that of `permuted`),
    `permuted` (another perturbation's first half), `duplicate` (the second half) and `interpolated` (the second
    half in so far as it differs from the rest of the context, the negative otherwise); `drf`, the dynamic range
    fraction (duplicate - negative) / (perfect - negative) in [-1, 1], with its 95% interval `drf_low`,
    `drf_high`, and `drf_interpolated`, the same of the interpolated duplicate; `bds`, the share of profiles in
    which the duplicate beats the negative; `calibrated`: the interval lies above 0 and bds above a half.
    """
    if not has_replicates(predictions):
        return pd.DataFrame(columns=COLUMNS)
    # Where a context has no training perturbation there is nothing to beat.
    missing = np.isnan(predictions.layers['second_half']) | np.isnan(predictions.layers['perturbed_mean'])
    repeated = ~missing.all(axis=1)
    if not repeated.any():
        return pd.DataFrame(columns=COLUMNS)
    halves = _halves(predictions[repeated], seed)
    cells = half_cells(np.asarray(halves.obs['cells'], float))[0]
    compared = _with_chance(compare(halves, cells=cells))
    sums = sums_of(compared)
    values, fractions = at_once(estimates, sums)['value'], at_once(_fractions, sums)
    clusters = number_of_clusters(sums)[None, _DUPLICATE, WHOLE]
    low, high = interval(bootstrap(_fractions, sums, seed, replicates), clusters)
    bds = _wins(compared)
    numbers = (*values, fractions[0], low[0], high[0], fractions[1], bds)
    table = pd.DataFrame({name: np.asarray(each, float) for name, each in zip(COLUMNS[1:], numbers)})
    table.insert(0, 'metric', list(METRICS))
    table['calibrated'] = (table['drf_low'] > 0) & (table['bds'] > 0.5)
    return table


def _halves(predictions: anndata.AnnData, seed: int) -> anndata.AnnData:
    """The predictions with the first half as the truth, and the controls as the models."""
    first, second, negative = (
        np.asarray(predictions.layers[name]) for name in ('first_half', 'second_half', 'perturbed_mean')
    )
    p = np.nan_to_num(differs_from_rest(predictions), nan=1.0)
    names = [BASELINE, 'permuted', 'duplicate', 'interpolated']
    layers = {name: predictions.layers[name] for name in ('control', 'perturbed_mean', *LAYERS)}
    uns = {'models': names, 'scale': predictions.uns['scale']}
    layers |= {'truth': first, BASELINE: negative, 'duplicate': second}
    layers['interpolated'] = np.where(np.isnan(negative), second, (1 - p) * second + p * negative).astype(np.float32)
    halves = anndata.AnnData(obs=predictions.obs, var=predictions.var, layers=layers, uns=uns)
    halves.layers['permuted'] = permuted_labels(halves, seed)
    return halves


def _with_chance(compared: Compared) -> Compared:
    """The negative's value is that of chance where it is undefined and the duplicate's is not.

    Chance is what the permuted labels score, if anything: changes from one reference share its noise, so
    even those of pure noise are correlated.
    """
    values = compared.values.copy()
    for place, metric in enumerate(METRICS.values()):
        negative, permuted = values[:, _NEGATIVE, :, place], values[:, _PERMUTED, :, place]
        known = ~np.isnan(values[:, _DUPLICATE, WHOLE, place])[:, None]
        if metric.chance is not None:
            chance = np.where(np.isnan(permuted), metric.chance, permuted)
            values[:, _NEGATIVE, :, place] = np.where(np.isnan(negative) & known, chance, negative)
    return compared._replace(values=values)


def _fractions(sums: dict[str, jax.Array]) -> jax.Array:
    """The dynamic range fraction of the duplicate and of the interpolated duplicate, `[2, metrics]`."""
    values = estimates(sums)['value']
    negative = values[_NEGATIVE][None]
    positive = values[jnp.array([_DUPLICATE, _INTERPOLATED])]
    return jnp.clip((positive - negative) / (_PERFECT[None] - negative), -1, 1)


def _wins(compared: Compared) -> np.ndarray:
    """In what share of profiles the duplicate beats the negative, `[metrics]`; equal values are half a win."""
    sign = np.array([metric.sign for metric in METRICS.values()])
    gain = sign * (compared.values[:, _NEGATIVE, WHOLE] - compared.values[:, _DUPLICATE, WHOLE])
    known = ~np.isnan(gain)
    wins = np.where(known, (np.sign(gain) + 1) / 2, 0).sum(axis=0)
    with np.errstate(invalid='ignore'):
        return wins / known.sum(axis=0)
