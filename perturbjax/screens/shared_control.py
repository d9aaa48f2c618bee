"""Control that serves several contexts, such as vehicle wells that have no dose in a screen of contexts with doses."""

import dataclasses
import re
from typing import Any

import numpy as np
from absl import logging

from perturbjax.errors import listed
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL

# The part of a context's name that control without a value there has; it fits any text.
ANY = '\x00'


def share_control(profiles: Measurements) -> Measurements:
    """The profiles with each control whose context has `ANY` as the control of the contexts that it fits.

    A context that has control of its own keeps it; one that several fit gets the first. A warning says for
    which contexts it was taken. The copies are the same rows, so their errors are not independent.
    """
    shared = [i for i, name in enumerate(profiles.context) if ANY in name]
    if not shared:
        return profiles
    own = {name for name, kind in zip(profiles.context, profiles.perturbation) if kind == CONTROL}
    without = [name for name in dict.fromkeys(profiles.context) if name not in own]
    taken: dict[str, int] = {}
    for i in shared:
        pattern = re.compile('.+'.join(map(re.escape, profiles.context[i].split(ANY))))
        taken |= {name: i for name in without if name not in taken and pattern.fullmatch(name)}
    logging.warning(
        '%s: control without a value for the context is taken as control of %d contexts: %s.',
        *(profiles.name, len(taken), listed(taken)),
    )
    rows = np.array([*np.setdiff1d(np.arange(len(profiles.context)), shared), *taken.values()], int)
    context = np.array([*profiles.context[rows[: len(rows) - len(taken)]], *taken], object)
    order = np.lexsort((profiles.perturbation[rows], context))
    return _chosen(profiles, rows[order], context[order])


def _chosen(profiles: Measurements, rows: np.ndarray, context: np.ndarray) -> Measurements:
    """Some of the profiles, a row more than once if need be, under these contexts `[len(rows)]`."""

    def chosen(array: np.ndarray | None) -> Any:
        return None if array is None else array[..., rows, :] if array.ndim > 1 else array[rows]

    names = ('values', 'perturbation', 'cells', 'standard_error', 'halves')
    arrays: dict[str, Any] = {name: chosen(getattr(profiles, name)) for name in names}
    kept = None if profiles.kept is None else profiles.kept.regrouped(rows)
    return dataclasses.replace(profiles, context=context, kept=kept, **arrays)
