"""The known truth behind simulated screens: a low-rank model of gene programs, and the names of its parts.

A perturbation p changes the activity a[p, r] of R programs, a context c answers with its own gains
s[c, r], and a program moves the readouts m that load on it:

    log fold change[c, p, m] = sum_r a[p, r] s[c, r] l[r, m]

A knock-down also removes most of its target's own transcript. A compound shares the activity of the
gene that it inhibits. Doubles add up, except for known interactions.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from perturbjax.screens.vocabulary import combine, token

_HIDDEN = 0.2  # share of the targets that are not readouts


class Interaction(NamedTuple):
    """How far a double is from the sum of its singles.

    Attributes:
      kind: `buffering` (strength below 0) or `synergistic` (above 0).
      strength: the difference as a share of the change that the singles make through programs.
    """

    kind: str
    strength: float


class Truth(NamedTuple):
    """What the cells are drawn from: C contexts, P perturbations, M readouts, R programs.

    The expected count of a cell is depth * exp(expression + log fold change); logarithms are natural.

    Attributes:
      expression: `[C, M]`, ln(share of all readouts' counts) in control.
      log_fold_change: `[C, P, M]` float32, whether measured or not; ordered as the tables here.
      gains: `[C, R]`.
      activity: `[P, R]`; that of a double includes its interaction.
      loadings: `[R, M]`.
      membership: `[M]`, the program that each readout belongs to.
      pathway: the program that each target gene belongs to.
      compound_targets: from a compound to the gene that it inhibits.
      interactions: of the doubles that do not add up.
    """

    expression: pd.DataFrame
    log_fold_change: np.ndarray
    gains: pd.DataFrame
    activity: pd.DataFrame
    loadings: pd.DataFrame
    membership: pd.Series
    pathway: pd.Series
    compound_targets: dict[str, str]
    interactions: dict[str, Interaction]


class Design(NamedTuple):
    """Which program, gene and target belong together, as ids.

    The G genes are the M readouts, followed by the targets that are not readouts.

    Attributes:
      program: of each gene, `[G]`.
      target: the gene of each of T targets, `[T]`.
      inhibited: the target of each compound.
      pair: the two targets of each double, `[doubles, 2]`.
      strength: of the interaction of each double; 0 where it adds up.
    """

    program: np.ndarray
    target: np.ndarray
    inhibited: np.ndarray
    pair: np.ndarray
    strength: np.ndarray


def make_design(
    rng: Generator,
    num_targets: int,
    num_compounds: int,
    num_doubles: int,
    num_readouts: int,
    num_programs: int,
    share: float,
) -> Design:
    """A random design; `share` of the doubles do not add up."""
    visible = min(round((1 - _HIDDEN) * num_targets), num_readouts)
    hidden = num_targets - visible
    pairs = np.stack(np.triu_indices(num_targets, 1), axis=1)
    interacting = rng.permutation(num_doubles) < round(share * num_doubles)
    strength = rng.uniform(0.4, 0.8, num_doubles) * rng.choice([-1, 1], num_doubles)
    return Design(
        program=np.append(rng.permutation(num_readouts) % num_programs, rng.integers(num_programs, size=hidden)),
        target=np.append(np.sort(rng.choice(num_readouts, visible, replace=False)), num_readouts + np.arange(hidden)),
        inhibited=rng.integers(num_targets, size=num_compounds),
        pair=pairs[np.sort(rng.choice(len(pairs), num_doubles, replace=False))],
        strength=np.where(interacting, strength, 0.0),
    )


def make_truth(rng: Generator, design: Design, num_contexts: int, num_readouts: int, num_programs: int) -> Truth:
    """Draws the numbers of the model, then names its parts."""
    gains = _gains(rng, num_contexts, num_programs)
    member = np.arange(num_programs)[:, None] == design.program[:num_readouts]
    expression = _expression(rng, design, np.log(gains) @ member)
    loadings = _loadings(rng, member)
    activity = _activity(rng, design, num_programs)
    change = _change(rng, design, activity, gains, loadings)

    context, program = _numbered('context', num_contexts), _numbered('program', num_programs)
    gene = _numbered('GENE', len(design.program))
    compound = [token(f'{name}-10uM', 'Compound') for name in _numbered('compound', len(design.inhibited))]
    single = [token(name, 'CRISPRi') for name in gene[design.target]]
    double = [combine([single[a], single[b]]) for a, b in design.pair]
    readout, pathways = gene[:num_readouts], pd.Series(program[design.program], gene)
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
    """The names `name01`, `name02` and so on, all of the same length."""
    return np.array([f'{name}{number + 1:0{len(str(count))}}' for number in range(count)], object)


def _gains(rng: Generator, num_contexts: int, num_programs: int) -> np.ndarray:
    """How strongly each program answers in each context, positive, `[C, R]`; one in six hardly answers."""
    silent = rng.random((num_contexts, num_programs)) < 1 / 6
    return np.exp(rng.uniform(-1, 0.7, (num_contexts, num_programs))) * np.where(silent, 0.05, 1)


def _expression(rng: Generator, design: Design, log_gain: np.ndarray) -> np.ndarray:
    """ln(share of the counts) in control, `[C, M]`.

    Targets come from the more expressed half, because only such genes are worth knocking down. A program
    that hardly answers in a context is also expressed less there.

    Args:
      rng: random generator.
      design: which genes are targets.
      log_gain: ln(gain) of the program of each readout, `[C, M]`.
    """
    common = rng.uniform(-3, 3, (1, log_gain.shape[1]))
    targeted = np.isin(np.arange(log_gain.shape[1]), design.target)
    level = np.where(targeted, np.abs(common), common) + rng.normal(0, 0.25, log_gain.shape) + 0.4 * log_gain
    return level - np.log(np.exp(level).sum(axis=1, keepdims=True))


def _loadings(rng: Generator, member: np.ndarray) -> np.ndarray:
    """Loadings `[R, M]`: large on a program's own readouts (a fifth of them negative), small on a few others."""
    own = rng.uniform(0.5, 1.3, member.shape) * rng.choice([1, 1, 1, 1, -1], member.shape)
    others = rng.normal(0, 0.2, member.shape) * (rng.random(member.shape) < 0.1)
    return np.where(member, own, others)


def _activity(rng: Generator, design: Design, num_programs: int) -> np.ndarray:
    """Activity `[P, R]` of the perturbations: targets, then compounds, then doubles.

    A target acts on its own program, which its knock-down mostly turns down, and less on a few others.
    Every knock-down also stresses the cell a little, which is the first program.
    """
    num_compounds = len(design.inhibited)
    strength = rng.uniform(0.4, 1.2, (len(design.target), 1))
    own = np.arange(num_programs) == design.program[design.target, None]
    sign = rng.choice([-1, -1, -1, 1], strength.shape)
    others = rng.normal(0, 0.4, own.shape) * (rng.random(own.shape) < 0.25)
    single = strength * np.where(own, sign, others)
    single[:, 0] += 0.4 * strength[:, 0]
    partial = rng.uniform(0.5, 1, (num_compounds, 1)) * single[design.inhibited]
    compound = partial + rng.normal(0, 0.05, (num_compounds, num_programs))
    double = (1 + design.strength[:, None]) * single[design.pair].sum(axis=1)
    return np.concatenate([single, compound, double])


def _change(
    rng: Generator, design: Design, activity: np.ndarray, gains: np.ndarray, loadings: np.ndarray
) -> np.ndarray:
    """Log fold changes `[C, P, M]`: the effect of the programs, and of the knock-downs on their own transcripts.

    A transcript that is knocked down has 5-20% of its control level in every context, because the
    guide sets its level and not the programs.
    """
    num_targets, num_compounds = len(design.target), len(design.inhibited)
    own = design.target[:, None] == np.arange(loadings.shape[1])
    knock_down = np.where(own, np.log(rng.uniform(0.05, 0.2, (num_targets, 1))), 0)
    changed = np.einsum('pr,cr,rm->cpm', activity[: num_targets + num_compounds], gains, loadings, optimize=True)
    changed[:, :num_targets][:, own] = 0
    double = (1 + design.strength[:, None]) * changed[:, design.pair].sum(axis=2) + knock_down[design.pair].sum(axis=1)
    return np.concatenate([changed[:, :num_targets] + knock_down, changed[:, num_targets:], double], axis=1)
