"""Calibration of every metric on the data: could the metric show that a model is good?

One half of a perturbation's rows (cells, wells) is taken as the truth, and the other half as its prediction.
This technical duplicate repeats the experiment, and no model can be expected to do much better. A metric is
calibrated if the duplicate clearly beats a prediction that knows nothing about the perturbation: the mean of
the training perturbations. Source: Mejia et al. 2025; Miller et al. 2025.
"""

import functools
from collections.abc import Sequence

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.controls import permuted_labels
from perturbjax.evaluation.metrics import ALL_METRICS, METRICS
from perturbjax.evaluation.responders import LAYERS, differs_from_rest, half_cells, has_replicates
from perturbjax.evaluation.row_blocks import row_blocks
from perturbjax.evaluation.scores import BASELINE, WHOLE, Compared, compare
from perturbjax.evaluation.statistics import LEAST_CLUSTERS, bootstrap, interval
from perturbjax.evaluation.summary import at_once, estimates, number_of_clusters, sums_of
from perturbjax.mapped_layers import not_known

COLUMNS = [
    'metric', 'negative', 'permuted', 'duplicate', 'interpolated',
    'drf', 'drf_low', 'drf_high', 'drf_interpolated', 'bds', 'duplicates', 'calibrated',
]  # fmt: skip
_NEGATIVE, _PERMUTED, DUPLICATE, _INTERPOLATED = range(4)


def calibrate(
    predictions: anndata.AnnData, seed: int = 0, bootstrap_samples: int = 2000, halves: Compared | None = None
) -> pd.DataFrame:
    """Calibrates every metric, one row per metric.

    The table is empty if no profile has a duplicate, for a reason that `why_unknown` gives.

    Columns:
      metric: its name.
      negative, permuted, duplicate, interpolated: the metric of four predictions of the first half of the rows.
        `negative` is the mean of the training perturbations in the context (where its correlation is not
        defined, that of `permuted` is used); `permuted` is the first half of another perturbation; `duplicate`
        is the second half; `interpolated` is the second half in readouts where it differs from the rest of
        the context, and the negative in the others.
      drf: dynamic range fraction, (duplicate - negative) / (perfect - negative), clipped to [-1, 1].
      drf_low, drf_high: its 95% interval.
      drf_interpolated: the same fraction for the interpolated duplicate.
      bds: bound discrimination score, the share of profiles in which the duplicate beats the negative.
      duplicates: the number of pairs (context, perturbation) that all this rests on.
      calibrated: whether drf_low is above 0 and bds above 0.5; missing (not known) with fewer than
        `LEAST_CLUSTERS` duplicates, or where the metric is not defined.

    Args:
      predictions: as a run writes them.
      seed: seed of the permutation and the bootstrap.
      bootstrap_samples: number of bootstrap samples.
      halves: what `compare_halves` gives, if it is known already; models after the four controls do not matter.
    """
    if why_unknown(predictions):
        return pd.DataFrame(columns=COLUMNS)
    compared = halves or compare_halves(predictions, seed)
    sums = sums_of(compared)
    statistics = functools.partial(estimates, metrics=compared.metrics)
    fractions_of = functools.partial(_fractions, metrics=compared.metrics)
    values, fractions = at_once(statistics, sums)['value'], at_once(fractions_of, sums)
    clusters = number_of_clusters(sums, compared.metrics)[DUPLICATE, WHOLE]
    low, high = interval(bootstrap(fractions_of, sums, seed, bootstrap_samples), clusters)
    bds = _wins(compared)
    numbers = (*values[: _INTERPOLATED + 1], fractions[0], low[0], high[0], fractions[1], bds)
    table = pd.DataFrame({name: np.asarray(each, float) for name, each in zip(COLUMNS[1:], numbers)})
    table.insert(0, 'metric', compared.metrics)
    table['duplicates'] = clusters
    known = (clusters >= LEAST_CLUSTERS) & np.isfinite(low[0])
    table['calibrated'] = ((table['drf_low'] > 0) & (table['bds'] > 0.5)).astype('boolean').where(known)
    return table


def compare_halves(
    predictions: anndata.AnnData,
    seed: int = 0,
    models: Sequence[str] = (),
    metrics: Sequence[str] = tuple(METRICS),
) -> Compared:
    """Compares the four controls with the first half of the rows, and after them some models of the predictions.

    Only for predictions of which `why_unknown` gives no reason.
    """
    repeated = _repeated(predictions)
    halves = _halves(predictions if repeated.all() else predictions[repeated].copy(), seed, models)
    cells = half_cells(np.asarray(halves.obs['cells'], float))[0]
    compared = compare(halves, cells=cells, metrics=metrics)
    return with_chance(compared, ~np.isnan(compared.values[:, DUPLICATE, WHOLE]))


def why_unknown(predictions: anndata.AnnData) -> str:
    """The reason why no profile has a duplicate to calibrate by; empty if some have."""
    if not has_replicates(predictions):
        return 'the predictions do not say what is known of the rows behind the profiles'
    if np.isnan(predictions.layers['second_half']).all():
        return 'no held-out profile has replicates'
    if np.isnan(predictions.layers['perturbed_mean']).all():
        return 'nothing is known to compare a repeat with, because the held-out contexts have no training perturbation'
    if not _repeated(predictions).any():
        return 'the held-out profiles that have replicates lie in contexts without a training perturbation'
    return ''


def _repeated(predictions: anndata.AnnData) -> np.ndarray:
    """Which profiles have a second half, and a mean of training perturbations in their context; bool `[N]`."""
    missing = np.isnan(predictions.layers['second_half']) | np.isnan(predictions.layers['perturbed_mean'])
    return ~missing.all(axis=1)


def _halves(predictions: anndata.AnnData, seed: int, models: Sequence[str]) -> anndata.AnnData:
    """Predictions whose truth is the first half, and whose models are the four controls and those given."""
    first, second, negative = (
        np.asarray(predictions.layers[name]) for name in ('first_half', 'second_half', 'perturbed_mean')
    )
    own = {f'model {name}': predictions.layers[name] for name in models}
    names = [BASELINE, 'permuted', 'duplicate', 'interpolated', *own]
    layers = {name: predictions.layers[name] for name in ('control', 'perturbed_mean', *LAYERS)}
    uns = {'models': names, 'scale': predictions.uns['scale']}
    layers |= {**own, 'truth': first, BASELINE: negative, 'duplicate': second}
    layers['interpolated'] = _interpolated(predictions)
    halves = anndata.AnnData(obs=predictions.obs, var=predictions.var, layers=layers, uns=uns)
    halves.layers['permuted'] = permuted_labels(halves, seed)
    return halves


def _interpolated(predictions: anndata.AnnData) -> np.ndarray:
    """Between the second half and the negative, the nearer to the former the surer it differs from the rest."""
    found = not_known(predictions.shape)
    for part in row_blocks(*predictions.shape):
        second, negative = (np.asarray(predictions.layers[name][part]) for name in ('second_half', 'perturbed_mean'))
        p = np.nan_to_num(differs_from_rest(predictions, part), nan=1.0)
        found[part] = np.where(np.isnan(negative), second, (1 - p) * second + p * negative)
    return found


def with_chance(compared: Compared, known: np.ndarray) -> Compared:
    """Fills in the value of chance where that of the negative is undefined and the metric is known, `[N, metrics]`.

    The first two models are the negative and the permuted labels. Chance is the score of the permuted labels, if
    there is one. It is not always the chance value of the metric: changes from one reference share its noise, so
    even changes of pure noise are correlated.
    """
    values = compared.values.copy()
    for column, name in enumerate(compared.metrics):
        of_metric = ALL_METRICS[name].chance
        negative, permuted = values[:, _NEGATIVE, :, column], values[:, _PERMUTED, :, column]
        if of_metric is not None:
            chance = np.where(np.isnan(permuted), of_metric, permuted)
            is_filled = np.isnan(negative) & known[:, [column]]
            values[:, _NEGATIVE, :, column] = np.where(is_filled, chance, negative)
    return compared._replace(values=values)


def _fractions(sums: dict[str, np.ndarray], metrics: Sequence[str]) -> np.ndarray:
    """The dynamic range fractions of the duplicate and the interpolated duplicate, `[..., 2, metrics]`."""
    values = estimates(sums, metrics)['value']
    perfect = np.array([ALL_METRICS[name].perfect for name in metrics])
    negative, positive = values[..., [_NEGATIVE], :], values[..., [DUPLICATE, _INTERPOLATED], :]
    # A negative that is perfect already leaves no range to reach.
    span = np.where(perfect == negative, np.nan, perfect - negative)
    return np.clip((positive - negative) / span, -1, 1)


def _wins(compared: Compared) -> np.ndarray:
    """The share of profiles in which the duplicate beats the negative, `[metrics]`; equal values are half a win."""
    sign = np.array([ALL_METRICS[name].sign for name in compared.metrics])
    gain = sign * (compared.values[:, _NEGATIVE, WHOLE] - compared.values[:, DUPLICATE, WHOLE])
    known = ~np.isnan(gain)
    wins = np.where(known, (np.sign(gain) + 1) / 2, 0).sum(axis=0)
    with np.errstate(invalid='ignore'):
        return wins / known.sum(axis=0)
