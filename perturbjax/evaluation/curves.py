"""L2 and Pearson-delta by the number of readouts, from those that matter most (Ahlmann-Eltze et al. 2025)."""

import functools

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.evaluation.metrics.correlations import pearson_delta
from perturbjax.evaluation.metrics.distances import l2_top
from perturbjax.evaluation.summary import NEARLY_ALL
from perturbjax.screens.scales import find_scale

_METRICS = ('l2', 'pearson_delta')
_BATCH = 4


def readout_curves(predictions: anndata.AnnData) -> pd.DataFrame:
    """Both metrics over the n readouts that rank highest in a profile, as means over profiles.

    Columns: model; metric (`l2` or `pearson_delta`); ranking (`control`: by level in control, on scales that
    give control a level; `delta`: by the size of the true change); n; value, NaN if it is undefined for all
    profiles. A profile with fewer than n readouts counts with all of them. Models that predict less than 99%
    of the measured values are left out, because distances over fewer readouts cannot be compared.
    """
    truth = np.asarray(predictions.layers['truth'])
    measured = ~np.isnan(truth)
    models = [
        str(name)
        for name in predictions.uns['models']
        if (~np.isnan(predictions.layers[str(name)]))[measured].mean() >= NEARLY_ALL
    ]
    sizes = _sizes(int(measured.sum(axis=1).max()))
    control = np.asarray(predictions.layers['control'])
    rankings = {'control': np.where(_has_level(predictions), control, np.nan), 'delta': np.abs(truth - control)}
    tables = []
    for ranking, key in rankings.items():
        ranked = ~np.isnan(np.where(measured, key, np.nan)).all(axis=1)
        if models and ranked.any():
            given = (truth[ranked], control[ranked], key[ranked])
            layers = np.stack([np.asarray(predictions.layers[name])[ranked] for name in models], axis=1)
            values = _mean(np.asarray(_curves(*map(jnp.asarray, (*given, layers)), sizes)))
            tables.append(_table(values, models, ranking, sizes))
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


@functools.partial(jax.jit, static_argnames='sizes')
def _curves(
    truth: jax.Array, control: jax.Array, key: jax.Array, layers: jax.Array, sizes: tuple[int, ...]
) -> jax.Array:
    """The curve of each profile, model and metric, `[N, models, 2, sizes]`; layers are `[N, models, M]`."""

    def of_profile(given: tuple[jax.Array, ...]) -> jax.Array:
        truth, control, key, predictions = given
        order = jnp.argsort(jnp.where(jnp.isnan(truth) | jnp.isnan(key), jnp.inf, -key))
        rank = jnp.zeros(len(key), int).at[order].set(jnp.arange(len(key)))

        def of_size(n: jax.Array) -> jax.Array:
            cut = jnp.where((rank < n) & ~jnp.isnan(key), truth, jnp.nan)
            both = (lambda p: l2_top(cut, p, None), lambda p: pearson_delta(cut, p, control))
            return jnp.stack([jax.vmap(each)(predictions) for each in both], axis=-1)

        return jnp.moveaxis(jax.lax.map(of_size, jnp.array(sizes)), 0, -1)

    return jax.lax.map(of_profile, (truth, control, key, layers), batch_size=_BATCH)


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
