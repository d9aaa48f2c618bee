"""Is a prediction nearer to the truth of its own perturbation than to those of others?

Distances of all pairs are matrix products or scipy's, so nothing here is compiled.
"""

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial.distance import cdist

from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import parts, target_gene

# (predictions, truths) -> how far each prediction is from each truth.
Distance = Callable[[Float[np.ndarray, 'P M'], Float[np.ndarray, 'Q M']], Float[np.ndarray, 'P Q']]

# A smaller difference, relative to the largest distance of a prediction, is rounding.
_ROUNDING = 1e-6
# Distances computed at a time: few enough to stay in a processor's cache.
_PAIRS = 2**20


def l1(prediction: Float[np.ndarray, 'P M'], truth: Float[np.ndarray, 'Q M']) -> Float[np.ndarray, 'P Q']:
    """Mean absolute differences over the readouts that both have; NaN if they share none."""
    if not _has_gaps(prediction, truth):
        return cdist(prediction, truth, 'cityblock') / truth.shape[1]
    count = _products(~np.isnan(prediction), ~np.isnan(truth))
    sums = np.array([np.nansum(np.abs(row - truth), axis=1) for row in prediction])
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def l2(prediction: Float[np.ndarray, 'P M'], truth: Float[np.ndarray, 'Q M']) -> Float[np.ndarray, 'P Q']:
    """Mean squared differences over the readouts that both have, which rank as Euclidean distances do; NaN as above."""
    if not _has_gaps(prediction, truth):
        squares = -2 * _products(prediction, truth)
        squares += (prediction**2).sum(axis=1)[:, None]
        squares += (truth**2).sum(axis=1)
        return squares / truth.shape[1]
    (p, has_p), (t, has_t) = _filled(prediction), _filled(truth)
    count = _products(has_p, has_t)
    squares = _products(p**2, has_t) - 2 * _products(p, t) + _products(has_p, t**2)
    return np.where(count > 0, squares / np.maximum(count, 1), np.nan)


def cosine(prediction: Float[np.ndarray, 'P M'], truth: Float[np.ndarray, 'Q M']) -> Float[np.ndarray, 'P Q']:
    """1 - cosines over the readouts that both have; 1 where one of them is 0, NaN if they share none."""
    if not _has_gaps(prediction, truth):
        return 1 - _products(_unit(prediction), _unit(truth))
    (p, has_p), (t, has_t) = _filled(prediction), _filled(truth)
    lengths = np.sqrt(_products(p**2, has_t) * _products(has_p, t**2))
    angles = _products(p, t) / np.where(lengths > 0, lengths, 1)
    return np.where(_products(has_p, has_t) > 0, 1 - angles, np.nan)


def _has_gaps(prediction: np.ndarray, truth: np.ndarray) -> bool:
    return bool(np.isnan(prediction).any() or np.isnan(truth).any())


def _unit(values: np.ndarray) -> np.ndarray:
    """Rows of length 1, or 0."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1)


def _filled(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values with 0 for those that are missing, and which are there; both as floats."""
    return np.nan_to_num(values), (~np.isnan(values)).astype(float)


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(left, float) @ np.asarray(right, float).T


def discrimination(
    prediction: Float[Array, 'P M'], truth: Float[Array, 'P M'], left_out: Bool[Array, ' M'], distance: Distance
) -> Float[np.ndarray, ' P']:
    """The perturbation discrimination score (PDS) of each of P predictions; 0 to 1, higher is better.

    1 - rank / (P - 1), where rank is the number of other truths that are nearer to the prediction than its own.
    Ties take the middle rank, so chance scores 0.5. All distances are over the same readouts, so one prediction for
    all perturbations scores 0.5 on average, whatever it is. NaN if there is no other truth to compare with. Source:
    the score of that name in cell-eval, with the targets of the whole panel left out as in cell-eval2.

    Args:
      prediction: predicted changes from control of P perturbations in one context.
      truth: the true changes of the same perturbations.
      left_out: the readouts of all perturbed genes, which would give the answer away.
      distance: `l1`, `l2` or `cosine`.
    """
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    scores = np.full(len(truth), np.nan)
    kept = ~np.asarray(left_out) & ~np.isnan(prediction).all(axis=0) & ~np.isnan(truth).all(axis=0)
    # Profiles without a value are left out, so that they do not count as gaps.
    there = np.flatnonzero(~(np.isnan(truth) | ~kept).all(axis=1))
    asked = np.flatnonzero(~(np.isnan(prediction) | ~kept)[there].all(axis=1))
    # In float64 and without the rest are all truths, but only some predictions at a time.
    truth, step = truth[there].astype(float)[:, kept], max(1, _PAIRS // max(len(there), 1))
    for first in range(0, len(asked) if kept.any() else 0, step):
        own = asked[first : first + step]
        scores[there[own]] = _ranked(distance(prediction[there[own]].astype(float)[:, kept], truth), own)
    return scores


def _ranked(distances: Float[np.ndarray, 'P Q'], own: Int[np.ndarray, ' P']) -> Float[np.ndarray, ' P']:
    """The scores of predictions by their distances to all truths; `own` says which of these is their own."""
    nearest = distances[np.arange(len(own)), own][:, None]
    rounding = _ROUNDING * np.fmax.reduce(distances, axis=1, keepdims=True)
    nearer = np.count_nonzero(distances < nearest - rounding, axis=1)
    tied = np.count_nonzero(distances <= nearest + rounding, axis=1) - nearer
    others = np.count_nonzero(distances == distances, axis=1) - 1  # NaN is not equal to itself
    known = ~np.isnan(nearest[:, 0]) & (others > 0)
    return np.where(known, 1 - (nearer + (tied - 1) / 2) / np.maximum(others, 1), np.nan)


def discriminate(
    prediction: Float[np.ndarray, 'N M'],
    truth: Float[np.ndarray, 'N M'],
    left_out: Bool[np.ndarray, 'N M'],
    group: Shaped[np.ndarray, ' N'],
    distance: Distance,
) -> Float[np.ndarray, ' N']:
    """Computes `discrimination` within each group of profiles, without the readouts left out for any of them."""
    scores, order = np.full(len(group), np.nan), np.argsort(group, kind='stable')
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        scores[rows] = discrimination(prediction[rows], truth[rows], np.any(left_out[rows], axis=0), distance)
    return scores


def perturbed_readouts(perturbations: Iterable[str], readouts: Iterable[str]) -> Bool[np.ndarray, 'N M']:
    """Which readouts are those of the perturbed genes themselves, for each of N perturbations."""
    names, panel = list(perturbations), list(readouts)
    column = {name: i for i, name in enumerate(panel)}
    own = np.zeros((len(names), len(panel)), bool)
    for row, name in enumerate(names):
        own[row, [column[gene] for gene in map(target_gene, parts(name)) if gene in column]] = True
    return own
