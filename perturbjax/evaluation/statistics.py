"""How sure a score is: bootstrap and paired test over clusters of profiles that belong together.

The same perturbation in the same context, met again in another split or screen, is no new evidence:
such profiles are one cluster and are drawn together. Every statistic is a function of sums over
profiles, so a replicate is a weighted sum over clusters and all replicates are matrix products.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.stats

# Replicates at a time: their weights take this many x clusters floats.
_BATCH = 64


def cluster_sums(profiles: Any, cluster: Any, clusters: int) -> Any:
    """Adds up a pytree of `[N, ...]` by cluster, given each profile's cluster `[N]`; gives `[clusters, ...]`."""
    return jax.tree.map(lambda leaf: jax.ops.segment_sum(leaf, cluster, clusters), profiles)


def weigh(weights: jax.Array, sums: Any) -> Any:
    """The sums over clusters with weights `[clusters]`, for a pytree of `[clusters, ...]`; gives `[...]`."""
    # Accelerators multiply matrices with fewer bits unless told otherwise.
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, 1, precision='highest'), sums)


def draw(key: jax.Array, clusters: int) -> jax.Array:
    """How often each cluster is drawn in `clusters` draws with replacement; floats `[clusters]`."""
    drawn = jax.random.randint(key, (clusters,), 0, clusters)
    return jnp.bincount(drawn, length=clusters).astype(jnp.float32)


@functools.partial(jax.jit, static_argnames=('statistic', 'replicates'))
def bootstrap(statistic: Callable[[Any], Any], sums: Any, seed: int = 0, replicates: int = 2000) -> Any:
    """The statistic on resampled clusters: a pytree of `[replicates, ...]`.

    Args:
      statistic: of a pytree of sums `[...]`; must be pure and hashable, as a module's function is.
      sums: the pytree of `[clusters, ...]` as `cluster_sums` gives it.
      seed: replicate i depends on the seed and i only, so more replicates begin with the same ones.
      replicates: B.
    """
    clusters = jax.tree.leaves(sums)[0].shape[0]
    key = jax.random.key(seed)

    def replicate(index: jax.Array) -> Any:
        return statistic(weigh(draw(jax.random.fold_in(key, index), clusters), sums))

    return jax.lax.map(replicate, jnp.arange(replicates), batch_size=_BATCH)


def interval(samples: jax.Array, clusters: jax.Array, level: float = 0.95) -> tuple[jax.Array, jax.Array]:
    """The percentile interval (low, high), each `[...]`, of bootstrap samples `[B, ...]`.

    `clusters` `[...]` says on how many clusters each statistic rests: with fewer than two nothing is
    known of its spread, so the interval is NaN. Replicates without a value, such as those that drew
    no cluster where the statistic is defined, are left out.
    """
    tails = jnp.array([(1 - level) / 2, (1 + level) / 2])
    low, high = jnp.where(clusters[None] > 1, jnp.nanquantile(samples, tails, axis=0), jnp.nan)
    return low, high


def paired_test(differences: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """p values `[...]` of Wilcoxon's signed-rank test of differences `[N, ...]`, paired by cluster `[N]`.

    Each cluster counts once, by its mean. NaN where no cluster has a difference other than 0.
    """
    means = pd.DataFrame(differences.reshape(len(differences), -1)).groupby(cluster).mean().to_numpy()
    # Differences of nothing but float32 rounding are none.
    means = np.where(np.abs(means) < 1e-6 * np.abs(np.nan_to_num(means)).max(axis=0, initial=0), 0, means)
    columns = (column[np.isfinite(column) & (column != 0)] for column in means.T)
    p = [scipy.stats.wilcoxon(column).pvalue if len(column) else np.nan for column in columns]
    return np.array(p).reshape(differences.shape[1:])


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction of p values `[tests]` for their number; NaN are no tests and stay."""
    order = np.argsort(p)
    tests = (~np.isnan(p)).sum()
    corrected = np.maximum.accumulate(p[order] * np.maximum(tests - np.arange(len(p)), 1))
    return np.minimum(corrected[np.argsort(order)], 1)
