"""Time and memory of 10,000 bootstrap samples of 1,000 perturbations x 10 models x 20 metrics.

    python benchmarks/bootstrap.py

Compares the package's bootstrap with a plain numpy loop that resamples rows. Both run on the same scores, in
turn, in one process. The memory shown is the growth of the process's peak during the first call.
"""

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.evaluation.statistics import bootstrap, interval

PERTURBATIONS, MODELS, METRICS, REPLICATES = 1_000, 10, 20, 10_000
# The loop is too slow to run all replicates, so it runs these and its time is scaled up.
LOOP_REPLICATES = 500
ROUNDS = 3


def mean(sums: dict[str, jax.Array]) -> jax.Array:
    """The mean score of each model and metric."""
    return sums['total'] / sums['count']


def ours(scores: np.ndarray) -> Any:
    known = ~np.isnan(scores)
    sums = {'total': jnp.asarray(np.where(known, scores, 0)), 'count': jnp.asarray(known, jnp.float32)}
    samples = bootstrap(mean, sums, 0, REPLICATES)
    return jax.block_until_ready(interval(samples, jnp.full((MODELS, METRICS), PERTURBATIONS)))


def loop(scores: np.ndarray) -> Any:
    rng = np.random.default_rng(0)
    samples = [np.nanmean(scores[rng.integers(0, len(scores), len(scores))], axis=0) for _ in range(LOOP_REPLICATES)]
    return np.nanquantile(samples, [0.025, 0.975], axis=0)


def seconds(function: Callable, scores: np.ndarray) -> float:
    started = time.perf_counter()
    function(scores)
    return time.perf_counter() - started


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    rng = np.random.default_rng(0)
    scores = rng.gamma(2, 1, (PERTURBATIONS, MODELS, METRICS)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.02] = np.nan
    jnp.ones(1).block_until_ready()
    before = peak_mib()
    first = seconds(ours, scores)
    memory = peak_mib() - before
    pairs = [(seconds(ours, scores), seconds(loop, scores) * REPLICATES / LOOP_REPLICATES) for _ in range(ROUNDS)]
    own, plain = (statistics.median(each) for each in zip(*pairs))
    agreement = np.abs(np.array(ours(scores)) - loop(scores)).max()
    print(f'{REPLICATES:,} replicates of {PERTURBATIONS:,} perturbations x {MODELS} models x {METRICS} metrics')
    print(f'{jax.devices()[0].device_kind}, jax {jax.__version__}, medians of {ROUNDS} alternating rounds')
    print(f'perturbjax          {own:8.1f} s   (first call, with compilation: {first:.1f} s)')
    print(f'numpy loop          {plain:8.1f} s   (scaled up from {LOOP_REPLICATES} replicates)')
    print(f'ratio               {plain / own:8.1f}')
    print(f'peak memory grew by {memory:8.0f} MiB')
    print(f'largest difference of an interval end: {agreement:.3f} (both are random)')


if __name__ == '__main__':
    main()
