"""How certain a score is: bootstrap and paired test over clusters of profiles that belong together.

The same perturbation in the same context is no new evidence if another split or screen has it again. Such
profiles form one cluster and are drawn together. Every statistic is a function of sums over profiles, so a
bootstrap sample is a weighted sum over clusters, and all samples are matrix products.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.stats

# Bootstrap samples computed at a time; their weights take this many x clusters floats.
_BATCH = 64


def cluster_sums(profiles: Any, cluster: Any, clusters: int) -> Any:
    """Sums a pytree of `[N, ...]` by the cluster of each profile `[N]`; returns a pytree of `[clusters, ...]`."""
    return jax.tree.map(lambda leaf: jax.ops.segment_sum(leaf, cluster, clusters), profiles)


def weigh(weights: jax.Array, sums: Any) -> Any:
    """Sums a pytree of `[clusters, ...]` over clusters with weights `[clusters]`; returns a pytree of `[...]`."""
    # By default, accelerators multiply matrices with fewer bits.
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1, precision='highest'), sums)


def draw(key: jax.Array, clusters: int) -> jax.Array:
    """How often each cluster is drawn in `clusters` draws with replacement; floats `[clusters]`."""
    drawn = jax.random.randint(key, (clusters,), 0, clusters)
    return jnp.bincount(drawn, length=clusters).astype(jnp.float32)


@functools.partial(jax.jit, static_argnames=('statistic', 'bootstrap_samples'))
def bootstrap(statistic: Callable[[Any], Any], sums: Any, seed: int = 0, bootstrap_samples: int = 2000) -> Any:
    """Computes the statistic on resampled clusters; returns a pytree of `[bootstrap_samples, ...]`.

    Args:
      statistic: a function of a pytree of sums `[...]`; it must be pure and hashable, as module functions are.
      sums: the pytree of `[clusters, ...]` that `cluster_sums` returns.
      seed: sample i depends only on the seed and i, so a larger number of samples starts with the same ones.
      bootstrap_samples: number of bootstrap samples, B.
    """
    clusters = jax.tree.leaves(sums)[0].shape[0]
    key = jax.random.key(seed)

    def sample(index: jax.Array) -> Any:
        return statistic(weigh(draw(jax.random.fold_in(key, index), clusters), sums))

    return jax.lax.map(sample, jnp.arange(bootstrap_samples), batch_size=_BATCH)


def interval(samples: jax.Array, clusters: jax.Array, level: float = 0.95) -> tuple[jax.Array, jax.Array]:
    """The percentile interval (low, high), each `[...]`, of bootstrap samples `[B, ...]`.

    Samples without a value are left out, for example those that drew no cluster in which the statistic is
    defined.

    Args:
      samples: as `bootstrap` returns them.
      clusters: number of clusters that each statistic is based on, `[...]`. With fewer than two its spread is
        not known, and the interval is NaN.
      level: the share of samples inside the interval.
    """
    tails = jnp.array([(1 - level) / 2, (1 + level) / 2])
    low, high = jnp.where(clusters[None] > 1, jnp.nanquantile(samples, tails, axis=0), jnp.nan)
    return low, high


def paired_test(differences: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """p values `[...]` of Wilcoxon's signed-rank test of differences `[N, ...]`, paired by cluster `[N]`.

    Each cluster counts once, with its mean. NaN if all differences are 0.
    """
    means = pd.DataFrame(differences.reshape(len(differences), -1)).groupby(cluster).mean().to_numpy()
    # Differences that are only float32 rounding count as 0.
    means = np.where(np.abs(means) < 1e-6 * np.abs(np.nan_to_num(means)).max(axis=0, initial=0), 0, means)
    columns = (column[np.isfinite(column) & (column != 0)] for column in means.T)
    p = [scipy.stats.wilcoxon(column).pvalue if len(column) else np.nan for column in columns]
    return np.array(p).reshape(differences.shape[1:])


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction of p values `[tests]` for their number; NaN counts as no test and stays NaN."""
    order = np.argsort(p)
    tests = (~np.isnan(p)).sum()
    corrected = np.maximum.accumulate(p[order] * np.maximum(tests - np.arange(len(p)), 1))
    return np.minimum(corrected[np.argsort(order)], 1)
