"""A run's models beside the published scores of the same perturbations (Ahlmann-Eltze et al. 2025).

Both sides have L2 and Pearson-delta over the readouts highest in control, 1,000 of them where there are so many. What
differs is told: the panel that they are highest of, and what methods were selected on.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd

from perturbjax.datasets.published import LICENCE, SCORES, SOURCE, check_scored, published_scores
from perturbjax.errors import InputError, listed
from perturbjax.evaluation.metrics.correlations import pearson_delta
from perturbjax.evaluation.metrics.distances import l2_top
from perturbjax.evaluation.metrics.highest import first_highest
from perturbjax.evaluation.statistics import bootstrap, cluster_sums, interval
from perturbjax.evaluation.summary import CONTROLS, NEARLY_ALL, at_once
from perturbjax.screens.vocabulary import combine, parts, target_gene

OURS, PUBLISHED = 'this run', 'published'
_HIGHEST = 1000
_METRICS = ['l2', 'pearson_delta']
# The layer of a run that is the published simple rule.
_RULES = {'mean': 'perturbed_mean', 'no_change': 'control'}


class Beside(NamedTuple):
    """Published scores and a run's, over the same perturbations.

    Attributes:
      table: one row per model, see `beside_published`.
      notes: sentences about what is compared.
    """

    table: pd.DataFrame
    notes: Sequence[str]


def refuse_strangers(dataset: str, held_out: pd.DataFrame, scales: Mapping[str, str]) -> None:
    """Raises InputError where held-out profiles cannot be compared with the published scores of a data set.

    Args:
      dataset: a name in `SCORES`.
      held_out: columns screen, context and perturbation.
      scales: by the name of the screen.
    """
    field, scale = 'evaluation.published', SCORES[dataset].scale
    other = sorted({scales[name] for name in held_out['screen'].unique()} - {scale})
    if other:
        raise InputError(f'{field}: the scores of {dataset} are on the scale {scale}, but held out is {listed(other)}.')
    contexts = held_out['context'].unique()
    if len(contexts) > 1:
        raise InputError(
            f'{field}: the scores of {dataset} are of one context, but held out are profiles of {listed(contexts)}; '
            'hold out profiles of one, or leave the setting out.'
        )
    ours, theirs = set(map(_target, held_out['perturbation'].unique())), _scored(dataset)['perturbation'].unique()
    if not ours & set(theirs):
        raise InputError(
            f'{field}: none of the held-out perturbations ({listed(sorted(ours))}) is among those scored of {dataset} '
            f'({listed(theirs)}); name the right data set, or leave the setting out.'
        )


def _target(perturbation: str) -> str:
    """The name of a perturbation without types, as the published scores have it."""
    return combine(map(target_gene, parts(perturbation)))


def _scored(dataset: str) -> pd.DataFrame:
    """The scores of perturbations that the method had not trained on."""
    scores = published_scores(dataset)
    return scores[scores['split'].isin(['test', 'val'])]


def beside_published(
    predictions: anndata.AnnData, dataset: str, seed: int = 0, bootstrap_samples: int = 2000
) -> Beside:
    """The published scores of a data set and those of a run, over the perturbations that both hold out.

    A perturbation that several splits or seeds hold out counts once, with its mean. A model's profile counts where
    it predicts nearly all of the readouts.

    Columns of the table: model; source (`this run` or `published`); perturbations, how many the row is based on; l2 and
    pearson_delta, means over them; ratio, the L2 divided by that of the simple rule of the same source, over the same
    perturbations and repeats; each of the three with its 95% bootstrap interval, `_low` and `_high`. Sorted by L2
    within a source.

    Args:
      predictions: as a run writes them.
      dataset: a name in `datasets.published.SCORES`.
      seed, bootstrap_samples: of the bootstrap over perturbations.

    Raises:
      InputError: there are no such scores, or nothing can be compared with them.
    """
    check_scored(dataset, 'evaluation.published')
    refuse_strangers(dataset, predictions.obs.astype(str), dict(predictions.uns['scale']))
    scored = _scored(dataset).rename(columns={'method': 'model', 'seed': 'repeat'})
    rule = SCORES[dataset].rule
    ours = _own_scores(predictions, _RULES[rule])
    sides = {OURS: _beside_rule(ours, _RULES[rule]), PUBLISHED: _beside_rule(scored, rule)}
    shared = sorted(set(ours['perturbation']) & set(scored['perturbation']))
    tables = []
    for source, scores in sides.items():
        table = _estimated(scores[scores['perturbation'].isin(shared)], seed, bootstrap_samples)
        table.insert(1, 'source', source)
        tables.append(table[~table['model'].isin([*_RULES.values(), *CONTROLS])])
    readouts = int((~np.isnan(np.asarray(predictions.layers['truth']))).sum(axis=1).max())
    used = scored[scored['perturbation'].isin(shared)]
    return Beside(pd.concat(tables, ignore_index=True), _notes(dataset, len(shared), readouts, used))


def _own_scores(predictions: anndata.AnnData, rule: str) -> pd.DataFrame:
    """L2 and Pearson-delta of each model, and of the layer `rule`, over the readouts highest in control."""
    truth, control = (np.asarray(predictions.layers[name]) for name in ('truth', 'control'))
    level = np.where(np.isnan(truth) | np.isnan(control), -np.inf, control)
    chosen = np.asarray(first_highest(level, _HIGHEST)) & np.isfinite(level)
    truth = np.where(chosen, truth, np.nan)
    names = [_target(name) for name in predictions.obs['perturbation'].astype(str)]
    profiles = {'repeat': predictions.obs['split'].to_numpy(), 'perturbation': names}
    tables = []
    for model in (rule, *map(str, predictions.uns['models'])):
        predicted = np.asarray(predictions.layers[model])
        share = (chosen & ~np.isnan(predicted)).sum(axis=1) / np.maximum(chosen.sum(axis=1), 1)
        found = [l2_top(truth, predicted, control, _HIGHEST), pearson_delta(truth, predicted, control)]
        values = {name: np.where(share >= NEARLY_ALL, each, np.nan) for name, each in zip(_METRICS, found)}
        tables.append(pd.DataFrame({'model': model, **profiles, **values}))
    return pd.concat(tables)


def _beside_rule(scores: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The scores with a further column `rule`: the L2 of that model in the same repeat, where the row has one."""
    keys = ['repeat', 'perturbation']
    of_rule = scores[scores['model'] == rule].groupby(keys)['l2'].mean().rename('rule').reset_index()
    beside = scores.merge(of_rule, how='left', on=keys)
    return beside.assign(rule=beside['rule'].where(beside['l2'].notna()))


def _estimated(scores: pd.DataFrame, seed: int, bootstrap_samples: int) -> pd.DataFrame:
    """The means of each model over perturbations, and their intervals."""
    l2, rule, correlation = (
        scores.pivot_table(name, 'perturbation', 'model', dropna=False) for name in ('l2', 'rule', 'pearson_delta')
    )
    columns = {
        'known': l2.notna(),
        'l2': l2.fillna(0),
        'paired': l2.where(rule.notna(), 0),
        'rule': rule.fillna(0),
        'correlated': correlation.notna(),
        'correlation': correlation.fillna(0),
    }
    sums = cluster_sums({name: each.to_numpy(float) for name, each in columns.items()}, np.arange(len(l2)), len(l2))
    values, samples = at_once(_estimates, sums), bootstrap(_estimates, sums, seed, bootstrap_samples)
    number = columns['known'].sum().to_numpy()
    table = pd.DataFrame({'model': l2.columns, 'perturbations': number})
    for name, value in values.items():
        low, high = interval(samples[name], number)
        table = table.assign(**{name: value, f'{name}_low': low, f'{name}_high': high})
    return table[table['perturbations'] > 0].sort_values('l2', kind='stable')


def _estimates(sums: dict[str, Any]) -> dict[str, Any]:
    return {
        'l2': sums['l2'] / sums['known'],
        'ratio': sums['paired'] / sums['rule'],
        'pearson_delta': sums['correlation'] / sums['correlated'],
    }


def _notes(dataset: str, shared: int, readouts: int, scored: pd.DataFrame) -> list[str]:
    about = SCORES[dataset]
    validation = scored.groupby(['repeat', 'perturbation'])['split'].first() == 'val'
    here = f'the {_HIGHEST:,} highest in control of {readouts:,} readouts'
    if readouts <= _HIGHEST:
        here = f'all {readouts:,} readouts, as there are no more'
    return [
        f'Published: {SOURCE} ({LICENCE}), {about.title}. Compared are the {shared} perturbations that are held out '
        'here and scored there; the training perturbations were not the same. In brackets: 95% bootstrap interval over '
        'perturbations.',
        f'L2 and Pearson-delta are over the 1,000 genes highest in control of {about.genes}; here they are over '
        f'{here}. An L2 over another panel is another number; ×, the ratio to {about.rule} of the same side over the '
        'same perturbations, depends less on it, and on which perturbations a row has.',
        f'{about.selected} Of the published scores here {validation.mean():.0%} are of validation perturbations.',
    ]
