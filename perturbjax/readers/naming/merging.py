"""Names that look alike become one where `Fields.merge_alike` asks for it, within a file and across files."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import listed
from perturbjax.readers.naming.quantities import name_and_dose
from perturbjax.readers.naming.spelling import alike
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import combine, parts


def first_spellings(names: Iterable[str], what: str, path: str, words: Collection[str] = ()) -> dict[str, str]:
    """For each name that looks like another one, the one spelling of all of them; a warning lists the groups.

    Args:
      names: without doses.
      what: contexts or perturbations, for the warning.
      path: of the file, for the warning.
      words: a name that looks like one of these words becomes that word; any other name takes the spelling
        of its group that sorts first.
    """
    groups = [group for group in alike([*names, *words]) if not set(group) <= set(words)]
    if groups:
        logging.warning(
            '%s: data.fields.merge_alike: %d %s count as %d: %s.',
            *(path, sum(map(len, groups)), what, len(groups), '; '.join(map(listed, groups))),
        )
    chosen = [next((name for name in group if name in words), group[0]) for group in groups]
    return {name: one for group, one in zip(groups, chosen, strict=True) for name in group}


def merged_contexts(contexts: np.ndarray, path: str) -> np.ndarray:
    """The contexts `[N]`, with one spelling for all that look alike."""
    spellings = first_spellings(pd.unique(contexts), 'contexts', path)
    return _renamed(contexts, lambda name: spellings.get(name, name))


def merge_across(screens: Sequence[Measurements], asked: Sequence[bool]) -> list[Measurements]:
    """The screens, with one spelling for names that look alike and stand in different files.

    Names that look alike within a file are one already, so no profile is there twice.

    Args:
      screens: profiles.
      asked: whether the fields of each screen have `merge_alike`; other screens keep their names.
    """
    those = [screen for screen, wanted in zip(screens, asked, strict=True) if wanted]
    if len(those) < 2:
        return list(screens)
    singles = {part for screen in those for name in set(screen.perturbation) for part in parts(name)}
    of_context = first_spellings({name for each in those for name in set(each.context)}, 'contexts', 'data')
    of_part = first_spellings({name_and_dose(part)[0] for part in singles}, 'perturbations', 'data')

    def spelled(part: str) -> str:
        name, _ = name_and_dose(part)
        return of_part.get(name, name) + part[len(name) :]

    def with_one_spelling(screen: Measurements) -> Measurements:
        context = _renamed(screen.context, lambda name: of_context.get(name, name))
        perturbation = _renamed(screen.perturbation, lambda name: combine(map(spelled, parts(name))))
        return dataclasses.replace(screen, context=context, perturbation=perturbation)

    return [with_one_spelling(screen) if wanted else screen for screen, wanted in zip(screens, asked, strict=True)]


def _renamed(names: np.ndarray, rename: Callable[[str], str]) -> np.ndarray:
    codes, unique = pd.factorize(names)
    return np.array([rename(name) for name in unique], object)[codes]
