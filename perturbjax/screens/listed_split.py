"""Splits that others made: lists of conditions by role, or by fold."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.fold_split import check_fold, roles_of
from perturbjax.screens.roles import TEST, TRAIN, UNUSED, VALIDATION
from perturbjax.screens.vocabulary import CONTROL, combine, parts, target_gene

# In a list it stands for all perturbations, and with a context for all of that context.
EVERY = '*'

Lists = Mapping[str, Sequence[Any]]


def custom(table: pd.DataFrame, seed: int, lists: Lists, source: str = 'split.lists') -> np.ndarray:
    """The roles that lists of conditions give, in GEARS' form (`ctrl+A`, `A+B`); the seed is not used.

    Conditions may be written with or without the perturbation type; perturbations in no list are unused. A pair of a
    context and a condition gives the role in that context alone. `*` is every perturbation that no list names, and a
    pair of a context and `*` all of that context.

    Args:
      table: the profiles.
      seed: ignored.
      lists: `train`, `test` and, where there is one, `val`.
      source: where the lists come from, for messages.

    Raises:
      InputError: `train` or `test` is missing, there is another list, or a condition is in two lists.
    """
    if not {'train', 'test'} <= set(lists):
        raise InputError(f'{source}: not a split: it needs the lists train and test; there are {listed(lists)}.')
    other = sorted(set(lists) - {'train', 'val', 'test'})
    if other:
        raise InputError(f'{source}: the list {listed(other)} is not read; the lists are train, val and test.')
    roles = np.array([TRAIN, VALIDATION, TEST, UNUSED])  # the last is that of place -1, of what is in no list
    return roles[_list_of(table, [lists.get(name, ()) for name in ('train', 'val', 'test')], source)]


def folds(
    table: pd.DataFrame, seed: int, lists: Lists, source: str = 'split.lists', validation: bool = False
) -> np.ndarray:
    """Published folds: `split.seeds` = 0, 1, ... are the places of the tested folds, in the order of their labels.

    Args:
      table: the profiles.
      seed: the fold that is tested, from 0.
      lists: the conditions of each fold by its label, as in `custom`; what is in no fold always trains.
      source: where the lists come from, for messages.
      validation: whether the fold after the tested one validates.

    Raises:
      InputError: there are too few folds, the seed is the place of none, or a condition is in two folds.
    """
    labels = sorted(lists, key=lambda label: (len(label), label) if label.isdigit() else (np.inf, label))
    check_fold(seed, labels, validation)
    return roles_of(_list_of(table, [lists[label] for label in labels], source), seed, len(labels), validation)


def _list_of(table: pd.DataFrame, lists: Sequence[Sequence[Any]], source: str) -> np.ndarray:
    """The place of the list that each row is in, `[N]`, -1 for none; what names a row more closely is stronger."""
    members = {place: {_condition(each) for each in conditions} for place, conditions in enumerate(lists)}
    plain = table['perturbation'].map(lambda name: combine(map(target_gene, parts(name))))
    forms = [table['perturbation'], plain]
    _check_conditions(members, table['context'], forms, source)
    place_of = {condition: place for place, conditions in members.items() for condition in conditions}
    found = np.full(len(table), -1)
    everywhere = pd.Series('', table.index)
    for contexts, names in itertools.product((everywhere, table['context']), (everywhere + EVERY, *forms)):
        places = np.array([place_of.get(pair, -1) for pair in zip(contexts, names, strict=True)])
        found = np.where(places >= 0, places, found)
    return found


def _condition(condition: Any) -> tuple[str, str]:
    """A context, or `''` for all of them, and the name of a perturbation."""
    context, name = ('', condition) if isinstance(condition, str) else condition
    return context, combine(part for part in parts(name) if part != 'ctrl')


def _check_conditions(
    members: Mapping[int, set[tuple[str, str]]], contexts: pd.Series, forms: Sequence[pd.Series], source: str
) -> None:
    """Raises where a condition has two roles; warns of conditions that the screens do not have."""
    named = [pair for pairs in members.values() for pair in pairs]
    counted = Counter(named)
    twice = sorted({pair for pair, times in counted.items() if times > 1 and pair[1] != CONTROL})
    if twice:
        raise InputError(f'{source}: in two lists: {listed(map(_shown, twice))}; give each condition one role.')
    general = (CONTROL, EVERY)
    known = {(context, name) for context in ('', *contexts) for name in general}
    known |= {
        pair for names in forms for context, name in zip(contexts, names) for pair in ((context, name), ('', name))
    }
    unknown = sorted(set(named) - known)
    if unknown:
        names = sorted({name for _, name in known})
        logging.warning(
            '%s: %d conditions are not in the screens: %s; %s',
            *(source, len(unknown), listed(map(_shown, unknown)), did_you_mean(unknown[0][1], names)),
        )


def _shown(pair: tuple[str, str]) -> str:
    context, name = pair
    return f'{name} in {context}' if context else name
