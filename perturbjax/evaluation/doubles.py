"""Genetic interactions among the held-out combinations of a run, and which model foresees them."""

from collections.abc import Iterator
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd

from perturbjax.errors import InputError
from perturbjax.evaluation.interactions import (
    CLASSES,
    Interactions,
    Ranking,
    expected_interaction,
    interactions,
    rank_by_split,
)
from perturbjax.screens.scales import find_scale
from perturbjax.screens.vocabulary import parts

ADDITIVE = 'additive'
MOST_READOUTS = 1000
_AREAS = ('auprc', 'auroc', 'positives', 'ranked')
_CALL = ['screen', 'context', 'perturbation', 'readout', 'interaction', 'fdr', 'class']


class Doubles(NamedTuple):
    """What was found, as tables.

    Attributes:
      calls: the called interactions, strongest first: screen, context, perturbation, readout,
        interaction (observed minus additive), fdr, class.
      nulls: one row per screen: the null's delta, sigma, p0 and misfit, how many values there are,
        how many are called, and how many of those are of each class.
      ranking: one row per model, screen and split: auprc, auroc, positives, ranked.
      curves: of the same, false_discovery_proportion against true_positive_rate, at most 200 points each.
      notes: sentences on screens whose values allow no null.
    """

    calls: pd.DataFrame
    nulls: pd.DataFrame
    ranking: pd.DataFrame
    curves: pd.DataFrame
    notes: list[str]


def judge_doubles(predictions: anndata.AnnData) -> Doubles | None:
    """Calls interactions in every screen with held-out combinations; None where there are none, or no additive model.

    Values are pooled over the combinations and the 1,000 readouts of a screen that are highest in
    control (all of them where the scale gives control no level), as in Ahlmann-Eltze et al. 2025.
    """
    models = [str(name) for name in predictions.uns['models']]
    order = predictions.obs['perturbation'].astype(str).map(lambda name: len(parts(name)))
    if ADDITIVE not in models or not (order >= 2).any():
        return None
    calls, nulls, ranking, curves, notes = [], [], [], [], []
    for screen, rows in predictions[order.to_numpy() >= 2].obs.groupby('screen', observed=True):
        block = _block(predictions[rows.index], find_scale(predictions.uns['scale'][screen]).control_has_level)
        once = ~block.obs.duplicated(['context', 'perturbation']).to_numpy()
        try:
            found = interactions(*(block.layers[name][once] for name in ('truth', ADDITIVE, 'control')))
        except InputError as error:
            notes.append(f'No interactions are called in {screen}: {error}')
            continue
        calls.append(_calls(block[once], found))
        nulls.append({'screen': screen, **_describe(found)})
        for place, each in _rank(block, once, found, models):
            place = {'screen': screen, **place}
            ranking.append(place | {name: getattr(each, name) for name in _AREAS})
            curves.append(_curve(each).assign(**place))
    called = pd.concat(calls) if calls else pd.DataFrame(columns=_CALL)
    drawn = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    return Doubles(called, pd.DataFrame(nulls), pd.DataFrame(ranking), drawn, notes)


def _block(block: anndata.AnnData, has_level: bool) -> anndata.AnnData:
    """The readouts that the screen measures, at most `MOST_READOUTS` of them."""
    measured = np.flatnonzero(~np.isnan(block.layers['truth']).all(axis=0))
    if has_level and len(measured) > MOST_READOUTS:
        level = np.nanmean(block.layers['control'][:, measured], axis=0)
        measured = np.sort(measured[np.argsort(-level)[:MOST_READOUTS]])
    return block[:, measured]


def _calls(block: anndata.AnnData, found: Interactions) -> pd.DataFrame:
    row, column = np.nonzero(found.called)
    table = block.obs[['screen', 'context', 'perturbation']].iloc[row].astype(str).reset_index(drop=True)
    table['readout'] = block.var_names[column]
    table['interaction'], table['fdr'] = found.value[row, column], found.fdr[row, column]
    table['class'] = found.kind[row, column]
    return table.sort_values('interaction', key=abs, ascending=False)


def _describe(found: Interactions) -> dict[str, float]:
    null = {name: getattr(found.null, name) for name in ('delta', 'sigma', 'p0', 'misfit')}
    classes = {name: int((found.kind[found.called] == name).sum()) for name in CLASSES}
    return {**null, 'values': int(np.isfinite(found.fdr).sum()), 'called': int(found.called.sum()), **classes}


def _rank(
    block: anndata.AnnData, once: np.ndarray, found: Interactions, models: list[str]
) -> Iterator[tuple[dict, Ranking]]:
    """Each model's ranking by split; a combination that several splits test has the one set of calls."""
    keys = pd.MultiIndex.from_frame(block.obs[['context', 'perturbation']].astype(str))
    fdr = found.fdr[keys[once].get_indexer(keys)]
    additive, control, split = block.layers[ADDITIVE], block.layers['control'], block.obs['split'].to_numpy()
    for model in models:
        score = expected_interaction(block.layers[model], additive, control)
        for seed, each in rank_by_split(fdr, score, split).items():
            yield {'model': model, 'split': seed}, each


def _curve(ranking: Ranking, most: int = 200) -> pd.DataFrame:
    """The curve at evenly spaced places of the ranking; both its ends are among them."""
    scores = len(ranking.true_positive_rate)
    places = np.linspace(0, scores - 1, min(most, scores)).round().astype(int)
    names = ('false_discovery_proportion', 'true_positive_rate')
    return pd.DataFrame({name: getattr(ranking, name)[places] for name in names})
