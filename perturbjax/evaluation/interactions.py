"""Genetic interactions: where a combination does not do what its parts add up to, and who foresees it.

The interaction of a double in a readout is observed minus additive. Most are noise, so they are called
against Efron's empirical null, over all doubles and readouts at once. A model is asked which it
expects: its values are ranked by |prediction - additive| and compared with the calls (Ahlmann-Eltze et
al. 2025, over the 1,000 readouts highest in control).
"""

from typing import NamedTuple

import numpy as np

from perturbjax.evaluation.empirical_null import EmpiricalNull, empirical_null, local_fdr

# The local false discovery rate up to which an interaction is called (Ahlmann-Eltze et al. 2025).
LEVEL = 0.05
# Values that differ by less than this share of their size differ by float32 rounding only.
_ROUNDING = 1e-5

UNKNOWN = ''
CLASSES = ('buffering', 'synergistic', 'opposite', 'other')


class Interactions(NamedTuple):
    """The interactions of N combinations in M readouts.

    Attributes:
      value: observed minus additive, `[N, M]`, in the screen's unit; NaN where either is missing.
      fdr: local false discovery rate, `[N, M]`; NaN where the value is.
      called: bool `[N, M]`, whether fdr is at most LEVEL.
      kind: one of CLASSES, called or not, `[N, M]`; UNKNOWN where an input is missing.
      null: the null behind the rates.
    """

    value: np.ndarray
    fdr: np.ndarray
    called: np.ndarray
    kind: np.ndarray
    null: EmpiricalNull


def interactions(truth: np.ndarray, additive: np.ndarray, control: np.ndarray, breaks: int = 120) -> Interactions:
    """Calls the interactions of combinations in every readout.

    Args:
      truth: observed profiles, `[N, M]`. Give each combination of a context once: what several splits
        test is still one observation.
      additive: control plus the deltas of the parts, `[N, M]`.
      control: that of each profile's context, `[N, M]` or `[M]`.
      breaks: of the histogram, see `empirical_null`.

    Raises:
      InputError: values that allow no empirical null.
    """
    value = np.asarray(truth, float) - np.asarray(additive, float)
    null = empirical_null(value, breaks)
    fdr = local_fdr(value, null)
    return Interactions(value, fdr, fdr <= LEVEL, classify(truth, additive, control, null.sigma), null)


def classify(combined: np.ndarray, additive: np.ndarray, control: np.ndarray, sigma: float) -> np.ndarray:
    """The class of each value, `[N, M]`: one of CLASSES, or UNKNOWN where an input is NaN.

    `combined` are the combinations' profiles, observed or predicted; sigma is the noise of interactions.
    With the delta d = combined - control and the expected e = additive - control, the first that holds:

      other: neither |d| nor |e| is above sigma, so there is nothing to compare;
      opposite: both are above sigma and their signs differ;
      buffering: |d| < |e|, the combination does less than its parts add up to;
      synergistic: |d| > |e|, it does more;
      other: |d| = |e|.

    The names are those of Ahlmann-Eltze et al. 2025, the definitions are ours: signs are compared only
    above sigma, so that an effect masked whole (d is noise around 0) is buffering whatever its sign.
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
    """How much of an interaction a model expects, |prediction - additive|, `[N, M]`; NaN where it says nothing.

    It is 0 where the two differ by rounding only, lest a model that is additive be ranked by its last digits.
    """
    prediction, additive = np.asarray(prediction, float), np.asarray(additive, float)
    size = np.abs(prediction - additive)
    return np.where(size <= _ROUNDING * np.maximum(np.abs(additive), np.abs(control)), 0, size)


class Ranking(NamedTuple):
    """How well a score finds the called values; T distinct scores, from the highest down.

    Attributes:
      false_discovery_proportion: of the values with that score or more, the share not called, `[T]`.
      true_positive_rate: of the called values, the share with that score or more, `[T]`; NaN where none is called.
      auprc: area under precision (1 - false discovery proportion) by true positive rate, in steps; 0 to 1,
        higher is better, chance is positives / ranked. NaN where none is called.
      auroc: the chance that a called value has a higher score than one that is not, ties counting half;
        0 to 1, higher is better, 0.5 is chance. NaN where none or all are called.
      positives: how many of the ranked values are called.
      ranked: how many values have a score.
    """

    false_discovery_proportion: np.ndarray
    true_positive_rate: np.ndarray
    auprc: float
    auroc: float
    positives: int
    ranked: int


def rank(fdr: np.ndarray, score: np.ndarray) -> Ranking:
    """Ranks values by score, highest first, against their calls.

    Args:
      fdr: local false discovery rates as `interactions` gives them, of any shape.
      score: what `expected_interaction` gives for a model, of the same shape.
        Values where either is NaN are left out; equal scores have one place.
    """
    known = ~np.isnan(fdr) & ~np.isnan(score)
    called, score = fdr[known] <= LEVEL, score[known]
    place = np.unique(-score, return_inverse=True)[1]
    true, false = (np.bincount(place[each], minlength=place.max(initial=-1) + 1).cumsum() for each in (called, ~called))
    precision = true / (true + false)
    positives, negatives = int(called.sum()), int((~called).sum())
    recall = true / positives if positives else np.full(len(true), np.nan)
    auprc = np.sum(np.diff(recall, prepend=0) * precision) if positives else np.nan
    under = np.trapezoid(np.append(0, true), np.append(0, false))
    auroc = under / (positives * negatives) if positives and negatives else np.nan
    return Ranking(1 - precision, recall, float(auprc), float(auroc), positives, positives + negatives)


def rank_by_split(fdr: np.ndarray, score: np.ndarray, split: np.ndarray) -> dict[int, Ranking]:
    """The ranking within each split, for `fdr` and `score` `[N, M]` of profiles that belong to `split` `[N]`."""
    return {int(each): rank(fdr[split == each], score[split == each]) for each in np.unique(split)}
