"""The summary of a run: every model and metric with its interval, next to `mean` and the best simple rule."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import anndata
import numpy as np
import pandas as pd

from perturbjax.evaluation.metrics import ALL_METRICS
from perturbjax.evaluation.metrics.pooling import pooled
from perturbjax.evaluation.scores import BASELINE, REFERENCE, SHARED, WHOLE, Compared, compare
from perturbjax.evaluation.statistics import bootstrap, cluster_sums, holm, interval, paired_test
from perturbjax.evaluation.weighting import WEIGHTED_BY
from perturbjax.models.stack import RULES

# The labels of the simple rules; every other model is judged next to the best of them.
BASELINES = tuple(RULES)
# Controls, which are shown but are in no test.
CONTROLS = ('permuted_labels',)
# A model can be the best only from this coverage on: with gaps, its question is easier or harder.
NEARLY_ALL = 0.99

BETTER, WORSE, UNCLEAR = 'better', 'worse', 'unclear'
_INTERVALS = ('value', 'ratio', 'difference')


def summarise(
    predictions: anndata.AnnData, compared: Compared, seed: int = 0, bootstrap_samples: int = 2000
) -> pd.DataFrame:
    """One row per model and metric, over all held-out profiles of all splits and screens (summary.csv).

    Metrics over all values are computed once, over the values of all splits; the others are means over
    profiles. Intervals are 95% percentile bootstrap intervals over pairs (context, perturbation): the profiles
    of a pair in several splits and screens are drawn together. They are NaN if only one pair is left. Screens
    on different scales are pooled as they are; scores.csv keeps them apart. With weights, means and sums count
    profiles by them; the paired test and the numbers of pairs do not.

    Columns:
      model, metric: names.
      value, low, high: the metric and its interval.
      ratio, ratio_low, ratio_high: the metric divided by that of `mean` on the same profiles and readouts; NaN
        unless lower is better, and where that of `mean` is 0.
      baseline: the best of the simple rules that predict nearly everything.
      difference, baseline_ratio: the metric minus that of this rule on the same profiles and readouts, and the
        ratio of the two; each with its interval, `_low` and `_high`.
      p_value: Wilcoxon's paired test of that difference, corrected by Holm for the number of models; NaN for
        the rules themselves.
      coverage: share of all measured values that the model predicts.
      perturbations: number of pairs (context, perturbation) that the value is based on.
      splits: number of splits.
      weighted_by: by what profiles are weighted; only where they are.

    Args:
      predictions: the predictions that `compared` was made from; compared again with other baselines.
      compared: the comparison with `mean`.
      seed: seed of the bootstrap.
      bootstrap_samples: number of bootstrap samples.
    """
    table = _estimated(compared, seed, bootstrap_samples)
    if WEIGHTED_BY in predictions.uns:
        table[WEIGHTED_BY] = str(predictions.uns[WEIGHTED_BY])
    table['coverage'] = np.repeat(coverage_of(compared), len(compared.metrics))
    table['splits'] = compared.profiles['split'].nunique()
    table['baseline'] = table['metric'].map(best_baselines(table)).fillna('')
    table = table.drop(columns=['difference', 'difference_low', 'difference_high'])
    columns = ['difference', 'difference_low', 'difference_high', 'baseline_ratio', 'baseline_ratio_low']
    table[[*columns, 'baseline_ratio_high', 'p_value']] = np.nan
    for name in filter(None, table['baseline'].unique()):
        beside = compared if name == BASELINE else compare(predictions, name, known=compared)
        other = _estimated(beside, seed, bootstrap_samples)
        other = other.rename(columns=lambda column: column.replace('ratio', 'baseline_ratio'))
        other['p_value'] = _p_values(beside)
        rows = table['baseline'] == name
        table.loc[rows, [*columns, 'baseline_ratio_high', 'p_value']] = other
    return table


def best_baselines(table: pd.DataFrame) -> dict[str, str]:
    """The best simple rule of each metric, among the rules that predict nearly everything."""
    rules = table[table['model'].isin(BASELINES) & (table['coverage'] >= NEARLY_ALL) & table['value'].notna()]
    sign = np.array([ALL_METRICS[name].sign for name in rules['metric']])
    first = (rules['value'] * sign).groupby(rules['metric']).idxmin()
    return dict(zip(first.index, rules.loc[first, 'model']))


def outcome(row: Any) -> str:
    """Whether a model is better or worse than the best simple rule, by its row of the summary, or unclear.

    The outcome is clear if the interval of the difference does not include 0 and the corrected p value is
    below 5%.
    """
    if not row.difference_low * row.difference_high > 0 or not row.p_value < 0.05:
        return UNCLEAR
    return BETTER if row.difference * ALL_METRICS[row.metric].sign < 0 else WORSE


def clusters_of(compared: Compared) -> np.ndarray:
    """The cluster of each profile, `[N]`: a number for its (context, perturbation)."""
    return compared.profiles.groupby(['context', 'perturbation'], observed=True).ngroup().to_numpy()


def sums_of(compared: Compared) -> dict[str, np.ndarray]:
    """The sums that metrics are computed from, by (context, perturbation), `[clusters, models, 3, ...]`."""
    known = ~np.isnan(compared.values)
    # A model and the baseline are compared over the profiles in which the metric is defined for both.
    known[:, :, [SHARED, REFERENCE]] = known[:, :, [SHARED]] & known[:, :, [REFERENCE]]
    profiles = {'moments': compared.moments, 'count': known * 1.0, 'total': np.where(known, compared.values, 0)}
    if compared.weight is not None:
        weight = compared.weight[:, None, None, None]
        profiles = {name: each * weight for name, each in profiles.items()}
    cluster = clusters_of(compared)
    return cluster_sums(profiles, cluster, cluster.max() + 1)


def estimates(sums: dict[str, np.ndarray], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """Each metric's value, its ratio to that of the baseline, and its difference from it, `[..., models, metrics]`."""
    means = sums['total'] / sums['count']
    of_all = pooled(sums['moments'])
    over_values = [ALL_METRICS[name].over == 'values' for name in metrics]
    columns = [of_all[name] if over_values[i] else means[..., i] for i, name in enumerate(metrics)]
    whole, shared, reference = np.moveaxis(np.stack(columns, axis=-1), -2, 0)
    lower = np.array([ALL_METRICS[name].lower_is_better for name in metrics])
    return {
        'value': whole,
        'ratio': np.where(lower & (reference != 0), shared / reference, np.nan),
        'difference': shared - reference,
    }


def at_once(statistic: Callable, sums: dict[str, np.ndarray]) -> Any:
    """The statistic over all clusters, each counted once."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return statistic({name: each.sum(axis=0) for name, each in sums.items()})


def _estimated(compared: Compared, seed: int, bootstrap_samples: int) -> pd.DataFrame:
    """The estimates with their intervals, and the number of perturbations that they are based on."""
    sums = sums_of(compared)
    statistics = functools.partial(estimates, metrics=compared.metrics)
    numbers, samples = at_once(statistics, sums), bootstrap(statistics, sums, seed, bootstrap_samples)
    clusters = number_of_clusters(sums, compared.metrics)
    names = pd.MultiIndex.from_product([compared.models, compared.metrics], names=['model', 'metric'])
    table = pd.DataFrame(index=names)
    for name, kind in zip(_INTERVALS, (WHOLE, SHARED, SHARED)):
        ends = interval(samples[name], clusters[:, kind])
        prefix = '' if name == 'value' else f'{name}_'
        for column, each in zip((name, f'{prefix}low', f'{prefix}high'), (numbers[name], *ends)):
            table[column] = np.asarray(each, float).ravel()
    table['perturbations'] = np.asarray(clusters[:, WHOLE]).ravel()
    return table.reset_index()


def number_of_clusters(sums: dict[str, np.ndarray], metrics: Sequence[str]) -> np.ndarray:
    """The number of clusters that each metric is based on, `[models, 3, metrics]`."""
    over_values = np.array([ALL_METRICS[name].over == 'values' for name in metrics])
    count = np.where(over_values, sums['moments'][..., :1], sums['count'])
    return (count > 0).sum(axis=0)


def coverage_of(compared: Compared) -> np.ndarray:
    """The share of all measured values that each model predicts, `[models]`."""
    return compared.moments[:, :, WHOLE, 0].sum(axis=0, dtype=float) / compared.measured.sum()


def _p_values(compared: Compared) -> np.ndarray:
    """p values of each model and metric against the baseline, corrected for the number of models, flattened."""
    difference = compared.values[:, :, SHARED] - compared.values[:, :, REFERENCE]
    p = paired_test(difference, clusters_of(compared))
    p[[name in BASELINES + CONTROLS for name in compared.models]] = np.nan
    return np.apply_along_axis(holm, 0, p).ravel()
