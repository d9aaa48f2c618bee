"""The pairs of context and perturbation that nobody has measured."""

import itertools

import numpy as np
from absl import logging
from jaxtyping import Bool, Int

from perturbjax.errors import InputError
from perturbjax.models.model import Query
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID, PADDING, Vocabulary


def unmeasured(compendium: Compendium, with_pairs: bool = False) -> Query:
    """All of them: single perturbations of the vocabulary and measured combinations, in every context.

    Args:
      compendium: whose profiles are measured, whatever their role in a split. One without a value is not.
      with_pairs: whether every pair of parts that some combination has is a candidate too.

    Raises:
      InputError: everything is measured.
    """
    names, context, name = _names(compendium, with_pairs)
    is_open = np.ones((len(compendium.vocabulary.contexts), len(names)), bool)
    is_open[context, name] = False
    found = np.argwhere(is_open)
    if not len(found):
        raise InputError(
            'next: every perturbation is measured in every context; name more in data.unmeasured, set next.pairs, or '
            'give candidates by --queries.'
        )
    return _query(found[:, 0], names[found[:, 1]], compendium.vocabulary)


def not_measured_yet(asked: Query, compendium: Compendium) -> Query:
    """Those of the asked profiles that are not measured, each once, without control; a warning says how many are.

    Raises:
      InputError: nothing is left.
    """
    profiles, is_measured = _profiles(compendium, asked.perturbation.shape[1])
    rows = np.column_stack([asked.context, _widened(np.asarray(asked.perturbation), profiles.shape[1] - 1)])
    _, number = np.unique(np.concatenate([profiles[is_measured], rows]), axis=0, return_inverse=True)
    number = number.ravel()
    known, own = number[: is_measured.sum()], number[is_measured.sum() :]
    is_first = np.zeros(len(own), bool)
    is_first[np.unique(own, return_index=True)[1]] = True
    is_open = is_first & ~np.isin(own, known) & (rows[:, 1] > CONTROL_ID)
    if not is_open.any():
        raise InputError('next: each pair that --queries asks for is measured, control or unknown; ask for others.')
    if not is_open.all():
        logging.warning('next: %d of %d pairs are measured, control, or there twice.', (~is_open).sum(), len(is_open))
    return _query(rows[is_open, 0], rows[is_open, 1:], compendium.vocabulary)


def measured(compendium: Compendium) -> Bool[np.ndarray, ' N']:
    """Which profiles of all screens have a value and are not control."""
    return np.concatenate([~np.isnan(screen.values).all(axis=1) & ~screen.is_control for screen in compendium.screens])


def _names(
    compendium: Compendium, with_pairs: bool
) -> tuple[Int[np.ndarray, 'I K'], Int[np.ndarray, ' n'], Int[np.ndarray, ' n']]:
    """The candidates' perturbations, and of each measured profile its context and which of them it has."""
    profiles, is_measured = _profiles(compendium, 1 + with_pairs)
    known, width = profiles[is_measured], profiles.shape[1] - 1
    single = np.arange(1, len(compendium.vocabulary.perturbations))[:, None]
    combined = known[(known[:, 1:] > CONTROL_ID).sum(axis=1) > 1, 1:]
    more = [_widened(single, width)]
    if with_pairs:
        combining = np.unique(combined[combined > CONTROL_ID])
        pairs = np.array(list(itertools.combinations(combining, 2)), int).reshape(-1, 2)
        more.append(_widened(pairs, width))
    names, number = np.unique(np.concatenate([known[:, 1:], *more]), axis=0, return_inverse=True)
    return names, known[:, 0], number.ravel()[: len(known)]


def _profiles(compendium: Compendium, width: int) -> tuple[Int[np.ndarray, 'N C'], Bool[np.ndarray, ' N']]:
    """The context and, behind it, the parts of each profile; and whether it is measured."""
    width = max([width, *(screen.perturbation.shape[1] for screen in compendium.screens)])
    rows = [
        np.column_stack([screen.context, _widened(screen.perturbation, width)]).astype(int)
        for screen in compendium.screens
    ]
    return np.concatenate(rows), measured(compendium)


def _widened(perturbation: Int[np.ndarray, 'n _K'], width: int) -> Int[np.ndarray, 'n {width}']:
    return np.pad(perturbation, ((0, 0), (0, width - perturbation.shape[1])), constant_values=PADDING)


def _query(context: np.ndarray, perturbation: np.ndarray, names: Vocabulary) -> Query:
    readout = np.arange(len(names.readouts), dtype=np.int32)
    return Query(context.astype(np.int32), perturbation.astype(np.int32), readout)
