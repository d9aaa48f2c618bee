"""What is held out, by name and seed. A split is saved with the run that used it.

Each rule takes the compendium's table of profiles (one row each: screen, context, perturbation,
order) and a seed, and returns a role for every row. Control always trains.
"""

import fnmatch
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, check_settings, listed, pick
from perturbjax.readers.unpickle import read_split_pickle
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL, combine, parts, target

TRAIN, VALIDATION, TEST, UNUSED = range(4)


class Split(NamedTuple):
    """The role of every profile: one int8 array `[N]` per screen, and how it came about."""

    name: str
    seed: int
    roles: tuple[np.ndarray, ...]

    def mask(self, role: int) -> tuple[np.ndarray, ...]:
        """Which profiles have that role, one bool `[N]` per screen."""
        return tuple(roles == role for roles in self.roles)

    def describe(self, compendium: Compendium) -> dict[str, Any]:
        """The held-out profiles by name, for JSON; every other one trains."""
        table, roles = compendium.table(), np.concatenate(self.roles)
        named = {'validation': VALIDATION, 'test': TEST, 'unused': UNUSED}
        columns = ['screen', 'context', 'perturbation']
        held_out = {word: table.loc[roles == role, columns].to_numpy().tolist() for word, role in named.items()}
        return {'name': self.name, 'seed': self.seed, 'train': int((roles == TRAIN).sum()), **held_out}


def make_split(compendium: Compendium, name: str, seed: int, **settings: Any) -> Split:
    """The split of that name and seed; raises InputError where nothing is left to train or to test."""
    rule = pick(SPLITS, name, 'split.name')
    check_settings(rule, settings, f'split ({name})', given=('table', 'seed'))
    table = compendium.table()
    roles = np.where(table['order'] == 0, TRAIN, rule(table, seed, **settings)).astype(np.int8)
    for role, word in ((TRAIN, 'train on'), (TEST, 'test')):
        if not ((roles == role) & (table['order'] > 0)).any():
            raise InputError(f'split ({name}, seed {seed}): it leaves no perturbation to {word}; change its settings.')
    measured = np.concatenate([~np.isnan(screen.values).all(axis=1) for screen in compendium.screens])
    if not measured[roles == TEST].any():
        raise InputError(f'split ({name}, seed {seed}): every value to be tested is missing; hold out other profiles.')
    ends = np.cumsum([len(screen.context) for screen in compendium.screens])[:-1]
    return Split(name, seed, tuple(np.split(roles, ends)))


def unseen_double(table: pd.DataFrame, seed: int, test: float = 0.5, validation: float = 0.0) -> np.ndarray:
    """All singles train; a share of the combinations is tested, in every context (Ahlmann-Eltze)."""
    return _hold_out(table, table['order'] >= 2, seed, test, validation, 'combinations')


def unseen_single(table: pd.DataFrame, seed: int, test: float = 0.2, validation: float = 0.0) -> np.ndarray:
    """A share of the single perturbations is unseen in every context, and so is each combination with one."""
    roles = _hold_out(table, table['order'] == 1, seed, test, validation, 'single perturbations')
    unseen = {name: role for name, role in zip(table['perturbation'], roles) if role != TRAIN}
    in_combination = [
        max((unseen.get(part, TRAIN) for part in parts(name)), default=TRAIN) for name in table['perturbation']
    ]
    return np.where(table['order'] >= 2, in_combination, roles)


def unseen_in_context(
    table: pd.DataFrame, seed: int, target: str | Sequence[str], test: float = 0.15, validation: float = 0.15
) -> np.ndarray:
    """A share of the target context's perturbations, all of them seen in other contexts (LPM's task).

    `target` is a context, a pattern such as `MCF7*`, or several of them; a held-out perturbation
    is held out of every context that matches.
    """
    here = _in_context(table, target)
    seen_elsewhere = {part for name in table['perturbation'][~here] for part in parts(name)}
    transferable = table['perturbation'].map(lambda name: seen_elsewhere.issuperset(parts(name)))
    return _hold_out(table, here & transferable & (table['order'] > 0), seed, test, validation, 'perturbations')


def gears_simulation(
    table: pd.DataFrame,
    seed: int,
    genes: float = 0.75,
    combinations: float = 0.75,
    validation: float = 0.1,
    target: str | Sequence[str] = '*',
) -> np.ndarray:
    """GEARS' "simulation" split, as Ahlmann-Eltze et al. use it: unseen genes, alone and in combination.

    A share of the `genes` is seen. Tested are the perturbations with an unseen gene, and those
    `combinations` of seen genes that are not in the share which trains. The same rule cuts
    validation from what is left, with 1 - `validation` for both shares. Numbers are rounded down,
    as in GEARS (`DataSplitter.get_simulation_split`), but drawn otherwise: `custom` takes its lists.

    `target` is a context or a pattern, or several: the rule is for the perturbations there, and
    holds out of there alone. A gene is the same one whatever is done to it.
    """
    for name, share in (('genes', genes), ('combinations', combinations), ('validation', validation)):
        if not 0 <= share <= 1:
            raise InputError(f'split.{name}: {share} is no share; it must be from 0 to 1.')
    here = _in_context(table, target) & (table['order'] > 0)
    rng = np.random.default_rng(seed)
    names = sorted(set(table['perturbation'][here]))
    tested = _with_unseen_genes(names, genes, combinations, rng)
    left = [name for name in names if name not in tested]
    validated = _with_unseen_genes(left, 1 - validation, 1 - validation, rng)
    roles = dict.fromkeys(tested, TEST) | dict.fromkeys(validated, VALIDATION)
    return np.where(here, table['perturbation'].map(roles).fillna(TRAIN), TRAIN).astype(int)


def _with_unseen_genes(names: Sequence[str], genes: float, combinations: float, rng: np.random.Generator) -> set[str]:
    """The names that GEARS' rule holds out, with a share of the genes seen and of their combinations kept."""
    parts_of = {name: {target(part) for part in parts(name)} for name in names}
    known = sorted(set().union(*parts_of.values()))
    seen = set(_share_of(known, genes, rng))
    of_seen = [name for name in names if parts_of[name] <= seen]
    kept = _share_of([name for name in of_seen if len(parts(name)) > 1], combinations, rng)
    return set(names) - set(kept) - {name for name in of_seen if len(parts(name)) == 1}


def _share_of(names: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """A random share of the names, rounded down."""
    return [names[i] for i in rng.permutation(len(names))[: int(len(names) * share)]]


def custom(table: pd.DataFrame, seed: int, path: str) -> np.ndarray:
    """The lists `train`, `val` and `test` of a file in GEARS' form (`ctrl+A`, `A+B`); seed is not used.

    The file is JSON, or GEARS' own pickle (.pkl, .pickle), of which nothing is run.

    Conditions may be written with or without the perturbation type; those in no list are unused.
    """
    try:
        lists = _read_lists(path)
        members = {role: _conditions(lists[key]) for key, role in (('train', TRAIN), ('test', TEST))}
        members[VALIDATION] = _conditions(lists.pop('val', []))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{path}: not a split: it needs the lists train and test, and may have val ({error}).'
        ) from error
    _check_lists(lists, members, table, path)
    roles = np.full(len(table), UNUSED)
    for names in (table['perturbation'], table['perturbation'].map(lambda name: combine(map(target, parts(name))))):
        for role, conditions in members.items():
            roles[names.isin(conditions)] = role
    return roles


def _read_lists(path: str) -> Any:
    if pathlib.Path(path).suffix in ('.pkl', '.pickle'):
        return read_split_pickle(path)
    return json.loads(pathlib.Path(path).read_text())


def _in_context(table: pd.DataFrame, target: str | Sequence[str]) -> pd.Series:
    """Which rows have a context that matches the pattern or one of them; raises InputError where none has."""
    patterns = [target] if isinstance(target, str) else list(target)
    here = table['context'].map(lambda context: any(fnmatch.fnmatchcase(context, pattern) for pattern in patterns))
    if not here.any():
        raise InputError(
            f'split.target: no context matches {target!r}; there are {listed(sorted(set(table.context)))}.'
        )
    return here


def _check_lists(lists: dict, members: dict[int, set[str]], table: pd.DataFrame, path: str) -> None:
    """Raises on lists that nothing reads or that overlap; tells conditions that the screens do not have."""
    other = sorted(set(lists) - {'train', 'test'})
    if other:
        raise InputError(f'{path}: the list {listed(other)} is not read; the lists are train, val and test.')
    named = [name for names in members.values() for name in names]
    twice = sorted({name for name in named if named.count(name) > 1} - {CONTROL})
    if twice:
        raise InputError(f'{path}: in two lists: {listed(twice)}; a condition has one role.')
    known = set(table['perturbation']) | {combine(map(target, parts(name))) for name in table['perturbation']}
    unknown = sorted(set(named) - known - {CONTROL})
    if unknown:
        logging.warning('%s: %d conditions are not in the screens: %s.', path, len(unknown), listed(unknown))


def _conditions(names: Sequence[str]) -> set[str]:
    if not isinstance(names, list):
        raise TypeError(f'{names!r} is no list')
    return {combine(part for part in parts(name) if part != 'ctrl') for name in names}


def _hold_out(
    table: pd.DataFrame, candidate: pd.Series, seed: int, test: float, validation: float, what: str
) -> np.ndarray:
    """Roles `[rows]`: of the candidates' distinct names, a share is tested and a share validates."""
    names = sorted(set(table['perturbation'][candidate]))
    if test + validation > 1 or min(test, validation) < 0:
        raise InputError(f'split: test={test} and validation={validation} are no shares of the {what}.')
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
    'gears_simulation': gears_simulation,
    'custom': custom,
}
