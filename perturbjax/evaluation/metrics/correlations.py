"""Agreement of a prediction with the truth: pure functions of profiles `[..., M]` that give `[...]`.

A readout that is NaN in any argument is not compared. If nothing is left to compare, the value is NaN, never 0.
All arguments of a function have the same shape and the screen's unit.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from perturbjax.screens.arrays import Array

# A smaller difference, relative to the values, is float32 rounding.
_ROUNDING = 1e-5


def r2(truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M']) -> Float[jax.Array, '*batch']:
    """Share of the variance explained, 1 - sum (y - yhat)^2 / sum (y - mean y)^2; at most 1, higher is better.

    NaN if the truth is constant. Source: LPM's release.
    """
    error = truth - prediction
    seen = ~jnp.isnan(error)
    return 1 - jnp.nansum(jnp.square(error), axis=-1) / _spread(_centred(truth, seen), _largest(truth, seen))


def pearson(truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M']) -> Float[jax.Array, '*batch']:
    """Pearson correlation cor(y, yhat); -1 to 1, higher is better. Source: LPM's release.

    NaN if either is constant, as with fewer than two values.
    """
    seen = ~jnp.isnan(truth - prediction)
    return _correlation(truth, prediction, seen, jnp.maximum(_largest(truth, seen), _largest(prediction, seen)))


def pearson_delta(
    truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M'], reference: Float[Array, '*batch M']
) -> Float[jax.Array, '*batch']:
    """Correlation of the changes, cor(y - reference, yhat - reference); -1 to 1, higher is better.

    The reference is control (Ahlmann-Eltze et al. 2025) or the mean of the training perturbations (Systema).
    NaN if either change is constant, for example if the prediction is the reference.
    """
    change, predicted = truth - reference, prediction - reference
    seen = ~jnp.isnan(change - predicted)
    return _correlation(change, predicted, seen, jnp.maximum(_largest(truth, seen), _largest(reference, seen)))


def weighted_r2_delta(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    reference: Float[Array, '*batch M'],
    weight: Float[Array, '*batch M'],
) -> Float[jax.Array, '*batch']:
    """Weighted share of the change that is explained; at most 1, higher is better, a constant change scores 0.

    1 - sum w (d - dhat)^2 / sum w (d - m)^2, d = y - reference, m = sum w d / sum w; the reference is
    the mean of the training perturbations. NaN if the change is constant. Source: Mejia et al. 2025.
    """
    change, error = truth - reference, truth - prediction
    seen = ~jnp.isnan(weight * (change - error))
    weight = jnp.where(seen, weight, 0)
    change = jnp.where(seen, change, 0)
    total = weight.sum(axis=-1, keepdims=True)
    centred = jnp.where(seen, change - (weight * change).sum(axis=-1, keepdims=True) / total, 0)
    varies = _largest(centred, weight > 0) > _ROUNDING * _largest(change, weight > 0)
    spread = jnp.where(varies, (weight * centred**2).sum(axis=-1), jnp.nan)
    return 1 - (weight * jnp.where(seen, error, 0) ** 2).sum(axis=-1) / spread


def _largest(values: Float[Array, '*batch M'], seen: Bool[Array, '*batch M']) -> Float[jax.Array, '*batch']:
    """The largest absolute value that is seen, `[...]`; 0 if none is seen."""
    return jnp.max(jnp.abs(jnp.where(seen, values, 0)), axis=-1)


def _centred(values: Float[Array, '*batch M'], seen: Bool[Array, '*batch M']) -> Float[jax.Array, '*batch M']:
    """Values minus the mean of those that are seen; 0 for values that are not seen."""
    mean = jnp.mean(values, axis=-1, where=seen, keepdims=True)
    return jnp.where(seen, values - mean, 0)


def _spread(centred: Float[Array, '*batch M'], size: Float[jax.Array, '*batch']) -> Float[jax.Array, '*batch']:
    """The sum of squares `[...]`; NaN if it is only the rounding of numbers of that size `[...]`."""
    varies = _largest(centred, jnp.ones_like(centred, bool)) > _ROUNDING * size
    return jnp.where(varies, jnp.sum(centred * centred, axis=-1), jnp.nan)


def _correlation(
    x: Float[Array, '*batch M'],
    y: Float[Array, '*batch M'],
    seen: Bool[Array, '*batch M'],
    size: Float[jax.Array, '*batch'],
) -> Float[jax.Array, '*batch']:
    x, y = _centred(x, seen), _centred(y, seen)
    lengths = jnp.sqrt(_spread(x, size)) * jnp.sqrt(_spread(y, size))
    return jnp.clip(jnp.sum(x * y, axis=-1) / lengths, -1, 1)
