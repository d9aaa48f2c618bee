"""The rules by which a split holds profiles out.

Each rule takes the compendium's table of profiles (a row per profile: screen, context, perturbation,
order) and a seed, and gives a role for every row.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from perturbjax.errors import InputError
from perturbjax.screens.entry_split import hold_out_pairs
from perturbjax.screens.fold_split import k_fold
from perturbjax.screens.gears_split import gears_simulation
from perturbjax.screens.listed_split import custom, folds
from perturbjax.screens.roles import TEST, TRAIN, UNUSED, VALIDATION, in_context, with_combinations
from perturbjax.screens.vocabulary import parts


def unseen_double(table: pd.DataFrame, seed: int, test: float = 0.5, validation: float = 0.0) -> np.ndarray:
    """All singles train; a share of the combinations is tested, in every context (Ahlmann-Eltze et al. 2025)."""
    return _hold_out(table, table['order'] >= 2, seed, test, validation, 'combinations')


def unseen_single(table: pd.DataFrame, seed: int, test: float = 0.2, validation: float = 0.0) -> np.ndarray:
    """A share of the single perturbations is unseen in every context, and so is each combination with one of them."""
    singles = _hold_out(table, table['order'] == 1, seed, test, validation, 'single perturbations')
    return with_combinations(table, singles)


def unseen_in_context(
    table: pd.DataFrame, seed: int, context: str | Sequence[str], test: float = 0.15, validation: float = 0.15
) -> np.ndarray:
    """A share of one context's perturbations, each of which other contexts have seen (the task of LPM).

    `context` is a name, a pattern such as `MCF7*`, or several of them. A perturbation is held out of
    every context that matches.
    """
    here = in_context(table, context)
    seen_elsewhere = {part for name in table['perturbation'][~here] for part in parts(name)}
    transferable = table['perturbation'].map(lambda name: seen_elsewhere.issuperset(parts(name)))
    return _hold_out(table, here & transferable & (table['order'] > 0), seed, test, validation, 'perturbations')


def unseen_context(
    table: pd.DataFrame, seed: int, context: str | Sequence[str], seen: float = 0.0, validation: float = 0.0
) -> np.ndarray:
    """All perturbations of a context are tested but a share `seen`, which trains, and one that validates.

    The task of STATE (Adduri et al. 2025) and of the Virtual Cell Challenge: `seen` = 0 is a context of which only
    control is known, a larger one is "few shot". `context` is a name, a pattern, or several of them; a perturbation
    has one role in all of these.
    """
    here = in_context(table, context) & (table['order'] > 0)
    if min(seen, validation) < 0 or seen + validation >= 1:
        raise InputError(f'split: seen={seen} and validation={validation} leave no share of the perturbations to test.')
    return _hold_out(table, here, seed, 1 - seen - validation, validation, 'perturbations')


def unseen_both(
    table: pd.DataFrame, seed: int, context: str | Sequence[str], test: float = 0.2, validation: float = 0.0
) -> np.ndarray:
    """A share of a context's single perturbations is tested there; no context trains on them, nor that one on any.

    Both the perturbation and the context are unseen. What has one of the two in common with the tested profiles is
    unused, and so is each combination with an unseen perturbation. `context` is a name, a pattern, or several of them.
    """
    here = in_context(table, context)
    singles = _hold_out(table, here & (table['order'] == 1), seed, test, validation, 'single perturbations')
    role_of = {name: role for name, role in zip(table['perturbation'], singles) if role != TRAIN}
    unseen = with_combinations(table, table['perturbation'].map(role_of).fillna(TRAIN).to_numpy(int))
    unused = (unseen != TRAIN) | (here & (table['order'] > 0))
    return np.where(here & (table['order'] == 1) & (unseen != TRAIN), unseen, np.where(unused, UNUSED, TRAIN))


def unseen_pairs(table: pd.DataFrame, seed: int, test: float = 0.15, validation: float = 0.0) -> np.ndarray:
    """Shares of all (context, perturbation) pairs, at random; each perturbation and each context keeps one to train.

    It asks how well a table of responses, such as drugs x cell lines, is filled in ("leave pairs out").
    """
    tested, validated = hold_out_pairs(table, seed, test, validation)
    return np.select([tested, validated], [TEST, VALIDATION], TRAIN)


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
    'unseen_context': unseen_context,
    'unseen_both': unseen_both,
    'unseen_pairs': unseen_pairs,
    'k_fold': k_fold,
    'gears_simulation': gears_simulation,
    'custom': custom,
    'folds': folds,
}
