"""How sure a score is: the bootstrap over clusters of profiles that belong together.

The same perturbation in the same context, met again in another split or screen, is no new evidence:
such profiles are one cluster and are drawn together. Every statistic is a function of sums over
profiles, so a replicate is a weighted sum over clusters and all replicates are matrix products.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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
