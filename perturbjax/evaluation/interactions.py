"""Genetic interactions: combinations that do not do what their parts add up to, and which models predict them.

The interaction of a double perturbation in a readout is the observed minus the additive value. Most
interactions are noise, so they are called against Efron's empirical null, over all doubles and readouts at
once. A model is judged by ranking its values by |prediction - additive| and comparing the ranking with the
calls (Ahlmann-Eltze et al. 2025, over the 1,000 readouts highest in control).
"""

from typing import NamedTuple

import numpy as np

from perturbjax.evaluation.empirical_null import EmpiricalNull, empirical_null, local_fdr

# Interactions are called up to this local false discovery rate (Ahlmann-Eltze et al. 2025).
LEVEL = 0.05
# A smaller difference, relative to the values, is float32 rounding.
_ROUNDING = 1e-5

UNKNOWN = ''
CLASSES = ('buffering', 'synergistic', 'opposite', 'other')


class Interactions(NamedTuple):
    """The interactions of N combinations in M readouts.

    Attributes:
      value: observed minus additive, `[N, M]`, in the screen's unit; NaN where either is missing.
      fdr: local false discovery rate, `[N, M]`; NaN where the value is NaN.
      called: bool `[N, M]`, whether fdr is at most LEVEL.
      kind: the class of every value, called or not, `[N, M]`: one of CLASSES, or UNKNOWN where an input is
        missing.
      null: the null that the rates come from.
    """

    value: np.ndarray
    fdr: np.ndarray
    called: np.ndarray
    kind: np.ndarray
    null: EmpiricalNull


def interactions(truth: np.ndarray, additive: np.ndarray, control: np.ndarray, breaks: int = 120) -> Interactions:
    """Calls the interactions of combinations in every readout.

    Args:
      truth: observed profiles, `[N, M]`. Pass each combination of a context once, even if several splits
        test it, because it is one observation.
      additive: control plus the deltas of the parts, `[N, M]`.
      control: the control of each profile's context, `[N, M]` or `[M]`.
      breaks: the bins of the histogram, see `empirical_null`.

    Raises:
      InputError: no empirical null can be fitted to the values.
    """
    value = np.asarray(truth, float) - np.asarray(additive, float)
    null = empirical_null(value, breaks)
    fdr = local_fdr(value, null)
    return Interactions(value, fdr, fdr <= LEVEL, classify(truth, additive, control, null.sigma), null)


def classify(combined: np.ndarray, additive: np.ndarray, control: np.ndarray, sigma: float) -> np.ndarray:
    """The class of each value, `[N, M]`: one of CLASSES, or UNKNOWN where an input is NaN.

    With d = combined - control and e = additive - control, the class is the first of these that holds:

      other: neither |d| nor |e| is above sigma, so there is nothing to compare;
      opposite: both are above sigma, and their signs differ;
      buffering: |d| < |e|, the combination does less than its parts add up to;
      synergistic: |d| > |e|, it does more;
      other: |d| = |e|.

    The names are from Ahlmann-Eltze et al. 2025, the definitions are ours. Signs are compared only above sigma,
    so an effect that is masked completely (d is noise around 0) is buffering, whatever the sign of the noise.

    Args:
      combined: profiles of the combinations, observed or predicted, `[N, M]`.
      additive: control plus the deltas of the parts, `[N, M]`.
      control: the control of each profile's context, `[N, M]` or `[M]`.
      sigma: standard deviation of the noise of interactions.
    """
    expected = np.asarray(additive, float) - control
    delta = np.asarray(combined, float) - control
    strong, strong_expected = np.abs(delta) > sigma, np.abs(expected) > sigma
    conditions = [
        np.isnan(delta) | np.isnan(expected),
        ~strong & ~strong_expected,
        strong & strong_expected & (np.sign(delta) != np.sign(expected)),
        np.abs(delta) < np.abs(expected),
        np.abs(delta) > np.abs(expected),
    ]
    return np.select(conditions, [UNKNOWN, 'other', 'opposite', 'buffering', 'synergistic'], 'other')


def expected_interaction(prediction: np.ndarray, additive: np.ndarray, control: np.ndarray) -> np.ndarray:
    """The size of the interaction that a model expects, |prediction - additive|, `[N, M]`; NaN without prediction.

    A difference that is only rounding counts as 0, so that an additive model is not ranked by its last digits.
    """
    prediction, additive = np.asarray(prediction, float), np.asarray(additive, float)
    size = np.abs(prediction - additive)
    return np.where(size <= _ROUNDING * np.maximum(np.abs(additive), np.abs(control)), 0, size)


class Ranking(NamedTuple):
    """How well a score finds the called values, for T distinct scores in descending order.

    Attributes:
      false_discovery_proportion: share of the values with at least that score that are not called, `[T]`.
      true_positive_rate: share of the called values with at least that score, `[T]`; NaN if none is called.
      auprc: area under precision (1 - false discovery proportion) by true positive rate, in steps; 0 to 1,
        higher is better, chance is positives / ranked. NaN if none is called.
      auroc: probability that a called value has a higher score than one that is not called, ties count half;
        0 to 1, higher is better, 0.5 is chance. NaN if none or all are called.
      positives: number of ranked values that are called.
      ranked: number of values that have a score.
    """

    false_discovery_proportion: np.ndarray
    true_positive_rate: np.ndarray
    auprc: float
    auroc: float
    positives: int
    ranked: int


def rank(fdr: np.ndarray, score: np.ndarray) -> Ranking:
    """Ranks values by score, highest first, and compares the ranking with the calls.

    Values for which either argument is NaN are left out; equal scores share one rank.

    Args:
      fdr: local false discovery rates as `interactions` returns them, of any shape.
      score: a model's `expected_interaction`, in the same shape.
    """
    known = ~np.isnan(fdr) & ~np.isnan(score)
    called, score = fdr[known] <= LEVEL, score[known]
    rank_of = np.unique(-score, return_inverse=True)[1]
    ranks = rank_of.max(initial=-1) + 1
    true, false = (np.bincount(rank_of[each], minlength=ranks).cumsum() for each in (called, ~called))
    precision = true / (true + false)
    positives, negatives = int(called.sum()), int((~called).sum())
    recall = true / positives if positives else np.full(len(true), np.nan)
    auprc = np.sum(np.diff(recall, prepend=0) * precision) if positives else np.nan
    under = np.trapezoid(np.append(0, true), np.append(0, false))
    auroc = under / (positives * negatives) if positives and negatives else np.nan
    return Ranking(1 - precision, recall, float(auprc), float(auroc), positives, positives + negatives)


def rank_by_split(fdr: np.ndarray, score: np.ndarray, split: np.ndarray) -> dict[int, Ranking]:
    """The ranking within each split; `fdr` and `score` are `[N, M]`, and `split` `[N]` is the split of each profile."""
    return {int(each): rank(fdr[split == each], score[split == each]) for each in np.unique(split)}
