"""How good an epoch of CPA is, on validation cells: the released metric, which is to be high.

    r2 of means + 0.5 r2 of variances + exp(purity of z - purity of z0)

r2 is that of a condition over readouts, averaged over the conditions of a batch. The purity is the share of a cell's 30
nearest neighbours that are of its condition: it is to be high with the perturbation and low without.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from perturbjax.models.cpa.network import CellBatch, Output
from perturbjax.screens.arrays import Array

NEIGHBOURS = 30


def metric(output: Output, batch: CellBatch, classes: tuple[int, ...], likelihood: str) -> Float[jax.Array, '']:
    """The metric of a batch; `classes` are the numbers of conditions, and of contexts where these count."""
    mean, variance = r2_of_conditions(output, batch, classes[0], likelihood)
    gained = jnp.zeros((), mean.dtype)
    for number, label in zip(classes, (batch.condition, batch.context), strict=False):
        after, before = (purity(state, label, batch.weight, number) for state in (output.latent, output.basal))
        gained += after - before
    return mean + 0.5 * variance + jnp.exp(gained)


def r2_of_conditions(
    output: Output, batch: CellBatch, conditions: int, likelihood: str
) -> tuple[Float[jax.Array, ''], Float[jax.Array, '']]:
    """r2 of the means and of the variances of readouts on a log scale, over the conditions of a batch.

    With `gauss` the predicted variance is the mean of the predicted variances.
    """
    x, found = jnp.asarray(batch.x), output.mean
    if likelihood == 'nb':
        x, found = jnp.log1p(x), jnp.log1p(found)
    number, (true_mean, true_variance) = _moments(x, batch, conditions)
    _, (mean, variance) = _moments(found, batch, conditions)
    if likelihood == 'gauss':
        _, (variance, _) = _moments(jnp.broadcast_to(output.spread, x.shape), batch, conditions)
    # One cell has no variance.
    of_variance = jnp.where(number > 1, _r2(variance, true_variance), 0)
    here = number > 0
    return tuple(  # type: ignore[return-value]
        jnp.where(here, each, 0).sum() / here.sum() for each in (_r2(mean, true_mean), of_variance)
    )


def _moments(
    x: Float[jax.Array, 'B G'], batch: CellBatch, conditions: int
) -> tuple[Float[jax.Array, ' C'], tuple[Float[jax.Array, 'C G'], Float[jax.Array, 'C G']]]:
    """How many cells each condition has, and the mean and the unbiased variance of each readout over them."""

    def total(values: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(values, jnp.asarray(batch.condition), conditions)

    weight = jnp.asarray(batch.weight)
    number = total(weight)
    mean = total(x * weight[:, None]) / jnp.maximum(number, 1)[:, None]
    squares = total((x - mean[batch.condition]) ** 2 * weight[:, None])
    return number, (mean, squares / jnp.maximum(number - 1, 1)[:, None])


def _r2(found: Float[jax.Array, 'C G'], truth: Float[jax.Array, 'C G']) -> Float[jax.Array, ' C']:
    """1 - squared error / squares around the mean; 0 where the truth does not vary."""
    around = ((truth - truth.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    error = ((found - truth) ** 2).sum(axis=1)
    return jnp.where(around > 0, 1 - error / jnp.where(around > 0, around, 1), 0)


def purity(
    state: Float[Array, 'B D'], label: Int[Array, ' B'], weight: Float[Array, ' B'], classes: int
) -> Float[jax.Array, '']:
    """The share of the nearest neighbours of a cell that have its label: the mean over the labels that there are."""
    label, weight = jnp.asarray(label), jnp.asarray(weight)
    state = state - jnp.asarray(state).mean(axis=0, keepdims=True)  # distances are rounded less
    squares = (state**2).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2 * state @ state.T
    away = (weight[None, :] == 0) | jnp.eye(len(state), dtype=bool)
    near, nearest = jax.lax.top_k(-jnp.where(away, jnp.inf, distance), min(NEIGHBOURS, len(state) - 1))
    # A short batch has fewer neighbours.
    counted = jnp.isfinite(near).astype(weight.dtype)
    alike = ((label[nearest] == label[:, None]) * counted).sum(axis=1) / jnp.maximum(counted.sum(axis=1), 1)
    number, total = (jax.ops.segment_sum(each, label, classes) for each in (weight, alike * weight))
    return (total / jnp.maximum(number, 1)).sum() / (number > 0).sum()
