"""Genetic interactions among the held-out combinations of a run, and which models predict them."""

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
from perturbjax.evaluation.repeats import SUPPORT, outliers, support
from perturbjax.screens.scales import find_scale
from perturbjax.screens.vocabulary import parts

ADDITIVE = 'additive'
MOST_READOUTS = 1000
_AREAS = ('auprc', 'auroc', 'positives', 'ranked')
_CALL = ['screen', 'context', 'perturbation', 'readout', 'interaction', 'fdr', 'class', *SUPPORT]


class Doubles(NamedTuple):
    """Interactions and how well models predict them, as tables.

    Attributes:
      calls: the called interactions, strongest first: screen, context, perturbation, readout,
        interaction (observed minus additive), fdr, class, and what the replicates say of it, see `repeats.SUPPORT`.
      nulls: one row per screen: delta, sigma, p0 and misfit of the null, the number of values, the number
        called, and the number called of each class.
      ranking: one row per model, screen and split: auprc, auroc, positives, ranked.
      curves: false_discovery_proportion and true_positive_rate of each ranking, at most 200 points each.
      notes: sentences about screens for which no null could be fitted, and about calls that replicates do not bear
        out.
    """

    calls: pd.DataFrame
    nulls: pd.DataFrame
    ranking: pd.DataFrame
    curves: pd.DataFrame
    notes: list[str]


def judge_doubles(predictions: anndata.AnnData) -> Doubles | None:
    """Calls interactions in every screen that has held-out combinations.

    Values are pooled over the combinations of a screen and over its 1,000 readouts that are highest in control
    (over all readouts if the scale gives control no level), as in Ahlmann-Eltze et al. 2025. A perturbation combined
    with itself, such as `A+A`, is no combination. Returns None if nothing held out is a combination, or if there is no
    additive model.
    """
    models = [str(name) for name in predictions.uns['models']]
    combined = predictions.obs['perturbation'].astype(str).map(_is_combination).to_numpy(bool)
    if ADDITIVE not in models or not combined.any():
        return None
    calls, nulls, ranking, curves, notes = [], [], [], [], []
    for screen, rows in predictions[combined].obs.groupby('screen', observed=True):
        block = _block(predictions[rows.index], find_scale(predictions.uns['scale'][screen]).control_has_level)
        once = ~block.obs.duplicated(['context', 'perturbation']).to_numpy()
        try:
            found = interactions(*(block.layers[name][once] for name in ('truth', ADDITIVE, 'control')))
        except InputError as error:
            notes.append(f'No interactions are called in {screen}: {error}')
            continue
        calls.append(_calls(block[once], found))
        notes += outliers(calls[-1])
        nulls.append({'screen': screen, **_describe(found)})
        for key, each in _rank(block, once, found, models):
            key = {'screen': screen, **key}
            ranking.append(key | {name: getattr(each, name) for name in _AREAS})
            curves.append(_curve(each).assign(**key))
    called = pd.concat(calls) if calls else pd.DataFrame(columns=_CALL)
    drawn = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()
    return Doubles(called, pd.DataFrame(nulls), pd.DataFrame(ranking), drawn, notes)


def _is_combination(perturbation: str) -> bool:
    names = parts(perturbation)
    return len(names) == len(set(names)) >= 2


def _block(block: anndata.AnnData, has_level: bool) -> anndata.AnnData:
    """The profiles with the readouts that the screen measures, at most `MOST_READOUTS` of them."""
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
    table = pd.concat([table, support(block, found, row, column)], axis=1)
    return table.sort_values('interaction', key=abs, ascending=False)


def _describe(found: Interactions) -> dict[str, float]:
    null = {name: getattr(found.null, name) for name in ('delta', 'sigma', 'p0', 'misfit')}
    classes = {name: int((found.kind[found.called] == name).sum()) for name in CLASSES}
    return {**null, 'values': int(np.isfinite(found.fdr).sum()), 'called': int(found.called.sum()), **classes}


def _rank(
    block: anndata.AnnData, once: np.ndarray, found: Interactions, models: list[str]
) -> Iterator[tuple[dict, Ranking]]:
    """Each model's ranking by split; a combination in the test sets of several splits is called only once."""
    keys = pd.MultiIndex.from_frame(block.obs[['context', 'perturbation']].astype(str))
    fdr = found.fdr[keys[once].get_indexer(keys)]
    additive, control, split = block.layers[ADDITIVE], block.layers['control'], block.obs['split'].to_numpy()
    for model in models:
        score = expected_interaction(block.layers[model], additive, control)
        for seed, each in rank_by_split(fdr, score, split).items():
            yield {'model': model, 'split': seed}, each


def _curve(ranking: Ranking, most: int = 200) -> pd.DataFrame:
    """The curve at evenly spaced positions of the ranking, both ends included."""
    scores = len(ranking.true_positive_rate)
    positions = np.linspace(0, scores - 1, min(most, scores)).round().astype(int)
    names = ('false_discovery_proportion', 'true_positive_rate')
    return pd.DataFrame({name: getattr(ranking, name)[positions] for name in names})
