"""Distances between two sets of cells: do they have one distribution? 0 is the same, and lower is nearer.

They need cells; of profiles they are distances of two points. Source: pertpy 1.0, whose values they have, with the
differences that are named below.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.spatial.distance import cdist

from perturbjax.evaluation.referees.pair import Pair
from perturbjax.screens.arrays import Array

# The regularisation of `wasserstein` in standard deviations of the costs, how far marginals may be off, the steps
# between two looks at them, and the most steps. Source: the defaults of ott-jax, which pertpy uses.
_REGULARISATION, _TOLERANCE, _STEPS, _MOST_STEPS = 0.05, 1e-3, 10, 2000
# Cells of counts are scaled to this sum before ln(1 + x).
_SUM = 10_000


def energy_distance(x: Float[np.ndarray, 'N M'], y: Float[np.ndarray, 'K M']) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| with Euclidean distances; 0 or more.

    Means are over all pairs, those of a cell with itself among them, so few cells bias it. scPerturb's distance of that
    name has squared Euclidean distances.

    >>> energy_distance(np.array([[0.0], [2.0]]), np.array([[1.0]]))
    1.0
    """
    return float(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())


def mmd(
    x: Float[np.ndarray, 'N M'],
    y: Float[np.ndarray, 'K M'],
    kernel: Literal['linear', 'rbf', 'poly'] = 'linear',
    gamma: float = 1.0,
    degree: int = 2,
) -> float:
    """Squared maximum mean discrepancy, E k(X, X') + E k(Y, Y') - 2 E k(X, Y) over all pairs; 0 or more.

    Args:
      x, y: the two sets of cells.
      kernel: `linear`, x.y, which gives the squared distance of the means; `rbf`, exp(-gamma |x - y|^2); or `poly`,
        (gamma x.y)^degree.
      gamma, degree: see the kernels.
    """

    def mean(left: np.ndarray, right: np.ndarray) -> float:
        if kernel == 'rbf':
            return np.exp(-gamma * cdist(left, right, 'sqeuclidean')).mean()
        products = left @ right.T
        return products.mean() if kernel == 'linear' else ((gamma * products) ** degree).mean()

    return float(mean(x, x) + mean(y, y) - 2 * mean(x, y))


def wasserstein(x: Float[np.ndarray, 'N M'], y: Float[np.ndarray, 'K M']) -> float:
    """The cost of moving one set of cells to the other, by squared Euclidean distances, with entropic regularisation.

    The minimum over couplings P of <P, C> + e KL(P | uniform), with e = 0.05 standard deviations of the costs C, by
    Sinkhorn's steps. It is not 0 for two equal sets. NaN if it is not finite, where pertpy writes 1.
    """
    costs = cdist(x, y, 'sqeuclidean')
    regularisation = _REGULARISATION * float(costs.std())
    if not regularisation:  # every coupling costs the same
        return float(costs.mean())
    cost = regularisation * float(_sinkhorn(jnp.asarray(costs / regularisation, jnp.float32)))
    return cost if np.isfinite(cost) else np.nan


@jax.jit
def _sinkhorn(costs: Float[Array, 'N K']) -> Float[jax.Array, '']:
    """The minimum of <P, C> + KL(P | uniform) over couplings P of uniform weights."""
    rows, columns = costs.shape

    def soft_min(values: Array, axis: int) -> jax.Array:
        return -jax.nn.logsumexp(-values, axis=axis) + jnp.log(values.shape[axis])

    def step(_: jax.Array | int, potentials: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        g = soft_min(costs - potentials[0][:, None], 0)
        return soft_min(costs - g[None], 1), g

    def off(potentials: tuple[jax.Array, jax.Array]) -> jax.Array:
        f, g = potentials
        coupling = jnp.exp(f[:, None] + g[None] - costs) / (rows * columns)
        return jnp.abs(coupling.sum(axis=0) - 1 / columns).sum()

    def goes_on(state: tuple[jax.Array, tuple[jax.Array, jax.Array]]) -> jax.Array:
        return (state[0] < _MOST_STEPS) & (off(state[1]) > _TOLERANCE)

    def some_steps(state: tuple[jax.Array, tuple[jax.Array, jax.Array]]) -> tuple:
        return state[0] + _STEPS, jax.lax.fori_loop(0, _STEPS, step, state[1])

    start = some_steps((jnp.int32(0), (jnp.zeros(rows), jnp.zeros(columns))))
    _, (f, g) = jax.lax.while_loop(goes_on, some_steps, start)
    return f.mean() + g.mean()


def cell_distances(pair: Pair) -> pd.DataFrame:
    """The three distances between the true and the predicted cells of each perturbation (index).

    Columns `energy_distance`, `mmd` (linear) and `wasserstein`. Cells of counts are scaled to a sum of 10,000 and taken
    as ln(1 + x).
    """
    rows = []
    for group in range(len(pair.perturbations)):
        x, y = (_logs(cells.of(group), pair.counts) for cells in (pair.truth, pair.prediction))
        rows.append((energy_distance(x, y), mmd(x, y), wasserstein(x, y)))
    index = pd.Index(pair.perturbations, name='perturbation')
    return pd.DataFrame(rows, columns=['energy_distance', 'mmd', 'wasserstein'], index=index)


def _logs(values: np.ndarray, counts: bool) -> np.ndarray:
    if not counts:
        return values
    total = values.sum(axis=1, keepdims=True)
    return np.log1p(values * (_SUM / np.where(total > 0, total, 1)))
