"""The rules by which a split holds profiles out.

Each rule takes the compendium's table of profiles (a row per profile: screen, context, perturbation,
order) and a seed, and gives a role for every row.
"""

import fnmatch
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.entry_split import hold_out_pairs
from perturbjax.screens.vocabulary import CONTROL, combine, parts, target_gene

TRAIN, VALIDATION, TEST, UNUSED = range(4)


def unseen_double(table: pd.DataFrame, seed: int, test: float = 0.5, validation: float = 0.0) -> np.ndarray:
    """All singles train; a share of the combinations is tested, in every context (Ahlmann-Eltze et al. 2025)."""
    return _hold_out(table, table['order'] >= 2, seed, test, validation, 'combinations')


def unseen_single(table: pd.DataFrame, seed: int, test: float = 0.2, validation: float = 0.0) -> np.ndarray:
    """A share of the single perturbations is unseen in every context, and so is each combination with one of them."""
    roles = _hold_out(table, table['order'] == 1, seed, test, validation, 'single perturbations')
    unseen = {name: role for name, role in zip(table['perturbation'], roles) if role != TRAIN}
    in_combination = [
        max((unseen.get(part, TRAIN) for part in parts(name)), default=TRAIN) for name in table['perturbation']
    ]
    return np.where(table['order'] >= 2, in_combination, roles)


def unseen_in_context(
    table: pd.DataFrame, seed: int, context: str | Sequence[str], test: float = 0.15, validation: float = 0.15
) -> np.ndarray:
    """A share of one context's perturbations, each of which other contexts have seen (the task of LPM).

    `context` is a name, a pattern such as `MCF7*`, or several of them. A perturbation is held out of
    every context that matches.
    """
    here = _in_context(table, context)
    seen_elsewhere = {part for name in table['perturbation'][~here] for part in parts(name)}
    transferable = table['perturbation'].map(lambda name: seen_elsewhere.issuperset(parts(name)))
    return _hold_out(table, here & transferable & (table['order'] > 0), seed, test, validation, 'perturbations')


def unseen_pairs(table: pd.DataFrame, seed: int, test: float = 0.15, validation: float = 0.0) -> np.ndarray:
    """Shares of all (context, perturbation) pairs, at random; each perturbation and each context keeps one to train.

    It asks how well a table of responses, such as drugs x cell lines, is filled in ("leave pairs out").
    """
    tested, validated = hold_out_pairs(table, seed, test, validation)
    return np.select([tested, validated], [TEST, VALIDATION], TRAIN)


def gears_simulation(
    table: pd.DataFrame,
    seed: int,
    genes: float = 0.75,
    combinations: float = 0.75,
    validation: float = 0.1,
    context: str | Sequence[str] = '*',
) -> np.ndarray:
    """GEARS' "simulation" split, as Ahlmann-Eltze et al. use it: unseen genes, alone and in combination.

    A random share `genes` of the genes is seen. A perturbation with an unseen gene is tested. Of the
    combinations of seen genes only, a share `combinations` trains and the rest is tested. The same
    rule then takes validation from what is left, with 1 - `validation` for both shares. Numbers are
    rounded down, as in GEARS (`DataSplitter.get_simulation_split`), but the random choice is another:
    to use GEARS' own lists, take the rule `custom`.

    `context` is a name, a pattern, or several of them: the rule is applied to the perturbations there,
    and all other contexts train. A gene counts as the same gene under every perturbation type.
    """
    for name, share in (('genes', genes), ('combinations', combinations), ('validation', validation)):
        if not 0 <= share <= 1:
            raise InputError(f'split.{name}: {share} is not a share; it must be from 0 to 1.')
    here = _in_context(table, context) & (table['order'] > 0)
    rng = np.random.default_rng(seed)
    names = sorted(set(table['perturbation'][here]))
    tested = _with_unseen_genes(names, genes, combinations, rng)
    left = [name for name in names if name not in tested]
    validated = _with_unseen_genes(left, 1 - validation, 1 - validation, rng)
    roles = dict.fromkeys(tested, TEST) | dict.fromkeys(validated, VALIDATION)
    return np.where(here, table['perturbation'].map(roles).fillna(TRAIN), TRAIN).astype(int)


def _with_unseen_genes(names: Sequence[str], genes: float, combinations: float, rng: np.random.Generator) -> set[str]:
    """The names that GEARS' rule holds out: those not of seen genes only, and some combinations of seen genes."""
    genes_of = {name: {target_gene(part) for part in parts(name)} for name in names}
    known = sorted(set().union(*genes_of.values()))
    seen = set(_share_of(known, genes, rng))
    of_seen = [name for name in names if genes_of[name] <= seen]
    kept = _share_of([name for name in of_seen if len(parts(name)) > 1], combinations, rng)
    return set(names) - set(kept) - {name for name in of_seen if len(parts(name)) == 1}


def _share_of(names: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """A random share of the names, rounded down."""
    return [names[i] for i in rng.permutation(len(names))[: int(len(names) * share)]]


def custom(
    table: pd.DataFrame, seed: int, lists: Mapping[str, Sequence[Any]], source: str = 'split.lists'
) -> np.ndarray:
    """The roles that lists of conditions give, in GEARS' form (`ctrl+A`, `A+B`); the seed is not used.

    Conditions may be written with or without the perturbation type; perturbations in no list are unused.
    A pair of a context and a condition gives the role in that context alone.

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
    words = {'train': TRAIN, 'test': TEST, 'val': VALIDATION}
    members = {role: {_condition(each) for each in lists.get(word, ())} for word, role in words.items()}
    plain = table['perturbation'].map(lambda name: combine(map(target_gene, parts(name))))
    forms = [table['perturbation'], plain]
    _check_conditions(members, table['context'], forms, source)
    roles = np.full(len(table), UNUSED)
    for names in forms:
        pairs = list(zip(table['context'], names, strict=True))
        for role, conditions in members.items():
            found = [('', name) in conditions or (context, name) in conditions for context, name in pairs]
            roles[np.array(found, bool)] = role
    return roles


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
    known = {('', CONTROL), *((context, CONTROL) for context in contexts)}
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


def _in_context(table: pd.DataFrame, context: str | Sequence[str]) -> pd.Series:
    """Which rows have a context that matches a pattern, bool `[N]`; raises InputError where none has."""
    patterns = [context] if isinstance(context, str) else list(context)
    here = table['context'].map(lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))
    if not here.any():
        there = listed(sorted(set(table.context)))
        raise InputError(f'split.context: no context matches {context!r}; there are {there}.')
    return here


def _hold_out(
    table: pd.DataFrame, candidate: pd.Series, seed: int, test: float, validation: float, what: str
) -> np.ndarray:
    """Roles `[N]`: of the distinct names of the candidates, a share is tested and a share validates."""
    names = sorted(set(table['perturbation'][candidate]))
    if test + validation > 1 or min(test, validation) < 0:
        raise InputError(f'split: test={test} and validation={validation} are not shares of the {what}.')
    if not names:
        raise InputError(f'split: there are no {what} to hold out; choose another split.name.')
    shuffled = np.random.default_rng(seed).permutation(len(names))
    tested, validated = (max(1, round(share * len(names))) if share else 0 for share in (test, validation))
    role = np.full(len(names), TRAIN)
    role[shuffled[:tested]] = TEST
    role[shuffled[tested : tested + validated]] = VALIDATION
    by_name = dict(zip(names, role))
    return np.where(candidate, table['perturbation'].map(by_name).fillna(TRAIN), TRAIN).astype(int)


SPLITS: dict[str, Callable[..., np.ndarray]] = {
    'unseen_double': unseen_double,
    'unseen_single': unseen_single,
    'unseen_in_context': unseen_in_context,
    'unseen_pairs': unseen_pairs,
    'gears_simulation': gears_simulation,
    'custom': custom,
}
