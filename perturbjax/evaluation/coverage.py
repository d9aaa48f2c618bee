"""Whether the spread of an ensemble says how wrong it is: how often its intervals hold the truth.

Not to be confused with the coverage of a model, which is the share of the values that it predicts.
"""

import anndata
import numpy as np
import pandas as pd
from scipy.special import ndtri

from perturbjax.evaluation.statistics import bootstrap, cluster_sums, interval
from perturbjax.prediction.layers import SPREAD

LEVELS = (0.5, 0.9)
COLUMNS = ['model', 'level', 'coverage', 'values', 'low', 'high']


def interval_coverage(predictions: anndata.AnnData, seed: int = 0, bootstrap_samples: int = 2000) -> pd.DataFrame:
    """The share of held-out values inside prediction +- z x spread, for every model that has a spread (coverage.csv).

    Columns:
      model: its label.
      level: the share that should be inside, by which z is a quantile of the normal distribution: 0.674 for 50%.
      coverage: the share that is inside. Below the level, the spread is too small.
      values: the number of held-out values that have a prediction and a spread.
      low, high: the 95% bootstrap interval of the coverage over pairs (context, perturbation); NaN with one pair.

    Args:
      predictions: as a run writes them; the spread of `MODEL` is the layer `MODEL_spread`.
      seed: seed of the bootstrap.
      bootstrap_samples: number of bootstrap samples.
    """
    pairs = predictions.obs.groupby(['context', 'perturbation'], observed=True).ngroup().to_numpy()
    models = [str(name) for name in predictions.uns['models'] if f'{name}{SPREAD}' in predictions.layers]
    tables = [_of_model(predictions, model, pairs, seed, bootstrap_samples) for model in models]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _of_model(
    predictions: anndata.AnnData, model: str, pairs: np.ndarray, seed: int, bootstrap_samples: int
) -> pd.DataFrame:
    error = np.abs(predictions.layers['truth'] - predictions.layers[model])
    spread = np.asarray(predictions.layers[f'{model}{SPREAD}'])
    known = np.isfinite(error) & np.isfinite(spread)
    inside = [(known & (error <= ndtri((1 + level) / 2) * spread)).sum(axis=1) for level in LEVELS]
    sums = cluster_sums({'inside': np.stack(inside, axis=1), 'values': known.sum(axis=1)}, pairs, pairs.max() + 1)
    samples = bootstrap(_share, sums, seed, bootstrap_samples)
    low, high = interval(samples, np.full(len(LEVELS), (sums['values'] > 0).sum()))
    with np.errstate(invalid='ignore'):
        share = _share({name: each.sum(axis=0) for name, each in sums.items()})
    columns = (model, LEVELS, share, int(known.sum()), low, high)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _share(sums: dict[str, np.ndarray]) -> np.ndarray:
    """The share of values inside, `[..., levels]`."""
    return sums['inside'] / np.expand_dims(sums['values'], -1)
