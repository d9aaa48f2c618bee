"""The split that holds out single entries of a table of perturbations x contexts."""

import numpy as np
import pandas as pd

from perturbjax.errors import InputError


def hold_out_pairs(table: pd.DataFrame, seed: int, test: float, validation: float) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are tested and which validate, bool `[N]` each.

    A random share of all (context, perturbation) pairs is taken. One pair of every perturbation and one
    of every context is never taken, so that each has something to be learned from. A pair that several
    screens have has one role in all of them.

    Args:
      table: a row per profile, with the columns `context`, `perturbation` and `order`.
      seed: of the random choice.
      test, validation: shares of all pairs, without those of control.

    Raises:
      InputError: the shares are no shares, or more than the pairs that can be taken.
    """
    if test + validation > 1 or min(test, validation) < 0:
        raise InputError(f'split: test={test} and validation={validation} are not shares of the pairs.')
    perturbed = table.loc[table['order'] > 0, ['context', 'perturbation']]
    pair = perturbed.groupby(['context', 'perturbation'], sort=True).ngroup().to_numpy()
    distinct = perturbed.iloc[np.unique(pair, return_index=True)[1]]
    shuffled = np.random.default_rng(seed).permutation(len(distinct))
    mixed = distinct.iloc[shuffled]
    first = ~mixed['perturbation'].duplicated().to_numpy() | ~mixed['context'].duplicated().to_numpy()
    free = shuffled[~first]
    tested, validated = (round(share * len(distinct)) for share in (test, validation))
    if tested + validated > len(free):
        raise InputError(
            f'split: test={test} and validation={validation} ask for {tested + validated} of {len(distinct)} pairs, '
            f'but each perturbation and each context keeps one, so at most {len(free)} can be held out.'
        )
    held_out = np.zeros((2, len(distinct)), bool)
    held_out[0, free[:tested]] = held_out[1, free[tested : tested + validated]] = True
    of_row = np.zeros((2, len(table)), bool)
    of_row[:, (table['order'] > 0).to_numpy()] = held_out[:, pair]
    return of_row[0], of_row[1]
