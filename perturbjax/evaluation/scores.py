"""Predictions against the truth: a score for every held-out profile, and their summary with intervals.

Both tables compare each model with the `mean` baseline over the same readouts, so that a model with
gaps is neither punished nor rewarded for them; how large the gaps are is its coverage.
"""

import functools
from typing import Any, NamedTuple

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.evaluation.metrics import METRICS, Comparison, moments, pooled
from perturbjax.evaluation.statistics import bootstrap, cluster_sums, interval, weigh
from perturbjax.screens.scales import find_scale

BASELINE = 'mean'
_PROFILE = ['split', 'screen', 'context', 'perturbation']
# Profiles at a time; each takes about 3 x models x M floats a few times over.
_BATCH = 4
# A model is scored on all that it predicts and, for the ratio, on the readouts it shares with the baseline.
_WHOLE, _SHARED, _REFERENCE = range(3)


class Compared(NamedTuple):
    """Every prediction beside its truth.

    Attributes:
      profiles: the N held-out profiles: split, screen, context, perturbation.
      models: their names, in the order of tables.
      values: `[N, models, 3, metrics]`; the axis of 3 is (_WHOLE, _SHARED, _REFERENCE).
      sums: what adds up over profiles, `[N, models, 3, ...]`; see `_compare_profile`.
      measured: readouts measured, `[N]`.
    """

    profiles: pd.DataFrame
    models: list[str]
    values: np.ndarray
    sums: dict[str, np.ndarray]
    measured: np.ndarray


def compare(predictions: anndata.AnnData) -> Compared:
    """Every metric of every profile and model.

    Args:
      predictions: as the runner writes them; layers `[N, M]` truth, control, perturbed_mean and one per model.

    Raises InputError where a part of them is missing.
    """
    _check(predictions)
    truth = np.asarray(predictions.layers['truth'])
    centre = truth.mean(where=np.isfinite(truth), dtype=float)
    screens = predictions.obs['screen'].astype(str).to_numpy()
    rows = [np.flatnonzero(screens == name) for name in np.unique(screens)]
    parts = [_compare_screen(predictions, each, centre) for each in rows]
    back = np.argsort(np.concatenate(rows))
    values, sums = jax.tree.map(lambda *part: np.concatenate(part)[back], *parts)
    measured = (~np.isnan(truth)).sum(axis=1)
    return Compared(predictions.obs[_PROFILE], _models(predictions), values, sums, measured)


def score(compared: Compared) -> pd.DataFrame:
    """One row per model, held-out profile and metric (scores.csv).

    Columns: model, split, screen, context, perturbation, metric; `value`, NaN where it is undefined;
    `reference`, the same metric of the mean baseline over the readouts that the model predicts;
    `coverage`, the share of measured readouts that it predicts; `readouts`, how many were measured.
    The metrics that `summarise` pools are those of the single profile here.
    """
    values, measured = compared.values, compared.measured
    rows, models, _, metrics = values.shape
    profile = np.repeat(np.tile(np.arange(rows), models), metrics)
    model = np.repeat(np.arange(models), rows * metrics)
    table = compared.profiles.iloc[profile].reset_index(drop=True)
    table.insert(0, 'model', np.array(compared.models)[model])
    table['metric'] = np.tile(list(METRICS), rows * models)
    table['value'] = values[:, :, _WHOLE].swapaxes(0, 1).ravel()
    table['reference'] = values[:, :, _REFERENCE].swapaxes(0, 1).ravel()
    with np.errstate(invalid='ignore'):
        coverage = compared.sums['moments'][:, :, _WHOLE, 0] / measured[:, None]
    table['coverage'] = coverage[profile, model]
    table['readouts'] = measured[profile]
    return table


def summarise(compared: Compared, seed: int = 0, replicates: int = 2000) -> pd.DataFrame:
    """One row per model and metric, over all held-out profiles of all splits and screens (summary.csv).

    Pooled metrics are computed once, over all values of all splits; the others are means over profiles.
    Intervals are 95% percentile bootstrap intervals over (context, perturbation): its profiles in several
    splits and screens are drawn together. They are NaN where only one (context, perturbation) is left.
    Screens on different scales are pooled as they are; scores.csv keeps them apart.

    Columns: model, metric; `value`, `low`, `high`; `ratio`, `ratio_low`, `ratio_high`, the metric over
    that of the mean baseline on the same profiles and readouts (NaN unless lower is better); `coverage`,
    the share of all measured values that the model predicts; `perturbations`, on how many (context,
    perturbation) the value rests; `splits`, how many there are.
    """
    cluster = compared.profiles.groupby(['context', 'perturbation'], observed=True).ngroup().to_numpy()
    sums = cluster_sums(compared.sums, cluster, int(cluster.max()) + 1)
    numbers = _estimates(weigh(jnp.ones(int(cluster.max()) + 1), sums))
    samples = bootstrap(_estimates, sums, seed, replicates)
    clusters = _clusters(sums)
    numbers['low'], numbers['high'] = interval(samples['value'], clusters[:, _WHOLE])
    numbers['ratio_low'], numbers['ratio_high'] = interval(samples['ratio'], clusters[:, _SHARED])
    names = pd.MultiIndex.from_product([compared.models, list(METRICS)], names=['model', 'metric'])
    columns = ('value', 'low', 'high', 'ratio', 'ratio_low', 'ratio_high')
    table = pd.DataFrame({name: np.asarray(numbers[name], float).ravel() for name in columns}, names).reset_index()
    predicted = compared.sums['moments'][:, :, _WHOLE, 0].sum(axis=0, dtype=float)
    table['coverage'] = np.repeat(predicted / compared.measured.sum(), len(METRICS))
    table['perturbations'] = np.asarray(clusters[:, _WHOLE]).ravel()
    table['splits'] = compared.profiles['split'].nunique()
    return table


def _compare_screen(predictions: anndata.AnnData, rows: np.ndarray, centre: float) -> Any:
    """`_compare_profile` of one screen's rows, over its own panel of readouts."""
    measured = ~np.isnan(predictions.layers['truth'][rows])
    panel = np.ix_(rows, np.flatnonzero(measured.any(axis=0) | ~measured.any()))

    def cut(name: str, centre: float = centre) -> jax.Array:
        return jnp.asarray(predictions.layers[name][panel] - centre, jnp.float32)

    screen = str(predictions.obs['screen'].iloc[rows[0]])
    level = cut('control', 0) if find_scale(predictions.uns['scale'][screen]).control_has_level else None
    models = _models(predictions)
    prediction: Any = tuple(cut(name) for name in models)
    given = Comparison(cut('truth'), prediction, cut('control'), cut('perturbed_mean'), level)
    return _compare_profiles(given, models.index(BASELINE))


@functools.partial(jax.jit, static_argnums=1)
def _compare_profiles(given: Comparison, baseline: int) -> Any:
    return jax.lax.map(lambda profile: _compare_profile(profile, baseline), given, batch_size=_BATCH)


def _compare_profile(given: Comparison, baseline: int) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Metrics `[models, 3, metrics]` of one profile `[M]`, where the prediction is a tuple of the models'.

    With them what is added up over profiles: moments `[models, 3, 8]`, and each metric's count and
    total `[models, 3, metrics]`. Values come less a common constant, for the sake of the moments.
    """
    whole = jnp.stack(given.prediction)
    reference = jnp.broadcast_to(whole[baseline], whole.shape)
    shared = jnp.where(jnp.isnan(reference), jnp.nan, whole)
    reference = jnp.where(jnp.isnan(whole), jnp.nan, reference)

    def measure(prediction: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        comparison = given._replace(prediction=prediction)
        values = jnp.stack([metric.of_profile(comparison) for metric in METRICS.values()])
        known = ~jnp.isnan(values)
        sums = {'moments': moments(given.truth, prediction), 'count': known * 1.0, 'total': jnp.where(known, values, 0)}
        return values, sums

    return jax.vmap(jax.vmap(measure))(jnp.stack([whole, shared, reference], axis=1))


def _estimates(sums: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Each metric's value, and its ratio to the baseline's, `[models, metrics]`, of sums over profiles."""
    means = sums['total'] / sums['count']
    of_all = pooled(sums['moments'])
    columns = [of_all[name] if METRICS[name].pooled else means[..., i] for i, name in enumerate(METRICS)]
    values = jnp.stack(columns, axis=-1)
    lower = jnp.array([[metric.lower_is_better for metric in METRICS.values()]])
    ratio = jnp.where(lower, values[:, _SHARED] / values[:, _REFERENCE], jnp.nan)
    return {'value': values[:, _WHOLE], 'ratio': ratio}


def _clusters(sums: dict[str, jax.Array]) -> jax.Array:
    """On how many clusters each metric rests, `[models, 3, metrics]`."""
    is_pooled = jnp.array([metric.pooled for metric in METRICS.values()])
    count = jnp.where(is_pooled[None, None, None], sums['moments'][..., :1], sums['count'])
    return (count > 0).sum(axis=0)


def _models(predictions: anndata.AnnData) -> list[str]:
    return [str(name) for name in predictions.uns['models']]


def _check(predictions: anndata.AnnData) -> None:
    if 'truth' not in predictions.layers:
        raise InputError('evaluate needs the truth layer; predictions without truth can only be written.')
    missing = [name for name in _PROFILE if name not in predictions.obs]
    missing += [name for name in ('models', 'scale') if name not in predictions.uns]
    models = _models(predictions) if 'models' in predictions.uns else []
    missing += [name for name in ('control', 'perturbed_mean', *models) if name not in predictions.layers]
    missing += [] if BASELINE in models else [f'{BASELINE} among the models']
    if missing:
        raise InputError(f'predictions: without {listed(missing)}; write them with perturbjax.')
    without = sorted(set(predictions.obs['screen'].astype(str)) - set(predictions.uns['scale']))
    if without:
        raise InputError(f"predictions: uns['scale'] names no scale for the screen {listed(without)}.")
    if np.isnan(predictions.layers['truth']).all():
        raise InputError('evaluate needs a truth to compare with; every value of the truth layer is missing.')
