"""Weights of profiles: how much each one can say, for fitting and for scores.

The error of a profile, as an estimate of what its context or its perturbation does, has two parts: t^2, how far
perturbations differ from the mean of their context, which no number of rows makes smaller, and s_i^2, the squared
standard error of the mean over its n_i rows. The means of least variance have the weights of a random-effects model,

    w_i = 1 / (t^2 + s_i^2),

so that a profile of very many rows counts little more than one of many. With v_i the variance between the rows of
profile i, its mean over readouts, and v the mean of v_i, each weighted by n_i - 1,

    cells:       s_i^2 = v / n_i,
    replicates:  s_i^2 = (4 v + (n_i - 1) v_i) / (4 + n_i - 1) / n_i,
    t^2 = max(0, (sum_i q_i - sum_i (1 - 1/K_i) s_i^2) / sum_i (1 - 1/K_i)),

q_i being the mean square over readouts of profile i minus the mean of the K_i profiles of its context. The four rows
of prior keep two rows that agree by accident from counting for everything. Where no variance is known, t^2 is taken
to be v over the median n: w_i = n_i / (n_i + median n). Source: Hedges 1983 for t^2; Smyth 2004 for the prior.

    on_target:   w_i = the share of the strongest on-target change, from 0.1 to 1.

The on-target change is a profile's value at the readout of its own target minus control, in the direction of the
median; the strongest is its 90th percentile. A combination has the mean over its targets that are measured. Where none
is measured, and for control always, the weight is the mean, 1. What is unknown is thus no reason to count less.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID

RULES = ('cells', 'replicates', 'on_target')
# The least weight, where the mean is 1: no profile is left out.
LEAST = 0.01
_PRIOR_ROWS = 4
_LEAST_SHARE, _STRONGEST = 0.1, 0.9


class Profiles(NamedTuple):
    """What weights follow from, of N profiles of one screen.

    Attributes:
      name: of the screen.
      values: NaN = not measured.
      context: a number for each.
      cells: the number of rows behind each; None where it is not known.
      variance: between those rows; NaN where there is only one row, None where it is not known.
      on_target: the change of each part's own readout from control; NaN where it is not measured.
    """

    name: str
    values: Float[np.ndarray, 'N M']
    context: Int[np.ndarray, ' N']
    cells: np.ndarray | None
    variance: Float[np.ndarray, 'N M'] | None
    on_target: Float[np.ndarray, 'N K']


def check_rule(rule: str, field: str) -> None:
    """Raises InputError unless the rule is one of `RULES`, or empty."""
    if rule and rule not in RULES:
        raise InputError(f'{field}: no such weights {rule!r}; {did_you_mean(rule, ("", *RULES))}')


def weighted(
    compendium: Compendium, training: tuple[Bool[np.ndarray, ' _N'], ...], rule: str, field: str = 'weights.fitting'
) -> Compendium:
    """The compendium with the weights of its profiles; as it is if the rule is empty.

    All that is estimated, and the mean that is 1, is of the training perturbations of each screen: nothing of held-out
    profiles takes part.

    Args:
      compendium: the screens.
      training: which profiles of each screen train.
      rule: one of `RULES`, or empty.
      field: where the config asks for it, for messages.

    Raises:
      InputError: a screen does not have what the rule needs.
    """
    if not rule:
        return compendium
    target = compendium.vocabulary.target_readouts()
    known = [np.asarray(mask) & ~screen.is_control for mask, screen in zip(training, compendium.screens, strict=True)]
    weights = weigh_each(rule, [_profiles(screen, target) for screen in compendium.screens], known, field)
    screens = [
        dataclasses.replace(screen, weight=np.where(screen.is_control, 1, weight).astype(screen.values.dtype))
        for screen, weight in zip(compendium.screens, weights, strict=True)
    ]
    return Compendium(tuple(screens), compendium.vocabulary)


def _profiles(screen: Screen, target: Int[np.ndarray, ' P']) -> Profiles:
    variance = None
    if screen.standard_error is not None and screen.cells is not None:
        variance = screen.standard_error.astype(float) ** 2 * screen.cells[:, None]
    changes = _on_target_changes(screen, target)
    return Profiles(screen.name, screen.values, screen.context, screen.cells, variance, changes)


def unweighted(compendium: Compendium) -> Compendium:
    """The compendium without weights."""
    if all(screen.weight is None for screen in compendium.screens):
        return compendium
    screens = tuple(dataclasses.replace(screen, weight=None) for screen in compendium.screens)
    return Compendium(screens, compendium.vocabulary)


def _on_target_changes(screen: Screen, target: Int[np.ndarray, ' P']) -> Float[np.ndarray, 'N K']:
    """The change of each part's own readout from the control of the context; NaN where either is not measured."""
    own = np.where(screen.perturbation > CONTROL_ID, target[screen.perturbation], -1)
    place = np.full(max(screen.readout.max(), own.max()) + 2, -1)
    place[screen.readout] = np.arange(len(screen.readout))
    column = place[own]  # the last entry, for -1, is -1 too
    control = np.zeros((max(screen.present_contexts) + 1, len(screen.readout)))
    control[screen.context[screen.is_control]] = screen.values[screen.is_control]
    row = np.arange(len(own))[:, None]
    change = screen.values[row, column] - control[screen.context[:, None], column]
    return np.where(column >= 0, change, np.nan)


def weigh_each(
    rule: str, screens: Sequence[Profiles], known: Sequence[Bool[np.ndarray, ' _N']], field: str
) -> list[Float[np.ndarray, ' _N']]:
    """The weights of the perturbed profiles of each screen, hardly below `LEAST`, with the mean 1 over the known ones.

    Args:
      rule: one of `RULES`.
      screens: their profiles.
      known: from which profiles of each it is estimated, none of them control.
      field: where the config asks for it, for messages.

    Raises:
      InputError: a screen does not have what the rule needs, or, of targets, none has.
    """
    pairs = list(zip(screens, known, strict=True))
    if rule == 'on_target' and all(np.isnan(each.on_target[rows]).all() for each, rows in pairs):
        raise InputError(
            f"{listed(each.name for each in screens)}: {field}='on_target' needs perturbations whose target is among "
            f'the readouts, and none of those at hand has one there; measure the targets, or leave {field} out.'
        )
    return [_weigh(rule, each, rows, field) for each, rows in pairs]


def _weigh(rule: str, profiles: Profiles, known: Bool[np.ndarray, ' N'], field: str) -> Float[np.ndarray, ' N']:
    if not known.any():
        return np.ones(len(known))
    if rule == 'on_target':
        weight = _by_target(profiles, known)
    else:
        weight = _random_effects(profiles, _noise(rule, profiles, known, field), known)
    weight = np.maximum(weight / weight[known].mean(), LEAST)
    return weight / weight[known].mean()


def _noise(rule: str, profiles: Profiles, known: Bool[np.ndarray, ' N'], field: str) -> Float[np.ndarray, ' N'] | None:
    """The squared standard error of each profile; None where only the numbers of cells are known."""
    if profiles.cells is None:
        raise InputError(
            f'{profiles.name}: {field}={rule!r} needs the number of rows behind each profile, which is not known; '
            f'predict again if an earlier version did, or leave {field} out.'
        )
    if (profiles.cells[known] <= 1).all():
        raise InputError(
            f'{profiles.name}: {field}={rule!r} needs the number of rows behind each profile, but every profile is one '
            f'row; give the cells or replicates rather than their means, or leave {field} out.'
        )
    rows = np.maximum(np.asarray(profiles.cells, float), 1)
    own = np.full(len(rows), np.nan) if profiles.variance is None else _mean(profiles.variance)
    has_own = ~np.isnan(own) & (rows > 1)
    counts = has_own & known
    if not counts.any():
        if rule == 'cells':
            return None
        raise InputError(
            f'{profiles.name}: {field}={rule!r} needs the spread of the rows behind profiles, and none is known; give '
            f"the cells or replicates rather than their means, or set {field}='cells'."
        )
    pooled = np.average(own[counts], weights=rows[counts] - 1)
    if rule == 'cells':
        return pooled / rows
    degrees = np.where(has_own, rows - 1, 0)
    return (_PRIOR_ROWS * pooled + degrees * np.where(has_own, own, 0)) / (_PRIOR_ROWS + degrees) / rows


def _random_effects(
    profiles: Profiles, noise: Float[np.ndarray, ' N'] | None, known: Bool[np.ndarray, ' N']
) -> Float[np.ndarray, ' N']:
    if noise is None:
        rows = np.maximum(np.asarray(profiles.cells, float), 1)
        return rows / (rows + np.median(rows[known]))
    square = share = error = 0.0
    for context in np.unique(profiles.context[known]):
        here = known & (profiles.context == context)
        values = profiles.values[here].astype(float)
        own = 1 - 1 / len(values)
        square += np.nansum(_mean((values - _mean(values.T)[None, :]) ** 2))
        share += own * len(values)
        error += own * noise[here].sum()
    between = max((square - error) / share, 0.0) if share else 0.0
    total = between + noise
    return 1 / np.where(total > 0, total, 1) if total[known].any() else np.ones(len(known))


def _by_target(profiles: Profiles, known: Bool[np.ndarray, ' N']) -> Float[np.ndarray, ' N']:
    changes = profiles.on_target[known]
    changes = changes[~np.isnan(changes)]
    if not len(changes):
        return np.ones(len(known))
    direction = np.sign(np.median(changes)) or 1.0
    strongest = np.quantile(direction * changes, _STRONGEST)
    if strongest <= 0:
        return np.ones(len(known))
    share = _mean(np.clip(direction * profiles.on_target / strongest, _LEAST_SHARE, 1))
    return np.where(np.isnan(share), np.nanmean(share[known]), share)


def _mean(values: Float[np.ndarray, 'N M']) -> Float[np.ndarray, ' N']:
    """The mean of the values of each row that are there; NaN where none is."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Mean of empty slice')
        return np.nanmean(np.asarray(values, float), axis=1)
