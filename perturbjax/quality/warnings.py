"""Warnings about screens, to be looked at before training: sentences, each with a count and an example."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from perturbjax.errors import listed
from perturbjax.quality.overlap import measured_perturbations, transferable
from perturbjax.quality.shares import percent
from perturbjax.readers.naming.genes import ensembl_id
from perturbjax.readers.naming.near_misses import vocabulary_sentences
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary

Sentences = Iterator[str]

# The range that values on a scale hardly ever leave; that of log1p is for 0 to a million counts.
_LIMITS = {
    'log1p': (0, np.log1p(1e6)),
    'log2': (-40, 40),
    'log2-ratio': (-40, 40),
    'log-fold-change': (-40, 40),
    'z-score': (-1000, 1000),
    'fitness': (-40, 40),
    'inhibition': (-1000, 1000),
    'viability': (0, 1000),
    'auc': (-1000, 1000),
}
_CHANGES = ('log2-ratio', 'log-fold-change', 'z-score', 'fitness')
# Profiles of few rows are reported only where the usual profile has many rows.
_FEW_ROWS, _MANY_ROWS = 10, 30
_DOSE = re.compile(r'-[0-9.]+ ?[a-zµ%]+(?=\+|$)')


def suspicions(compendium: Compendium) -> list[str]:
    """All warnings, screen by screen, then those about all screens together; none of them proves an error."""
    names = compendium.vocabulary
    checks: tuple[Callable[[Screen, Vocabulary], Sentences], ...] = (_missing, _constant, _range, _control, _rows)
    found = [
        f'{screen.name}: {sentence}'
        for screen in compendium.screens
        for check in checks
        for sentence in check(screen, names)
    ]
    return [
        *found,
        *_alone(compendium),
        *vocabulary_sentences(names),
        *_nearly_alike(compendium),
        *_named_otherwise(compendium),
    ]


def urgent(compendium: Compendium) -> list[str]:
    """The warnings that every run gives, whether or not the data were prepared before."""
    return [f'{screen.name}: {sentence}' for screen in compendium.screens for sentence in _not_zero(screen)]


def _missing(screen: Screen, names: Vocabulary) -> Sentences:
    unknown = np.isnan(screen.values)
    readouts, profiles = unknown.all(axis=0), unknown.all(axis=1)
    if readouts.any():
        yield f'{_of(readouts, "readouts")} have no value at all: {_readouts(screen, readouts, names)}.'
    if profiles.any():
        yield f'{_of(profiles, "profiles")} have no value at all: {_profiles(screen, profiles, names)}.'
    if unknown.mean() > 0.5:
        yield f'{percent(unknown.sum(), unknown.size)} of the values are missing.'


def _constant(screen: Screen, names: Vocabulary) -> Sentences:
    known = ~np.isnan(screen.values)
    high = np.max(screen.values, axis=0, where=known, initial=-np.inf)
    low = np.min(screen.values, axis=0, where=known, initial=np.inf)
    constant = (high == low) & (known.sum(axis=0) > 2)
    if constant.any():
        yield f'{_of(constant, "readouts")} have the same value in all profiles: {_readouts(screen, constant, names)}.'
    zero = ((screen.values == 0) | ~known).all(axis=1) & known.any(axis=1) & ~screen.is_control
    if zero.any():
        yield f'{_of(zero, "profiles")} are perturbed, but all their values are 0: {_profiles(screen, zero, names)}.'


def _range(screen: Screen, _: Vocabulary) -> Sentences:
    known = screen.values[~np.isnan(screen.values)]
    if not len(known):
        return
    least, most = float(known.min()), float(known.max())
    low, high = _LIMITS.get(screen.scale, (-np.inf, np.inf))
    outside = (known < low) | (known > high)
    if outside.any():
        counts = ' Are these raw counts, which need data.counts=True?' if screen.scale == 'log1p' and least >= 0 else ''
        yield (
            f'{_of(outside, "values")} are outside {low:.3g} to {high:.3g}, the usual range of the scale '
            f'{screen.scale}; they reach from {least:.3g} to {most:.3g}.{counts}'
        )
    if screen.scale in _CHANGES and len(known) > 100 and least >= 0:
        yield f'no value is below 0, which is rare on the scale {screen.scale}; are these levels?'
    lowest = known == least
    if lowest.sum() > max(20, len(known) / 1000) and least:
        lowest_values = f'{_of(lowest, "values")} are {least:.6g}, the lowest'
        yield f'{lowest_values}; if it means "not measured", set data.missing_values.'


def _control(screen: Screen, names: Vocabulary) -> Sentences:
    without = np.setdiff1d(screen.present_contexts, screen.context[screen.is_control])
    if len(without):
        named = listed([names.contexts[i] for i in without], most=3)
        present = len(screen.present_contexts)
        yield f'{len(without)} of {present} contexts have no control, so 0 is taken for it: {named}.'
    yield from _not_zero(screen)


def _not_zero(screen: Screen) -> Sentences:
    """Whether control was measured far from 0 although its scale says that it is 0."""
    known = ~np.isnan(screen.values)
    size = np.sqrt((np.nan_to_num(screen.values) ** 2).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    control, perturbed = (
        np.median(size[rows]) if rows.any() else np.nan for rows in (screen.is_control, screen.order > 0)
    )
    if find_scale(screen.scale).control_is_zero and control > perturbed / 2:
        yield (
            f'on the scale {screen.scale} control is 0, but its profiles are {control:.3g} from 0 (root mean square) '
            f'and perturbed ones {perturbed:.3g}; is the scale right?'
        )


def _rows(screen: Screen, names: Vocabulary) -> Sentences:
    if screen.cells is None or (screen.cells == 1).all():
        yield 'every profile is a single row, so it cannot be known how well a repeat would do.'
        return
    usual = np.median(screen.cells)
    scarce = screen.is_control & (screen.cells < usual / 2)
    if scarce.any():
        yield (
            f'{np.count_nonzero(scarce)} control profiles are of far fewer rows than the usual {usual:g}, and every '
            f'change is a difference from them: {_profiles(screen, scarce, names)}.'
        )
    few = screen.cells < _FEW_ROWS
    if few.any() and usual >= _MANY_ROWS:
        yield f'{_of(few, "profiles")} are of fewer than {_FEW_ROWS} rows: {_profiles(screen, few, names)}.'
    perturbed = ~screen.is_control
    rows = pd.Series(screen.cells[perturbed]).groupby(names.perturbation_names(screen.perturbation[perturbed])).sum()
    if len(rows) > 1 and rows.max() > max(0.2 * rows.sum(), 10 * rows.median()):
        yield f'{rows.idxmax()} alone has {rows.max() / rows.sum():.0%} of all perturbed rows.'


def _alone(compendium: Compendium) -> Sentences:
    table = transferable(compendium)
    for what, column in (('perturbations', 'parts_elsewhere'), ('readouts', 'readouts_elsewhere')):
        alone = table.index[table[column] == 0]
        if len(alone) and len(table) > 1:
            yield f'{len(alone)} of {len(table)} contexts share no {what} with any other: {listed(alone, most=3)}.'


def _nearly_alike(compendium: Compendium) -> Sentences:
    """Perturbations that only one context has, while another has them with another dose or other capitals."""
    found = measured_perturbations(compendium)
    found['key'] = found['name'].str.casefold().str.replace(_DOSE, '', regex=True)
    alone = found.groupby('name')['context'].transform('nunique') == 1
    alike = found[alone & (found.groupby('key')['context'].transform('nunique') > 1)]
    if len(alike):
        one = alike.iloc[0]
        other = found[(found['key'] == one['key']) & (found['context'] != one['context'])].iloc[0]
        example = ', '.join(f'{each["name"]!r} in {each["context"]}' for each in (one, other))
        yield (
            f'{len(alike)} of {found["name"].nunique()} perturbations are in one context alone, but elsewhere with '
            f'another dose or other capitals: {example}.'
        )


def _named_otherwise(compendium: Compendium) -> Sentences:
    """Readouts that would get the same name by `data.harmonise`."""
    names = np.array(compendium.vocabulary.readouts, object)
    is_id = np.array([bool(ensembl_id(name)) for name in names])
    by_id = [screen.name for screen in compendium.screens if is_id[screen.readout].mean() > 0.5]
    if 0 < len(by_id) < len(compendium.screens):
        yield f'readouts are Ensembl ids in {listed(by_id, most=3)}, and not so in the others; see data.harmonise.'
    same = pd.Series([ensembl_id(name) or name.casefold() for name in names]).duplicated().to_numpy()
    if same.any():
        yield f'{_of(same, "readouts")} differ from another only in capitals or version of an id; see data.harmonise.'


def _of(chosen: np.ndarray, what: str) -> str:
    return f'{np.count_nonzero(chosen)} of {len(chosen)} {what}'


def _readouts(screen: Screen, chosen: np.ndarray, names: Vocabulary) -> str:
    return listed([names.readouts[i] for i in screen.readout[chosen]], most=3)


def _profiles(screen: Screen, chosen: np.ndarray, names: Vocabulary) -> str:
    perturbations = names.perturbation_names(screen.perturbation[chosen])
    contexts = [names.contexts[i] for i in screen.context[chosen]]
    return listed([f'{name} in {context}' for name, context in zip(perturbations, contexts)], most=3)
