"""How many training profiles each name had: a learned model can answer only for names that had some."""

import numpy as np
from jaxtyping import Bool, Int

from perturbjax.models.model import Constants, Masks, Query
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import PADDING

AXES = ('context', 'perturbation', 'readout')

# How many values are looked at together when measured ones are counted.
_VALUES_AT_ONCE = 2**22


def training_counts(compendium: Compendium, training: Masks) -> dict[str, Int[np.ndarray, ' _names']]:
    """The number of training profiles of each name.

    A combination counts for each of its parts; a profile counts for the readouts that it has a value of.

    Returns:
      `context_counts [C]`, `perturbation_counts [P]` and `readout_counts [M]`, int32.
    """
    names = compendium.vocabulary
    contexts, perturbations, readouts = (
        np.zeros(len(each), np.int32) for each in (names.contexts, names.perturbations, names.readouts)
    )
    for screen, mask in zip(compendium.screens, training, strict=True):
        np.add.at(contexts, screen.context[mask], 1)
        ids = screen.perturbation[mask]
        np.add.at(perturbations, ids[ids != PADDING], 1)
        np.add.at(readouts, screen.readout, measured_counts(screen, mask))
    return {'context_counts': contexts, 'perturbation_counts': perturbations, 'readout_counts': readouts}


def by_features(constants: Constants) -> dict[str, Bool[np.ndarray, ' _names']]:
    """Which names a learned model knows by their features alone, of each axis: no training profile had them."""
    known = constants.get('has_features', {})
    none = {axis: np.zeros(len(constants[f'{axis}_counts']), bool) for axis in AXES}
    return none | {axis: np.asarray(known[axis]) & (np.asarray(constants[f'{axis}_counts']) == 0) for axis in known}


def measured_counts(screen: Screen, mask: Bool[Array, ' N']) -> Int[np.ndarray, ' M']:
    """How many of the profiles that the mask chooses have a value of each readout."""
    rows = np.flatnonzero(mask)
    parts = np.array_split(rows, 1 + len(rows) * len(screen.readout) // _VALUES_AT_ONCE)
    return np.sum([(~np.isnan(screen.values[part])).sum(axis=0) for part in parts], axis=0)


def is_trained(constants: Constants, query: Query) -> Bool[Array, 'Q M']:
    """Whether every name of each value asked for had training profiles, or has features instead."""
    context, perturbation, readout = (
        (constants[f'{axis}_counts'] > 0) | constants.get('has_features', {}).get(axis, False) for axis in AXES
    )
    parts = perturbation[query.perturbation] | (query.perturbation == PADDING)
    return (context[query.context] & parts.all(axis=1))[:, None] & readout[query.readout][None, :]
