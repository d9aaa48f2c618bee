"""The roles that a split gives to profiles, and which of them its settings mean."""

import fnmatch
from collections.abc import Sequence

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.screens.vocabulary import parts

TRAIN, VALIDATION, TEST, UNUSED = range(4)


def in_context(table: pd.DataFrame, context: str | Sequence[str]) -> pd.Series:
    """Which rows have a context that matches a pattern, bool `[N]`; raises InputError where none has."""
    patterns = [context] if isinstance(context, str) else list(context)
    here = table['context'].map(lambda name: any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns))
    if not here.any():
        there = listed(sorted(set(table.context)))
        raise InputError(f'split.context: no context matches {context!r}; there are {there}.')
    return here


def with_combinations(table: pd.DataFrame, roles: np.ndarray) -> np.ndarray:
    """Roles `[N]` of single perturbations, with those of each combination that has an unseen part."""
    unseen = {name: role for name, role in zip(table['perturbation'], roles) if role != TRAIN}
    in_combination = [
        max((unseen.get(part, TRAIN) for part in parts(name)), default=TRAIN) for name in table['perturbation']
    ]
    return np.where(table['order'] >= 2, in_combination, roles)
