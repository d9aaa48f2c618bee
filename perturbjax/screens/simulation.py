"""Screens with known truth: raw counts of single cells from a low-rank model of gene programs.

A perturbation p changes the activity a[p, r] of R programs, a context c answers with its own gains
s[c, r], and a program moves the readouts m that load on it:

    log fold change[c, p, m] = sum_r a[p, r] s[c, r] l[r, m]

except that a knock-down leaves little of its target's own transcript. A compound shares the
activity of the gene it inhibits; doubles add up, but for known interactions. Counts are negative
binomial, as molecule counts of single cells are.
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
from perturbjax.screens.vocabulary import CONTROL, combine, token

_CONTROLS = 10  # control cells of a context, times the cells of one perturbation
_LEFT_OUT = 0.2  # share of the readouts that each of several panels lacks
_HIDDEN = 0.2  # share of the targets that are no readouts
_LIBRARY_SPREAD = 0.4  # standard deviation of ln(counts per cell)
_BLOCK = 4096  # cells drawn at once: bounds the dense memory
_POSITIVE = ('contexts', 'panels', 'targets', 'readouts', 'programs', 'cells')
_LEAST = dict.fromkeys(_POSITIVE, 1) | dict.fromkeys(('seed', 'compounds', 'doubles'), 0)
_RANGES = {'depth': (1, 1e6), 'dispersion': (1e-3, 10), 'interaction_share': (0, 1), 'measured': (0.01, 1)}


class Interaction(NamedTuple):
    """How far a double is from the sum of its singles, as a share of what they change through programs."""

    kind: str  # 'buffering' (strength < 0) or 'synergistic' (strength > 0)
    strength: float


class Truth(NamedTuple):
    """What the cells were drawn from: C contexts, P perturbations, M readouts, R programs.

    A cell's expected count is depth * exp(expression + log fold change); logarithms are natural.
    """

    expression: pd.DataFrame  # [C, M] ln(share of all readouts' counts) in control
    log_fold_change: np.ndarray  # [C, P, M] float32, measured or not; in the order of the tables here
    gains: pd.DataFrame  # [C, R]
    activity: pd.DataFrame  # [P, R]; a double's includes its interaction
    loadings: pd.DataFrame  # [R, M]
    membership: pd.Series  # [M] the program each readout belongs to
    pathway: pd.Series  # the program each target gene belongs to
    compound_targets: dict[str, str]  # compound -> the gene it inhibits
    interactions: dict[str, Interaction]  # of the doubles that do not add up


class Simulation(NamedTuple):
    """Raw counts of single cells, one `Measurements` (CSR, float32) per panel, and their truth."""

    measurements: tuple[Measurements, ...]
    truth: Truth


class _Design(NamedTuple):
    """Who belongs where, as ids; the genes are the M readouts, then the targets that are none."""

    program: np.ndarray  # of each gene
    target: np.ndarray  # the gene of each target
    inhibited: np.ndarray  # the target of each compound
    pair: np.ndarray  # the two targets of each double [doubles, 2]
    strength: np.ndarray  # of each double's interaction; 0 where it adds up


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
    """Perturbation screens of known truth; the same settings and seed give the same counts.

    `panels`, `cells`, `depth`, `dispersion` and `measured` leave the truth as it is, so the same
    biology can be measured again, and deeper.

    Args:
      seed: of the truth and of the counts.
      contexts: C, divided in order among the screens.
      panels: screens; where there are several, each lacks a fifth of the readouts, in turn.
      targets: genes knocked down one by one (CRISPRi); four in five are readouts themselves.
      compounds: each inhibits one target in part, with small effects elsewhere.
      doubles: pairs of targets, measured in the first screen only.
      readouts: M, genes over all panels.
      programs: R, each with an equal share of the readouts.
      cells: of a perturbation in a context, on average; control has ten times as many.
      depth: counts per cell over all readouts, on average.
      dispersion: given a cell's depth, a count of mean m has the variance m + dispersion * m^2.
      interaction_share: share of the doubles that do not add up.
      measured: share of the perturbations measured in each context, drawn afresh; the rest is in the truth only.

    Raises:
      InputError: a setting is outside its range.
    """
    _check(locals())
    truth_rng, panel_rng, *cell_rngs = np.random.default_rng(seed).spawn(2 + contexts)
    design = _design(truth_rng, targets, compounds, doubles, readouts, programs, interaction_share)
    truth = _truth(truth_rng, design, contexts, readouts, programs)
    members = np.array_split(np.arange(contexts), panels)
    screens = []
    for number, panel in enumerate(_panels(panel_rng, readouts, panels)):
        candidates = targets + compounds + (0 if number else doubles)
        drawn = []
        for context in members[number]:
            rng = cell_rngs[context]
            kept = np.sort(rng.choice(candidates, math.ceil(measured * candidates), replace=False))
            mean = depth * _expected_share(truth, context, kept, panel)
            drawn.append(_draw(rng, truth.gains.index[context], mean, cells, dispersion))
        screens.append(_stack(f'screen{number + 1}', drawn))
    return Simulation(tuple(screens), truth)


def _check(settings: Mapping[str, Any]) -> None:
    """Raises InputError on the first of `simulate`'s settings that is outside its range."""
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


def _design(
    rng: Generator, targets: int, compounds: int, doubles: int, readouts: int, programs: int, share: float
) -> _Design:
    visible = min(round((1 - _HIDDEN) * targets), readouts)
    hidden = targets - visible
    pairs = np.stack(np.triu_indices(targets, 1), axis=1)
    interacting = rng.permutation(doubles) < round(share * doubles)
    strength = rng.uniform(0.4, 0.8, doubles) * rng.choice([-1, 1], doubles)
    return _Design(
        program=np.append(rng.permutation(readouts) % programs, rng.integers(programs, size=hidden)),
        target=np.append(np.sort(rng.choice(readouts, visible, replace=False)), readouts + np.arange(hidden)),
        inhibited=rng.integers(targets, size=compounds),
        pair=pairs[np.sort(rng.choice(len(pairs), doubles, replace=False))],
        strength=np.where(interacting, strength, 0.0),
    )


def _truth(rng: Generator, design: _Design, contexts: int, readouts: int, programs: int) -> Truth:
    """The numbers, then their names."""
    gains = _gains(rng, contexts, programs)
    member = np.arange(programs)[:, None] == design.program[:readouts]
    expression = _expression(rng, design, np.log(gains) @ member)
    loadings = _loadings(rng, member)
    activity = _activity(rng, design, programs)
    change = _change(rng, design, activity, gains, loadings)

    context, program = _numbered('context', contexts), _numbered('program', programs)
    gene = _numbered('GENE', len(design.program))
    compound = [token(f'{name}-10uM', 'Compound') for name in _numbered('compound', len(design.inhibited))]
    single = [token(name, 'CRISPRi') for name in gene[design.target]]
    double = [combine([single[a], single[b]]) for a, b in design.pair]
    readout, pathways = gene[:readouts], pd.Series(program[design.program], gene)
    return Truth(
        expression=pd.DataFrame(expression, context, readout),
        log_fold_change=change.astype(np.float32),
        gains=pd.DataFrame(gains, context, program),
        activity=pd.DataFrame(activity, [*single, *compound, *double], program),
        loadings=pd.DataFrame(loadings, program, readout),
        membership=pathways[readout],
        pathway=pathways[gene[design.target]],
        compound_targets=dict(zip(compound, gene[design.target[design.inhibited]])),
        interactions={
            name: Interaction('buffering' if strength < 0 else 'synergistic', float(strength))
            for name, strength in zip(double, design.strength)
            if strength
        },
    )


def _numbered(name: str, count: int) -> np.ndarray:
    """`name01` and so on, all of one length."""
    return np.array([f'{name}{number + 1:0{len(str(count))}}' for number in range(count)], object)


def _gains(rng: Generator, contexts: int, programs: int) -> np.ndarray:
    """How strongly each context answers, positive, `[C, R]`; about one program in six is near-silent."""
    silent = rng.random((contexts, programs)) < 1 / 6
    return np.exp(rng.uniform(-1, 0.7, (contexts, programs))) * np.where(silent, 0.05, 1)


def _expression(rng: Generator, design: _Design, log_gain: np.ndarray) -> np.ndarray:
    """ln(share of the counts) in control, `[C, M]`; `log_gain` `[C, M]` is that of a readout's program.

    Targets are drawn from the better expressed half, as only such genes are worth knocking down.
    A program that hardly answers is expressed less.
    """
    common = rng.uniform(-3, 3, (1, log_gain.shape[1]))
    targeted = np.isin(np.arange(log_gain.shape[1]), design.target)
    level = np.where(targeted, np.abs(common), common) + rng.normal(0, 0.25, log_gain.shape) + 0.4 * log_gain
    return level - np.log(np.exp(level).sum(axis=1, keepdims=True))


def _loadings(rng: Generator, member: np.ndarray) -> np.ndarray:
    """`[R, M]`: large on a program's own readouts, a fifth of them downwards; slight on a few others."""
    own = rng.uniform(0.5, 1.3, member.shape) * rng.choice([1, 1, 1, 1, -1], member.shape)
    others = rng.normal(0, 0.2, member.shape) * (rng.random(member.shape) < 0.1)
    return np.where(member, own, others)


def _activity(rng: Generator, design: _Design, programs: int) -> np.ndarray:
    """`[P, R]`: of targets, compounds and doubles.

    A target acts on its own program, most often keeping it up, and less on a few others; every
    knock-down stresses the cell a little, which is the first program.
    """
    compounds = len(design.inhibited)
    strength = rng.uniform(0.4, 1.2, (len(design.target), 1))
    own = np.arange(programs) == design.program[design.target, None]
    sign = rng.choice([-1, -1, -1, 1], strength.shape)
    others = rng.normal(0, 0.4, own.shape) * (rng.random(own.shape) < 0.25)
    single = strength * np.where(own, sign, others)
    single[:, 0] += 0.4 * strength[:, 0]
    partial = rng.uniform(0.5, 1, (compounds, 1)) * single[design.inhibited]
    compound = partial + rng.normal(0, 0.05, (compounds, programs))
    double = (1 + design.strength[:, None]) * single[design.pair].sum(axis=1)
    return np.concatenate([single, compound, double])


def _change(
    rng: Generator, design: _Design, activity: np.ndarray, gains: np.ndarray, loadings: np.ndarray
) -> np.ndarray:
    """Log fold changes `[C, P, M]`: what the programs do, and the knock-downs' own transcripts.

    A transcript that is knocked down is left at 5-20% of control in every context: the guide sets
    its level, not the programs.
    """
    targets, compounds = len(design.target), len(design.inhibited)
    own = design.target[:, None] == np.arange(loadings.shape[1])
    knock_down = np.where(own, np.log(rng.uniform(0.05, 0.2, (targets, 1))), 0)
    changed = np.einsum('pr,cr,rm->cpm', activity[: targets + compounds], gains, loadings, optimize=True)
    changed[:, :targets][:, own] = 0
    double = (1 + design.strength[:, None]) * changed[:, design.pair].sum(axis=2) + knock_down[design.pair].sum(axis=1)
    return np.concatenate([changed[:, :targets] + knock_down, changed[:, targets:], double], axis=1)


def _panels(rng: Generator, readouts: int, panels: int) -> list[np.ndarray]:
    """The readouts of each screen, ids; what one panel lacks, the next has."""
    left_out = round(_LEFT_OUT * readouts) if panels > 1 else 0
    shuffled = rng.permutation(readouts)
    return [np.sort(np.roll(shuffled, -number * left_out)[left_out:]) for number in range(panels)]


def _expected_share(truth: Truth, context: int, kept: np.ndarray, panel: np.ndarray) -> pd.DataFrame:
    """Counts over the depth in one context, for the panel: control, then the perturbations `kept`, all ids."""
    control = truth.expression.to_numpy()[context, panel]
    change = truth.log_fold_change[context][np.ix_(kept, panel)]
    share = np.exp(control + np.vstack([np.zeros_like(control), change]))
    return pd.DataFrame(share, [CONTROL, *truth.activity.index[kept]], truth.expression.columns[panel])


def _draw(rng: Generator, context: str, mean: pd.DataFrame, cells: int, dispersion: float) -> Measurements:
    """The cells of one context around their expected counts."""
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
    """Negative binomial counts of cells of log-normal depth, around `mean` `[cells, M]`."""
    library = rng.lognormal(-(_LIBRARY_SPREAD**2) / 2, _LIBRARY_SPREAD, (len(mean), 1))
    rate = mean * library * rng.gamma(1 / dispersion, dispersion, mean.shape)
    return scipy.sparse.csr_matrix(rng.poisson(rate).astype(np.float32))


def _stack(name: str, contexts: Sequence[Measurements]) -> Measurements:
    return Measurements(
        name=name,
        values=scipy.sparse.vstack([each.values for each in contexts], format='csr'),
        context=np.concatenate([each.context for each in contexts]),
        perturbation=np.concatenate([each.perturbation for each in contexts]),
        readout=contexts[0].readout,
    )
