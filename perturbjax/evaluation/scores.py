"""Compares predictions with the truth: every metric of every held-out profile.

Each model is compared with a baseline over the readouts that both predict, so a model with gaps is neither
punished nor rewarded for them. Its coverage says how large the gaps are.
"""

from typing import Any, NamedTuple

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.evaluation.metrics import METRICS, Comparison
from perturbjax.evaluation.metrics.discrimination import discriminate, perturbed_readouts
from perturbjax.evaluation.metrics.pooling import moments
from perturbjax.evaluation.responders import Responders, responders
from perturbjax.screens.scales import find_scale

BASELINE = 'mean'
PROFILE = ['split', 'screen', 'context', 'perturbation']
# Profiles compared at a time; each takes a few arrays of about 3 x models x M floats.
_BATCH = 4
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
    """

    profiles: pd.DataFrame
    models: list[str]
    values: np.ndarray
    moments: np.ndarray
    measured: np.ndarray
    responders: Responders


def compare(
    predictions: anndata.AnnData,
    baseline: str = BASELINE,
    cells: np.ndarray | None = None,
    known: Responders | None = None,
) -> Compared:
    """Computes every metric of every profile and model, beside that of the baseline.

    Args:
      predictions: as a run writes them; layers `[N, M]` truth, control, perturbed_mean and one per model.
      baseline: one of the models.
      cells: number of rows behind each truth, `[N]`; those in `obs` if None.
      known: the responding readouts, if an earlier comparison has computed them.

    Raises:
      InputError: a part of the predictions is missing.
    """
    check(predictions)
    truth = np.asarray(predictions.layers['truth'])
    models = [str(name) for name in predictions.uns['models']]
    if cells is None:
        cells = np.asarray(predictions.obs.get('cells', np.ones(len(truth))), float)
    known = known or responders(predictions, truth, cells)
    given = _Given(truth.mean(where=np.isfinite(truth), dtype=float), known)
    screens = predictions.obs['screen'].astype(str).to_numpy()
    rows = [np.flatnonzero(screens == name) for name in np.unique(screens)]
    parts = [_compare_screen(predictions, each, given, models.index(baseline)) for each in rows]
    back = np.argsort(np.concatenate(rows))
    values, sums = (np.concatenate(part)[back] for part in zip(*parts))
    return Compared(predictions.obs[PROFILE], models, values, sums, (~np.isnan(truth)).sum(axis=1), known)


def score(compared: Compared) -> pd.DataFrame:
    """One row per model, held-out profile and metric (scores.csv).

    Columns: model, split, screen, context, perturbation, metric; `value`, NaN where it is undefined;
    `reference`, the same metric of the baseline over the readouts that the model predicts; `coverage`, the
    share of measured readouts that the model predicts; `readouts`, how many were measured. Metrics that
    `summarise` computes over all values are here computed for each profile alone.
    """
    values, measured = compared.values, compared.measured
    rows, models, _, metrics = values.shape
    profile = np.repeat(np.tile(np.arange(rows), models), metrics)
    model = np.repeat(np.arange(models), rows * metrics)
    table = compared.profiles.iloc[profile].reset_index(drop=True)
    table.insert(0, 'model', np.array(compared.models)[model])
    table['metric'] = np.tile(list(METRICS), rows * models)
    table['value'] = values[:, :, WHOLE].swapaxes(0, 1).ravel()
    table['reference'] = values[:, :, REFERENCE].swapaxes(0, 1).ravel()
    with np.errstate(invalid='ignore'):
        coverage = compared.moments[:, :, WHOLE, 0] / measured[:, None]
    table['coverage'] = coverage[profile, model]
    table['readouts'] = measured[profile]
    return table


class _Given(NamedTuple):
    """What all screens share: the constant that is subtracted from values, and the responding readouts."""

    centre: float
    responders: Responders


def _compare_screen(
    predictions: anndata.AnnData, rows: np.ndarray, given: _Given, baseline: int
) -> tuple[np.ndarray, np.ndarray]:
    """The values and moments of the rows of one screen, over its own panel of readouts."""
    measured = ~np.isnan(predictions.layers['truth'][rows])
    columns = np.flatnonzero(measured.any(axis=0) | ~measured.any())
    block = predictions[rows, columns]
    names = [str(name) for name in predictions.uns['models']]
    panel = np.ix_(rows, columns)
    weight, p_value = (jnp.asarray(each[panel], jnp.float32) for each in given.responders)

    def cut(name: str, centre: float = given.centre) -> jax.Array:
        return jnp.asarray(block.layers[name] - centre, jnp.float32)

    has_level = find_scale(predictions.uns['scale'][str(block.obs['screen'].iloc[0])]).control_has_level
    level = cut('control', 0) if has_level else None
    prediction: Any = tuple(cut(name) for name in names)
    comparison = Comparison(cut('truth'), prediction, cut('control'), cut('perturbed_mean'), level, weight, p_value)
    single, sums = _compare_profiles(comparison, baseline)
    among = _among_perturbations(block, names, baseline)
    parts = {'perturbations': iter(np.moveaxis(among, -1, 0)), 'other': iter(np.moveaxis(np.asarray(single), -1, 0))}
    values = [next(parts['perturbations' if m.over == 'perturbations' else 'other']) for m in METRICS.values()]
    return np.stack(values, axis=-1), np.asarray(sums)


@jax.jit
def _compare_profiles(given: Comparison, baseline: jax.Array) -> Any:
    return jax.lax.map(lambda profile: _compare_profile(profile, baseline), given, batch_size=_BATCH)


def _compare_profile(given: Comparison, baseline: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Metrics `[models, 3, metrics]` and moments `[models, 3, 8]` of one profile `[M]`.

    `given.prediction` is a tuple, one prediction for each model. A common constant is already subtracted from
    all values, because the moments need it.
    """
    whole = jnp.stack(given.prediction)
    reference = jnp.broadcast_to(whole[baseline], whole.shape)
    shared = jnp.where(jnp.isnan(reference), jnp.nan, whole)
    reference = jnp.where(jnp.isnan(whole), jnp.nan, reference)
    metrics = [metric for metric in METRICS.values() if metric.over != 'perturbations']

    def measure(prediction: jax.Array) -> tuple[jax.Array, jax.Array]:
        comparison = given._replace(prediction=prediction)
        return jnp.stack([each.function(comparison) for each in metrics]), moments(given.truth, prediction)

    return jax.vmap(jax.vmap(measure))(jnp.stack([whole, shared, reference], axis=1))


def _among_perturbations(block: anndata.AnnData, models: list[str], baseline: int) -> np.ndarray:
    """The metrics that need the other perturbations of the split and context, `[N, models, 3, those metrics]`."""
    left_out = perturbed_readouts(block.obs['perturbation'].astype(str), block.var_names)
    group = block.obs.groupby(['split', 'context'], observed=True).ngroup().to_numpy()
    truth, *changes = (
        np.asarray(block.layers[name] - block.layers['control'], np.float32) for name in ('truth', *models)
    )
    gaps = [np.isnan(change) for change in changes]
    columns = []
    for metric in METRICS.values():
        if metric.over != 'perturbations':
            continue
        whole = [discriminate(change, truth, left_out, group, metric.function) for change in changes]
        column = np.stack([np.stack([own, own, whole[baseline]], axis=-1) for own in whole], axis=1)
        for model, change in enumerate(changes):
            # If both predict the same readouts, the values above are already those of the shared readouts.
            if (gaps[model] != gaps[baseline]).any():
                shared, reference = change + 0 * changes[baseline], changes[baseline] + 0 * change
                column[:, model, SHARED] = discriminate(shared, truth, left_out, group, metric.function)
                column[:, model, REFERENCE] = discriminate(reference, truth, left_out, group, metric.function)
        columns.append(column)
    return np.stack(columns, axis=-1)


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
