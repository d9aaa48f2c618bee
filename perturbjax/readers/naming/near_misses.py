"""Names that are nearly, but not quite, what a setting names: told by name, with the setting that mends them."""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import listed
from perturbjax.readers.naming.control_words import control_matcher, control_sentences, looking_like_control
from perturbjax.readers.naming.quantities import name_and_dose
from perturbjax.readers.naming.spelling import alike, loose
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL, Vocabulary, parts

_NUMBERED = re.compile(r'(.+)[-_ ]([0-9]+(?:\.[0-9]*)?)')
_MERGE = 'set data.fields.merge_alike=True if each group is one, or rename them in the file'
_MERGE_FILES = 'set fields.merge_alike=True for all of these files if each group is one; for genes see data.harmonise'


def tell_perturbations(names: Iterable[str], words: Sequence[str], separators: Sequence[str], path: str) -> None:
    """Warns of perturbations that look like control, or like another one.

    Args:
      names: as the vocabulary writes them.
      words, separators: what means control, and what joins parts.
      path: of the file.
    """
    distinct = list(dict.fromkeys(names))
    for sentence in perturbation_sentences(distinct, words, separators):
        logging.warning('%s: %s', path, sentence)


def perturbation_sentences(names: Iterable[str], words: Sequence[str], separators: Sequence[str]) -> list[str]:
    """The sentences that `tell_perturbations` gives as warnings."""
    split = {name: parts(name) for name in names}
    singles = sorted(set[str]().union(*split.values()))
    like_control = looking_like_control(split, words)
    found = control_sentences(like_control, words, separators)
    told = set(_without_doses(like_control.whole))
    groups = [group for group in alike(_without_doses(singles)) if not set(group) <= told]
    if groups:
        found.append(_apart('perturbations', groups, _MERGE))
    zero = _dose_zero(singles)
    if zero:
        mend = 'if so, name them in data.fields.control'
        found.append(f'{len(zero)} perturbations may have dose 0: {listed(zero)}; {mend}.')
    itself = sorted(name for name, each in split.items() if len(set(each)) < len(each))
    if itself:
        found.append(
            f'{len(itself)} combinations have a part twice: {listed(itself)}; they stay combinations, and their '
            'additive prediction is that of the part twice.'
        )
    return found


def tell_contexts(contexts: np.ndarray, is_nothing: Callable[[str], bool], path: str) -> None:
    """Warns of contexts that look like another one, or whose name stands for nothing."""
    names = list(pd.unique(contexts))
    for sentence in context_sentences(names):
        logging.warning('%s: %s', path, sentence)
    nothing = [name for name in names if is_nothing(name)]
    if nothing:
        logging.warning(
            '%s: %d contexts are named %s; if that stands for no value, leave those rows out by data.fields.where.',
            *(path, len(nothing), listed(nothing)),
        )


def context_sentences(names: Iterable[str]) -> list[str]:
    """What a user is told of contexts that look alike."""
    groups = alike(names)
    return [_apart('contexts', groups, _MERGE)] if groups else []


def vocabulary_sentences(vocabulary: Vocabulary) -> list[str]:
    """What reading the files has told of their names, for data that were read before."""
    singles = vocabulary.perturbations[1:]
    return [*context_sentences(vocabulary.contexts), *perturbation_sentences(singles, (CONTROL,), ('+',))]


def tell_across(screens: Sequence[Measurements]) -> None:
    """Warns of contexts and perturbations that look alike but are not in one screen, where each is told already."""
    contexts = [set(each.context) for each in screens]
    singles = [{part for name in set(each.perturbation) for part in parts(name)} for each in screens]
    perturbations = [set(_without_doses(names)) for names in singles]
    for what, each in (('contexts', contexts), ('perturbations', perturbations)):
        groups = [group for group in alike(set().union(*each)) if not any(set(group) <= names for names in each)]
        if groups:
            logging.warning('data: %s', _apart(what, groups, _MERGE_FILES))


def tell_marks(marks: np.ndarray, words: Sequence[str], path: str) -> None:
    """Warns of values in `control_column` that are nearly a word for control."""
    near, is_control = {loose(word) for word in words}, control_matcher(words)
    missed = sorted({mark for mark in marks if loose(mark) in near and not is_control(mark)})
    if missed:
        logging.warning(
            '%s: data.fields.control_column: %s look like control but mark no row as control; if they should, set '
            'data.fields.control=%s.',
            *(path, listed(missed), (*words, *missed)),
        )


def _without_doses(names: Iterable[str]) -> list[str]:
    return [name_and_dose(name)[0] for name in names]


def _dose_zero(singles: Iterable[str]) -> list[str]:
    """The names that end in 0 where others with the same beginning end in numbers that look like doses.

    Numbers that only count, 0, 1, 2 and so on, as those of guides do, are not taken for doses.
    """
    ends: dict[str, dict[float, str]] = {}
    for name in singles:
        end = _NUMBERED.fullmatch(name)
        if end:
            ends.setdefault(end[1], {})[float(end[2])] = name
    return [numbers[0] for numbers in ends.values() if 0 in numbers and set(numbers) != set(range(len(numbers)))]


def _apart(what: str, groups: Sequence[Sequence[str]], mend: str) -> str:
    shown = '; '.join(map(listed, groups[:4])) + (f'; and {len(groups) - 4} more groups' if len(groups) > 4 else '')
    return f'{sum(map(len, groups))} {what} look like another but are kept apart: {shown}; {mend}.'
