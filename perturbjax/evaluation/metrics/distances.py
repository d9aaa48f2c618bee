"""Distances of a prediction from the truth: pure functions of profiles `[..., M]` that give `[...]`.

A readout that is NaN in any argument is not compared. If nothing is left to compare, the value is NaN, never 0.
All arguments of a function have the same shape and the screen's unit.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from perturbjax.evaluation.metrics.highest import first_highest
from perturbjax.screens.arrays import Array


def mae(truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M']) -> Float[jax.Array, '*batch']:
    """Mean absolute error, mean |y - yhat|; 0 or more, lower is better. Source: LPM's release."""
    return jnp.nanmean(jnp.abs(truth - prediction), axis=-1)


def mse(truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M']) -> Float[jax.Array, '*batch']:
    """Mean squared error, mean (y - yhat)^2; 0 or more, lower is better. Source: LPM's loss."""
    return jnp.nanmean(jnp.square(truth - prediction), axis=-1)


def rmse(truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M']) -> Float[jax.Array, '*batch']:
    """Root of `mse`; 0 or more, lower is better. Source: LPM's release."""
    return jnp.sqrt(mse(truth, prediction))


def l2_top(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'] | None,
    n: int = 1000,
) -> Float[jax.Array, '*batch']:
    """Distance sqrt(sum (y - yhat)^2) over the n readouts highest in control; 0 or more, lower is better.

    The n readouts are chosen among the measured ones, whatever the prediction. A prediction with gaps therefore
    sums fewer terms; compare it with another only over the same readouts. Readouts of equal level are taken in
    their order. All readouts count if there are fewer than n, or if `control` is None (on a scale that gives
    control no level). Source: Ahlmann-Eltze et al. 2025.
    """
    squares = jnp.square(truth - prediction)
    if control is not None:
        level = jnp.where(jnp.isnan(truth) | jnp.isnan(control), -jnp.inf, control)
        squares = jnp.where((level > -jnp.inf) & first_highest(level, n), squares, jnp.nan)
    return jnp.sqrt(jnp.where(jnp.isnan(squares).all(axis=-1), jnp.nan, jnp.nansum(squares, axis=-1)))


def weighted_mse(
    truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M'], weight: Float[Array, '*batch M']
) -> Float[jax.Array, '*batch']:
    """Weighted mean squared error, sum w (y - yhat)^2 / sum w; 0 or more, lower is better.

    The weights say how clearly each readout responds to the perturbation, see `responders.response_weight`.
    Source: Mejia et al. 2025.
    """
    terms = weight * jnp.square(truth - prediction)
    weight = jnp.where(jnp.isnan(terms), 0, weight)
    return jnp.nansum(terms, axis=-1) / _or_nan(weight.sum(axis=-1))


def _or_nan(total: Float[jax.Array, '*batch']) -> Float[jax.Array, '*batch']:
    """The total, or NaN if it is 0."""
    return jnp.where(total > 0, total, jnp.nan)
