"""What a compendium has, and whether one context can predict another, before anything is trained."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from perturbjax.quality.agreement import agreement
from perturbjax.quality.few_readouts import FEWEST
from perturbjax.quality.overlap import shared_perturbations, shared_readouts, transferable
from perturbjax.quality.shares import percent
from perturbjax.quality.warnings import suspicions
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium, Screen

# Quantiles are computed on a sample of this many values.
_SAMPLE = 1_000_000
QUANTILES = {'lowest': 0.0, '1%': 0.01, 'median': 0.5, '99%': 0.99, 'highest': 1.0}
_ORDERS = ('control', 'single', 'double', 'triple')
# Below this correlation one context is said to tell next to nothing about another.
_ALIKE = 0.1


class Inspection(NamedTuple):
    """What was found in a compendium.

    Attributes:
      facts: sizes and scales, as text by their names.
      screens: a row per screen: its scale and size, its combinations, rows per profile, range of values.
      contexts: a row per context, by name. Beside the columns of `overlap.transferable`: the number of
        `rows` and of `control_rows`; `alike`, the median of `agreement` with other contexts; and
        `repeat`, the agreement with a repeat of itself.
      perturbations, readouts: how many two contexts share, `[C, C]`; see `overlap`.
      agreement: how similarly two contexts respond, `[C, C]`; see `agreement`.
      verdict: sentences on whether there is anything to transfer.
      suspicions: sentences on what looks wrong; see `warnings`.
    """

    facts: dict[str, str]
    screens: pd.DataFrame
    contexts: pd.DataFrame
    perturbations: pd.DataFrame
    readouts: pd.DataFrame
    agreement: pd.DataFrame
    verdict: list[str]
    suspicions: list[str]


def inspect(compendium: Compendium) -> Inspection:
    """Everything that is worth knowing about the compendium before training."""
    alike = agreement(compendium)
    contexts = _contexts(compendium, alike)
    perturbations, readouts = shared_perturbations(compendium), shared_readouts(compendium)
    return Inspection(
        facts=_facts(compendium),
        screens=pd.DataFrame([_screen(screen) for screen in compendium.screens]),
        contexts=contexts,
        perturbations=perturbations,
        readouts=readouts,
        agreement=alike,
        verdict=_verdict(contexts, perturbations.to_numpy(), readouts.to_numpy()),
        suspicions=suspicions(compendium),
    )


def _facts(compendium: Compendium) -> dict[str, str]:
    names, screens = compendium.vocabulary, compendium.screens
    perturbed = np.unique(np.concatenate([each.perturbation[~each.is_control] for each in screens]), axis=0)
    size = sum(each.values.size for each in screens)
    missing = sum(int(np.isnan(each.values).sum()) for each in screens)
    return {
        'Screens': f'{len(screens):,}',
        'Contexts': f'{len(names.contexts):,}',
        'Perturbations': _orders((perturbed >= 0).sum(axis=1)),
        'Readouts': f'{len(names.readouts):,}',
        'Profiles': f'{sum(len(each.context) for each in screens):,}',
        'Values': f'{size - missing:,}; {percent(missing, size)} are missing',
        'Rows in a profile': _span(np.concatenate([_cells(each) for each in screens])),
        'Scale': ', '.join(f'{scale}: {find_scale(scale).unit}' for scale in dict.fromkeys(s.scale for s in screens)),
    }


def _screen(screen: Screen) -> dict[str, Any]:
    perturbed = np.unique(screen.perturbation[~screen.is_control], axis=0)
    return {
        'screen': screen.name,
        'scale': screen.scale,
        'contexts': len(screen.present_contexts),
        'profiles': len(screen.context),
        'perturbations': len(perturbed),
        'orders': _orders((perturbed >= 0).sum(axis=1)),
        'readouts': len(screen.readout),
        'missing': float(np.isnan(screen.values).mean()),
        'rows': _span(_cells(screen)),
        **_quantiles(screen.values),
    }


def _orders(order: np.ndarray) -> str:
    """How many single perturbations, doubles and so on, as `23 single, 66 double`."""
    counts = zip(*np.unique(order, return_counts=True))
    return ', '.join(f'{n:,} {_ORDERS[k] if k < len(_ORDERS) else f"of {k}"}' for k, n in counts)


def _span(cells: np.ndarray) -> str:
    """The median, the smallest and the largest number, as `40 (12 to 2386)`."""
    low, middle, high = cells.min(), np.median(cells), cells.max()
    return f'{middle:g}' if low == high else f'{middle:g} ({low:g} to {high:g})'


def _cells(screen: Screen) -> np.ndarray:
    return np.ones(len(screen.context), int) if screen.cells is None else screen.cells


def _quantiles(values: np.ndarray) -> dict[str, float]:
    """The lowest and highest of all values, and the other quantiles of a sample."""
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return dict.fromkeys(QUANTILES, np.nan)
    ends = {'lowest': float(np.nanmin(values)), 'highest': float(np.nanmax(values))}
    return {name: float(np.quantile(sample, level)) for name, level in QUANTILES.items()} | ends


def _contexts(compendium: Compendium, alike: pd.DataFrame) -> pd.DataFrame:
    names = list(compendium.vocabulary.contexts)
    of_screens = [
        pd.DataFrame({'context': screen.context, 'rows': _cells(screen), 'control': _cells(screen) * screen.is_control})
        for screen in compendium.screens
    ]
    rows = pd.concat(of_screens).groupby('context').sum().set_axis(names)
    others = alike.mask(np.eye(len(names), dtype=bool))
    return transferable(compendium).assign(
        rows=rows['rows'],
        control_rows=rows['control'],
        alike=[_median(row) for _, row in others.iterrows()],
        repeat=np.diag(alike),
    )


def _median(values: pd.Series) -> float:
    """The median of the known values; NaN where there are none."""
    known = values.dropna()
    return float(known.median()) if len(known) else np.nan


def _verdict(contexts: pd.DataFrame, perturbations: np.ndarray, readouts: np.ndarray) -> list[str]:
    """Sentences that say whether one context can learn anything from another.

    Args:
      contexts: as in `Inspection`.
      perturbations, readouts: how many two contexts share, `[C, C]`.
    """
    if len(contexts) == 1:
        return ['There is one context, so nothing can be transferred between contexts; LPM needs several.']
    sentences = []
    for what, column in (('perturbations', 'parts_elsewhere'), ('readouts', 'readouts_elsewhere')):
        here, elsewhere = contexts[what].sum(), contexts[column].sum()
        much = 'nothing' if elsewhere == 0 else 'little' if 2 * elsewhere < here else 'enough'
        sentences.append(
            f'Of {here:,} pairs of a context and one of its {what}, {elsewhere:,} ({percent(elsewhere, here)}) are of '
            f'{what} that another context has too: {much} to transfer.'
        )
    alike, repeat = _median(contexts['alike']), _median(contexts['repeat'])
    if np.isnan(alike):
        return [*sentences, _why_unknown(perturbations, readouts)]
    ceiling = '' if np.isnan(repeat) else f'; a repeat in the same context would reach {repeat:.2f}'
    much = 'says next to nothing' if alike < _ALIKE else 'says something'
    sentences.append(
        f'What sets perturbations apart correlates at {alike:.2f} between contexts (the median){ceiling}: '
        f'one context {much} about another.'
    )
    return sentences


def _why_unknown(perturbations: np.ndarray, readouts: np.ndarray) -> str:
    """Why no correlation between contexts is known, from how many of each two contexts share, `[C, C]`."""
    two = ~np.eye(len(perturbations), dtype=bool) & (perturbations > 0) & (readouts > 0)
    if not two.any():
        return 'No two contexts share perturbations and readouts, so it is not known how alike they are.'
    most = perturbations[two].max(), readouts[two].max()
    if max(most) < FEWEST:
        return (
            f'Two contexts share no more than {most[0]} perturbations and {most[1]} readouts; {FEWEST} of either are '
            'needed for a correlation, so it is not known how alike they are.'
        )
    return 'What two contexts share is too little or does not vary, so it is not known how alike they are.'
