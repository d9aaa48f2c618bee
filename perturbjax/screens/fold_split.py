"""Cross-validation: each of K splits tests another part, and together they test everything once."""

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.roles import TEST, TRAIN, VALIDATION, with_combinations

# What a fold is made of: the rows that can be held out, and the columns that name what is held out together.
_KINDS = {
    'singles': (lambda order: order == 1, ['perturbation']),
    'combinations': (lambda order: order >= 2, ['perturbation']),
    'pairs': (lambda order: order >= 1, ['context', 'perturbation']),
    'contexts': (lambda order: order >= 1, ['context']),
}


def k_fold(
    table: pd.DataFrame, seed: int, of: str = 'singles', folds: int = 5, shuffle: int = 0, validation: bool = False
) -> np.ndarray:
    """K-fold cross-validation: `split.seeds` = 0, 1, ... are the numbers of the folds that are tested.

    Args:
      table: the profiles.
      seed: the fold that is tested, from 0.
      of: what is dealt to folds: `singles`, each in all contexts and with its combinations; `combinations`; `pairs` of
        context and perturbation; or whole `contexts`, of which only control trains.
      folds: how many, K; they differ by one in size at most.
      shuffle: seed of the random order in which everything is dealt to folds.
      validation: whether the fold after the tested one validates.

    Raises:
      InputError: a setting is out of its range, or there is less to deal than there are folds.
    """
    if of not in _KINDS:
        raise InputError(f'split.of: no such {of!r}; {did_you_mean(of, _KINDS)}')
    check_fold(seed, [str(fold) for fold in range(folds)], validation)
    candidate, columns = _KINDS[of]
    there = candidate(table['order']).to_numpy()
    dealt = pd.MultiIndex.from_frame(table.loc[there, columns])
    things = dealt.unique().sort_values()
    if len(things) < folds:
        raise InputError(f'split.folds: {folds} folds cannot be made of {len(things)} {of}.')
    fold_of = np.empty(len(things), int)
    fold_of[np.random.default_rng(shuffle).permutation(len(things))] = np.arange(len(things)) % folds
    fold = np.full(len(table), -1)
    fold[there] = fold_of[things.get_indexer(dealt)]
    roles = roles_of(fold, seed, folds, validation)
    return with_combinations(table, roles) if of == 'singles' else roles


def check_fold(seed: int, labels: list[str], validation: bool) -> None:
    """Raises InputError where the seed is the number of no fold, or no fold would be left to train on."""
    least = 3 if validation else 2
    if len(labels) < least:
        raise InputError(f'split: {len(labels)} folds; at least {least} are needed, to train on, test and validate.')
    if seed >= len(labels):
        raise InputError(
            f'split.seeds: {seed} is the number of no fold; there are {len(labels)}, {listed(labels)}, from 0.'
        )


def roles_of(fold: np.ndarray, tested: int, number: int, validation: bool) -> np.ndarray:
    """The role of each row `[N]` by its fold; a row of no fold, -1, trains."""
    validated = (tested + 1) % number if validation else None
    return np.select([fold == tested, fold == validated], [TEST, VALIDATION], TRAIN)
