"""Simulated screens: raw counts of single cells, drawn from a truth that is known (see `simulated_truth`).

Counts are negative binomial, as molecule counts of single cells are.
"""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from numpy.random import Generator

from perturbjax.errors import InputError
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.simulated_truth import Truth, make_design, make_truth
from perturbjax.screens.vocabulary import CONTROL

_CONTROLS = 10  # a context has this many times as many control cells as cells of one perturbation
_LEFT_OUT = 0.2  # share of the readouts that each of several panels lacks
_LIBRARY_SPREAD = 0.4  # standard deviation of ln(counts per cell)
_BLOCK = 4096  # cells drawn at once, which bounds the memory of dense values
_POSITIVE = ('contexts', 'panels', 'targets', 'readouts', 'programs', 'cells')
_LEAST = dict.fromkeys(_POSITIVE, 1) | dict.fromkeys(('seed', 'compounds', 'doubles'), 0)
_RANGES = {'depth': (1, 1e6), 'dispersion': (1e-3, 10), 'interaction_share': (0, 1), 'measured': (0.01, 1)}


class Simulation(NamedTuple):
    """Raw counts of single cells, and the truth behind them.

    Attributes:
      measurements: one per panel; values are CSR, float32.
      truth: what the counts were drawn from.
    """

    measurements: tuple[Measurements, ...]
    truth: Truth


def simulate(
    seed: int = 0,
    contexts: int = 6,
    panels: int = 2,
    targets: int = 40,
    compounds: int = 24,
    doubles: int = 40,
    readouts: int = 120,
    programs: int = 8,
    cells: int = 40,
    depth: float = 5000.0,
    dispersion: float = 0.3,
    interaction_share: float = 0.3,
    measured: float = 0.9,
) -> Simulation:
    """Simulates perturbation screens with a known truth; the same settings and seed give the same counts.

    `panels`, `cells`, `depth`, `dispersion` and `measured` do not change the truth, so the same biology
    can be measured again, or deeper.

    Args:
      seed: of the truth and of the counts.
      contexts: number of contexts C, divided in order among the screens.
      panels: number of screens; where there are several, each lacks another fifth of the readouts.
      targets: number of genes that are knocked down one by one (CRISPRi); four in five are also readouts.
      compounds: number of compounds; each inhibits one target in part, with small effects elsewhere.
      doubles: number of pairs of targets, which only the first screen measures.
      readouts: number of genes M over all panels.
      programs: number of programs R, each with an equal share of the readouts.
      cells: average number of cells of a perturbation in a context; control has ten times as many.
      depth: average number of counts per cell over all readouts.
      dispersion: given a cell's depth, a count with mean m has the variance m + dispersion * m^2.
      interaction_share: share of the doubles that do not add up.
      measured: share of the perturbations that each context measures, drawn anew for each; the truth has all.

    Raises:
      InputError: a setting is outside its range.
    """
    _check(locals())
    truth_rng, panel_rng, *cell_rngs = np.random.default_rng(seed).spawn(2 + contexts)
    design = make_design(truth_rng, targets, compounds, doubles, readouts, programs, interaction_share)
    truth = make_truth(truth_rng, design, contexts, readouts, programs)
    members = np.array_split(np.arange(contexts), panels)
    screens = []
    for number, panel in enumerate(_panels(panel_rng, readouts, panels)):
        num_candidates = targets + compounds + (0 if number else doubles)
        drawn = []
        for context in members[number]:
            rng = cell_rngs[context]
            kept = np.sort(rng.choice(num_candidates, math.ceil(measured * num_candidates), replace=False))
            mean = depth * _expected_share(truth, context, kept, panel)
            drawn.append(_draw(rng, truth.gains.index[context], mean, cells, dispersion))
        screens.append(_stack(f'screen{number + 1}', drawn))
    return Simulation(tuple(screens), truth)


def _check(settings: Mapping[str, Any]) -> None:
    """Raises InputError on the first setting of `simulate` that is outside its range."""
    for name, least in _LEAST.items():
        if not isinstance(settings[name], numbers.Integral) or settings[name] < least:
            raise InputError(
                f'data (simulation): {name}={settings[name]!r} must be a whole number of at least {least}.'
            )
    for name, (low, high) in _RANGES.items():
        if not isinstance(settings[name], numbers.Real) or not low <= settings[name] <= high:
            raise InputError(f'data (simulation): {name}={settings[name]!r} must be a number from {low:g} to {high:g}.')
    for name, most, what in (
        ('panels', settings['contexts'], 'contexts'),
        ('programs', settings['readouts'], 'readouts'),
        ('doubles', math.comb(settings['targets'], 2), 'pairs of targets'),
    ):
        if settings[name] > most:
            raise InputError(f'data (simulation): {name}={settings[name]} is more than the {most} {what}; lower it.')


def _panels(rng: Generator, num_readouts: int, num_panels: int) -> list[np.ndarray]:
    """The ids of the readouts of each screen; the next panel has what a panel lacks."""
    left_out = round(_LEFT_OUT * num_readouts) if num_panels > 1 else 0
    shuffled = rng.permutation(num_readouts)
    return [np.sort(np.roll(shuffled, -number * left_out)[left_out:]) for number in range(num_panels)]


def _expected_share(truth: Truth, context: int, kept: np.ndarray, panel: np.ndarray) -> pd.DataFrame:
    """Expected share of the counts in one context: a row for control, then one for each perturbation.

    Args:
      truth: what is expected.
      context: id of the context.
      kept: ids of the perturbations.
      panel: ids of the readouts, which are the columns.
    """
    control = truth.expression.to_numpy()[context, panel]
    change = truth.log_fold_change[context][np.ix_(kept, panel)]
    share = np.exp(control + np.vstack([np.zeros_like(control), change]))
    return pd.DataFrame(share, [CONTROL, *truth.activity.index[kept]], truth.expression.columns[panel])


def _draw(rng: Generator, context: str, mean: pd.DataFrame, cells: int, dispersion: float) -> Measurements:
    """Draws the cells of one context around their expected counts `mean`, a row per perturbation."""
    sizes = [_CONTROLS * cells, *np.maximum(rng.poisson(cells, len(mean) - 1), 1)]
    row = np.repeat(np.arange(len(mean)), sizes)
    parts = np.split(row, range(_BLOCK, len(row), _BLOCK))
    return Measurements(
        name=context,
        values=scipy.sparse.vstack([_counts(rng, mean.to_numpy()[part], dispersion) for part in parts], format='csr'),
        context=np.full(len(row), context, object),
        perturbation=mean.index.to_numpy(object)[row],
        readout=mean.columns.to_numpy(object),
    )


def _counts(rng: Generator, mean: np.ndarray, dispersion: float) -> scipy.sparse.csr_matrix:
    """Negative binomial counts around `mean` `[cells, M]`; the depth of a cell is log-normal."""
    library = rng.lognormal(-(_LIBRARY_SPREAD**2) / 2, _LIBRARY_SPREAD, (len(mean), 1))
    rate = mean * library * rng.gamma(1 / dispersion, dispersion, mean.shape)
    return scipy.sparse.csr_matrix(rng.poisson(rate).astype(np.float32))


def _stack(name: str, drawn: Sequence[Measurements]) -> Measurements:
    """The cells of several contexts as one screen."""
    return Measurements(
        name=name,
        values=scipy.sparse.vstack([each.values for each in drawn], format='csr'),
        context=np.concatenate([each.context for each in drawn]),
        perturbation=np.concatenate([each.perturbation for each in drawn]),
        readout=drawn[0].readout,
    )
