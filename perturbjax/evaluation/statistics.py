"""How certain a score is: bootstrap and paired test over clusters of profiles that belong together.

The same perturbation in the same context is no new evidence if another split or screen has it again. Such
profiles form one cluster and are drawn together. Every statistic is a function of sums over profiles, so a
bootstrap sample is a weighted sum over clusters, and all samples are matrix products. Only these are compiled: the
statistics themselves take less time in numpy than their compilation would.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.sparse
import scipy.special
import scipy.stats

# Bootstrap samples computed at a time; their weights take this many x clusters floats.
_BATCH = 64
# Up to this many differences the paired test counts all ways to give them signs; with more it takes the normal
# approximation, whose p value is then within 1e-3 of the exact one.
MOST_EXACT = 50
# The fewest clusters that can show a difference: with five, the smallest possible p value of the paired test is 1/16.
LEAST_CLUSTERS = 6


def cluster_sums(profiles: Any, cluster: np.ndarray, clusters: int) -> Any:
    """Sums a pytree of `[N, ...]` by the cluster of each profile `[N]`; returns a pytree of `[clusters, ...]`."""
    profile = np.arange(len(cluster))
    members = scipy.sparse.csr_array((np.ones(len(cluster)), (cluster, profile)), (clusters, len(cluster)))

    def total(leaf: Any) -> np.ndarray:
        values = np.asarray(leaf, float)
        return (members @ values.reshape(len(values), -1)).reshape(clusters, *values.shape[1:])

    return jax.tree.map(total, profiles)


def draw(key: jax.Array, clusters: int) -> jax.Array:
    """How often each cluster is drawn in `clusters` draws with replacement; floats `[clusters]`."""
    drawn = jax.random.randint(key, (clusters,), 0, clusters)
    return jnp.bincount(drawn, length=clusters).astype(jnp.float32)


@jax.jit
def _resampled(seed: int, first: int, sums: jax.Array) -> jax.Array:
    """The sums `[clusters, F]` over the clusters of each sample of a batch that starts at `first`, `[_BATCH, F]`."""
    key, clusters = jax.random.key(seed), len(sums)
    weights = jax.vmap(lambda index: draw(jax.random.fold_in(key, index), clusters))(first + jnp.arange(_BATCH))
    # By default, accelerators multiply matrices with fewer bits.
    return jnp.matmul(weights, sums, precision='highest')


def bootstrap(statistic: Callable[[Any], Any], sums: Any, seed: int = 0, bootstrap_samples: int = 2000) -> Any:
    """Computes the statistic on resampled clusters; returns a pytree of `[bootstrap_samples, ...]`.

    Args:
      statistic: a function of a pytree of sums `[..., ...]`, which has any leading axes; 0 / 0 gives NaN in it.
      sums: the pytree of `[clusters, ...]` that `cluster_sums` returns.
      seed: sample i depends only on the seed and i, so a larger number of samples starts with the same ones.
      bootstrap_samples: number of bootstrap samples, B.
    """
    leaves, structure = jax.tree.flatten(sums)
    shapes = [np.shape(leaf)[1:] for leaf in leaves]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    flat = jnp.asarray(np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in leaves], axis=1), jnp.float32)
    batches = []
    for first in range(0, bootstrap_samples, _BATCH):
        columns = np.asarray(_resampled(seed, first, flat), float)[: bootstrap_samples - first]
        split = zip(np.split(columns, ends, axis=1), shapes, strict=True)
        with np.errstate(divide='ignore', invalid='ignore'):
            parts = [each.reshape(-1, *shape) for each, shape in split]
            batches.append(statistic(jax.tree.unflatten(structure, parts)))
    return jax.tree.map(lambda *each: np.concatenate(each), *batches)


def interval(samples: np.ndarray, clusters: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval (low, high), each `[...]`, of bootstrap samples `[B, ...]`.

    Samples without a value are left out, for example those that drew no cluster in which the statistic is
    defined.

    Args:
      samples: as `bootstrap` returns them.
      clusters: number of clusters that each statistic is based on, `[...]`. With fewer than two its spread is
        not known, and the interval is NaN.
      level: the share of samples inside the interval.
    """
    tails = (1 - level) / 2, (1 + level) / 2
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'All-NaN slice')
        ends = np.nanquantile(np.asarray(samples, float), tails, axis=0)
    low, high = np.where(np.asarray(clusters) > 1, ends, np.nan)
    return low, high


def paired_test(differences: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """p values `[...]` of Wilcoxon's signed-rank test of differences `[N, ...]`, paired by cluster `[N]`.

    Each cluster counts once, with its mean. NaN if all differences are 0.
    """
    means = pd.DataFrame(differences.reshape(len(differences), -1)).groupby(cluster).mean().to_numpy()
    # Differences that are only float32 rounding count as 0.
    means = np.where(np.abs(means) < 1e-6 * np.abs(np.nan_to_num(means)).max(axis=0, initial=0), 0, means)
    p = [signed_rank(column[np.isfinite(column) & (column != 0)]) for column in means.T]
    return np.array(p).reshape(differences.shape[1:])


def signed_rank(differences: np.ndarray) -> float:
    """The two-sided p value of Wilcoxon's signed-rank test of differences `[n]` other than 0; NaN if there are none.

    Equal sizes share their middle rank. Up to `MOST_EXACT` differences it is exact, ties or not; with more it is
    the normal approximation, corrected for ties, continuity and kurtosis (Edgeworth).
    """
    if not len(differences):
        return np.nan
    ranks = scipy.stats.rankdata(np.abs(differences))
    positive = ranks[differences > 0].sum()
    if len(differences) > MOST_EXACT:
        return _normal_tails(positive, ranks)
    share = _shares(np.rint(2 * ranks).astype(int))
    at = round(2 * positive)
    return float(min(1.0, 2 * min(share[: at + 1].sum(), share[at:].sum())))


def _normal_tails(positive: float, ranks: np.ndarray) -> float:
    """About twice the probability that the ranks with a plus sum to a value as far from their mean as `positive`."""
    # Every sign is a coin, so the sum is symmetric; sums of whole numbers are half a rank apart from the next.
    variance, fourth = (ranks**2).sum() / 4, -(ranks**4).sum() / 8
    z = max(abs(positive - ranks.sum() / 2) - 0.5, 0) / np.sqrt(variance)
    tail = scipy.special.ndtr(-z) + scipy.stats.norm.pdf(z) * fourth / (24 * variance**2) * (z**3 - 3 * z)
    return float(np.clip(2 * tail, 0, 1))


def _shares(ranks: np.ndarray) -> np.ndarray:
    """The share of the ways to choose from whole numbers `[n]` that have each sum, from 0 to that of all."""
    share = np.zeros(ranks.sum() + 1)
    share[0] = 1.0
    for rank in ranks:
        with_it = np.zeros_like(share)
        with_it[rank:] = share[: len(share) - rank]
        share = (share + with_it) / 2
    return share


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction of p values `[tests]` for their number; NaN counts as no test and stays NaN."""
    order = np.argsort(p)
    tests = (~np.isnan(p)).sum()
    corrected = np.maximum.accumulate(p[order] * np.maximum(tests - np.arange(len(p)), 1))
    return np.minimum(corrected[np.argsort(order)], 1)
