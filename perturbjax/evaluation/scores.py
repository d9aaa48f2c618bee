"""Compares predictions with the truth: every metric of every held-out profile.

Each model is compared with a baseline over the readouts that both predict, so a model with gaps is neither
punished nor rewarded for them. Its coverage says how large the gaps are.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.evaluation.metrics import ALL_METRICS, METRICS, Comparison
from perturbjax.evaluation.metrics.discrimination import discriminate, perturbed_readouts
from perturbjax.evaluation.metrics.pooling import moments
from perturbjax.evaluation.responders import Responders, responders
from perturbjax.evaluation.weighting import weights_of
from perturbjax.screens.scales import find_scale

BASELINE = 'mean'
PROFILE = ['split', 'screen', 'context', 'perturbation']
# Values of a model compared at a time: few enough to stay in a processor's cache.
_VALUES = 2**16
# Three scores of a model: on all readouts that it predicts, on those that the baseline predicts too, and the
# baseline's score on the latter.
WHOLE, SHARED, REFERENCE = range(3)


class Compared(NamedTuple):
    """Every metric of every profile and model.

    Attributes:
      profiles: the N held-out profiles: split, screen, context, perturbation.
      models: names, in the order of tables.
      values: `[N, models, 3, metrics]`; the axis of 3 is (WHOLE, SHARED, REFERENCE).
      moments: the sums that metrics over all values are computed from, `[N, models, 3, 8]`, see `pooling`.
      measured: number of measured readouts, `[N]`.
      responders: which readouts respond; passed on when comparing with another baseline.
      metrics: their names.
      weight: of each profile, `[N]`; None where they count alike, see `weighting`.
    """

    profiles: pd.DataFrame
    models: list[str]
    values: np.ndarray
    moments: np.ndarray
    measured: np.ndarray
    responders: Responders
    metrics: tuple[str, ...] = tuple(METRICS)
    weight: np.ndarray | None = None


def compare(
    predictions: anndata.AnnData,
    baseline: str = BASELINE,
    cells: np.ndarray | None = None,
    known: Compared | None = None,
    metrics: Sequence[str] = tuple(METRICS),
) -> Compared:
    """Computes every metric of every profile and model, beside that of the baseline.

    Args:
      predictions: as a run writes them; layers `[N, M]` truth, control, perturbed_mean and one per model.
      baseline: one of the models.
      cells: number of rows behind each truth, `[N]`; those in `obs` if None.
      known: an earlier comparison of the same predictions with another baseline. What does not depend on the
        baseline is taken from it, and so are the metrics.
      metrics: names of the metrics to compute, see `metrics.ALL_METRICS`.

    Raises:
      InputError: a part of the predictions is missing.
    """
    check(predictions)
    truth = np.asarray(predictions.layers['truth'])
    models = [str(name) for name in predictions.uns['models']]
    if cells is None:
        cells = np.asarray(predictions.obs.get('cells', np.ones(len(truth))), float)
    metrics = known.metrics if known else tuple(metrics)
    with_statistic = any(ALL_METRICS[name].needs == 'statistic' for name in metrics)
    given = _Given(
        truth.mean(where=np.isfinite(truth), dtype=float),
        known.responders if known else responders(predictions, truth, cells, with_statistic),
        models.index(baseline),
        known,
        metrics,
    )
    screens = predictions.obs['screen'].astype(str).to_numpy()
    rows = [np.flatnonzero(screens == name) for name in np.unique(screens)]
    parts = [_compare_screen(predictions, each, given) for each in rows]
    back = np.argsort(np.concatenate(rows))
    values, sums = (np.concatenate(part)[back] for part in zip(*parts))
    measured = (~np.isnan(truth)).sum(axis=1)
    weight = weights_of(predictions)
    return Compared(predictions.obs[PROFILE], models, values, sums, measured, given.responders, metrics, weight)


def score(compared: Compared) -> pd.DataFrame:
    """One row per model, held-out profile and metric (scores.csv).

    A metric that is undefined everywhere, such as a correlation over one readout, has no rows.

    Columns: model, split, screen, context, perturbation, metric; `value`, NaN where it is undefined;
    `reference`, the same metric of the baseline over the readouts that the model predicts; `coverage`, the
    share of measured readouts that the model predicts; `readouts`, how many were measured; where scores are
    weighted `weight`, with which the profile counts in the summary and not in `value`. Metrics that
    `summarise` computes over all values are here computed for each profile alone.
    """
    measured = compared.measured
    is_defined = ~np.isnan(compared.values).all(axis=(0, 1, 2))
    values, names = compared.values[..., is_defined], np.array(compared.metrics, object)[is_defined]
    rows, models, _, metrics = values.shape
    profile = np.repeat(np.tile(np.arange(rows), models), metrics)
    model = np.repeat(np.arange(models), rows * metrics)
    table = compared.profiles.iloc[profile].reset_index(drop=True)
    table.insert(0, 'model', np.array(compared.models, object)[model])
    table['metric'] = np.tile(names, rows * models)
    table['value'] = values[:, :, WHOLE].swapaxes(0, 1).ravel()
    table['reference'] = values[:, :, REFERENCE].swapaxes(0, 1).ravel()
    with np.errstate(invalid='ignore'):
        coverage = compared.moments[:, :, WHOLE, 0] / measured[:, None]
    table['coverage'] = coverage[profile, model]
    table['readouts'] = measured[profile]
    if compared.weight is not None:
        table['weight'] = compared.weight[profile]
    return table


class _Given(NamedTuple):
    """What all screens share.

    Attributes:
      centre: the constant that is subtracted from values.
      responders: which readouts respond.
      baseline: the position of the baseline among the models.
      known: an earlier comparison with another baseline, or None.
      metrics: their names.
    """

    centre: float
    responders: Responders
    baseline: int
    known: Compared | None
    metrics: tuple[str, ...]

    @property
    def is_single(self) -> np.ndarray:
        """Which metrics need no other perturbation, bool `[metrics]`."""
        return np.array([ALL_METRICS[name].over != 'perturbations' for name in self.metrics])

    @property
    def single(self) -> tuple[str, ...]:
        """The names of those metrics."""
        return tuple(name for name in self.metrics if ALL_METRICS[name].over != 'perturbations')


def _compare_screen(predictions: anndata.AnnData, rows: np.ndarray, given: _Given) -> tuple[np.ndarray, np.ndarray]:
    """The values and moments of the rows of one screen, over its own panel of readouts."""
    measured = ~np.isnan(predictions.layers['truth'][rows])
    columns = np.flatnonzero(measured.any(axis=0) | ~measured.any())
    # A view of all rows and columns would copy every layer that is taken from it.
    block = predictions if (len(rows), len(columns)) == predictions.shape else predictions[rows, columns]
    names = [str(name) for name in predictions.uns['models']]
    has_level = find_scale(predictions.uns['scale'][str(block.obs['screen'].iloc[0])]).control_has_level
    here = slice(None) if block is predictions else np.ix_(rows, columns)  # all of it is not copied
    weight, p_value = (each[here] for each in given.responders[:2])
    statistic = None if given.responders.statistic is None else given.responders.statistic[here]
    truth, control, mean = (block.layers[name] for name in ('truth', 'control', 'perturbed_mean'))
    layers = [np.asarray(block.layers[name]) for name in names]
    done = given.known and (given.known.values[rows, :, WHOLE], given.known.moments[rows, :, WHOLE])
    profiles = Comparison(truth, layers[0], control, mean, control if has_level else None, weight, p_value, statistic)
    is_single = given.is_single
    single, sums = _of_profiles(profiles, layers, given, done and (done[0][..., is_single], done[1]))
    values = np.empty((*single.shape[:-1], len(given.metrics)), np.float32)
    values[..., is_single] = single
    if not is_single.all():
        values[..., ~is_single] = _among_perturbations(block, layers, given, done and done[0][..., ~is_single])
    return values, sums


def _of_profiles(
    profiles: Comparison, layers: Sequence[np.ndarray], given: _Given, done: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Metrics `[N, models, 3, metrics]` and moments `[N, models, 3, 8]` of profiles `[N, M]`, some rows at a time."""
    rows, readouts = profiles.truth.shape
    step = 1 << max(0, (_VALUES // readouts).bit_length() - 1)
    values = np.empty((rows, len(layers), 3, len(given.single)), np.float32)
    sums = np.empty((rows, len(layers), 3, 8), np.float32)
    for first in range(0, rows, step):
        part = slice(first, first + step)
        # All parts have one size, so that they share a compilation.
        chosen = np.minimum(np.arange(first, first + step), rows - 1)
        known = None if done is None else (done[0][part], done[1][part])
        found = _of_part(_cut(profiles, chosen, given.centre), [layer[chosen] for layer in layers], given, known)
        values[part], sums[part] = (each[: rows - first] for each in found)
    return values, sums


def _cut(profiles: Comparison, rows: np.ndarray, centre: float) -> Comparison:
    """Those rows as float32; a constant is subtracted from all values, because the moments need it."""

    def cut(values: Any, constant: float = 0.0) -> np.ndarray:
        return np.asarray(values[rows] - constant, np.float32)

    truth, prediction, control, mean = (cut(each, centre) for each in profiles[:4])
    level, statistic = (None if each is None else cut(each) for each in (profiles.level, profiles.statistic))
    return Comparison(truth, prediction, control, mean, level, cut(profiles.weight), cut(profiles.p_value), statistic)


def _of_part(
    profiles: Comparison, layers: Sequence[np.ndarray], given: _Given, done: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    profiles = jax.device_put(profiles)
    layers = [np.asarray(layer - given.centre, np.float32) for layer in layers]
    measured = ~np.isnan(profiles.truth)

    def measure(prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, sums = _measure(profiles._replace(prediction=prediction), given.single)
        return np.asarray(values), np.asarray(sums)

    if done is None:
        whole = [measure(layer) for layer in layers]
    else:
        padding = len(measured) - len(done[0])
        filled = [np.pad(each, [(0, padding)] + [(0, 0)] * (each.ndim - 1)) for each in done]
        whole = [(filled[0][:, model], filled[1][:, model]) for model in range(len(layers))]
    baseline = layers[given.baseline]
    kinds = []
    for own, layer in zip(whole, layers, strict=True):
        # If both predict the same readouts, their values over the shared ones are those over all.
        same = not ((np.isnan(layer) != np.isnan(baseline)) & measured).any()
        shared = own if same else measure(np.where(np.isnan(baseline), np.nan, layer))
        reference = whole[given.baseline] if same else measure(np.where(np.isnan(layer), np.nan, baseline))
        kinds.append([np.stack(each, axis=1) for each in zip(own, shared, reference, strict=True)])
    values, sums = zip(*kinds, strict=True)
    return np.stack(values, axis=1), np.stack(sums, axis=1)


@functools.partial(jax.jit, static_argnames='metrics')
def _measure(profiles: Comparison, metrics: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
    """Metrics `[N, metrics]` and moments `[N, 8]` of the predictions of profiles `[N, M]`."""
    single = [ALL_METRICS[name].function(profiles) for name in metrics]
    if not single:
        return jnp.zeros((len(profiles.truth), 0)), moments(profiles.truth, profiles.prediction)
    return jnp.stack(single, axis=-1), moments(profiles.truth, profiles.prediction)


def _among_perturbations(
    block: anndata.AnnData, layers: Sequence[np.ndarray], given: _Given, done: np.ndarray | None
) -> np.ndarray:
    """The metrics that need the other perturbations of the split and context, `[N, models, 3, those metrics]`."""
    left_out = perturbed_readouts(block.obs['perturbation'].astype(str), block.var_names)
    group = block.obs.groupby(['split', 'context'], observed=True).ngroup().to_numpy()
    control, baseline = np.asarray(block.layers['control'], np.float32), given.baseline
    truth, reference = np.asarray(block.layers['truth'] - control), np.asarray(layers[baseline] - control)
    distances = [ALL_METRICS[name].function for name in given.metrics if name not in given.single]

    def scores(change: np.ndarray) -> np.ndarray:
        return np.stack([discriminate(change, truth, left_out, group, each) for each in distances], axis=-1)

    whole = done if done is not None else np.stack([scores(layer - control) for layer in layers], axis=1)
    kinds = np.stack([whole, whole, np.broadcast_to(whole[:, [baseline]], whole.shape)], axis=2)
    for model, layer in enumerate(layers):
        if (np.isnan(layer) != np.isnan(layers[baseline])).any():
            change = layer - control
            kinds[:, model, SHARED] = scores(change + 0 * reference)
            kinds[:, model, REFERENCE] = scores(reference + 0 * change)
    return kinds


def check(predictions: anndata.AnnData) -> None:
    """Raises InputError if the predictions cannot be judged."""
    if 'truth' not in predictions.layers:
        raise InputError('evaluate needs the truth layer; predictions without truth can only be written.')
    missing = [name for name in PROFILE if name not in predictions.obs]
    missing += [name for name in ('models', 'scale') if name not in predictions.uns]
    models = [str(name) for name in predictions.uns['models']] if 'models' in predictions.uns else []
    missing += [name for name in ('control', 'perturbed_mean', *models) if name not in predictions.layers]
    missing += [] if BASELINE in models else [f'{BASELINE} among the models']
    if missing:
        raise InputError(f'predictions: {listed(missing)} is missing; write them with perturbjax.')
    without = sorted(set(predictions.obs['screen'].astype(str)) - set(predictions.uns['scale']))
    if without:
        raise InputError(f"predictions: uns['scale'] names no scale for the screen {listed(without)}.")
    if np.isnan(predictions.layers['truth']).all():
        raise InputError('evaluate needs a truth to compare with; every value of the truth layer is missing.')
