"""Metrics over the values of many profiles at once, from sums that profiles add up to.

As LPM's release computes them: over all values, whatever the profile.
"""

import jax
import jax.numpy as jnp


def moments(truth: jax.Array, prediction: jax.Array) -> jax.Array:
    """What pooled metrics need of each profile, `[..., 8]`: profiles are pooled by adding these up.

    They are the count and the sums of y, yhat, y^2, yhat^2, y yhat, |y - yhat| and (y - yhat)^2.
    Values far from 0 lose digits in float32: take one common constant, such as the mean of all truths,
    from both first. It changes no pooled metric.
    """
    error = truth - prediction
    squares = (truth * truth, prediction * prediction, truth * prediction)
    terms = (jnp.ones_like(error), truth, prediction, *squares, jnp.abs(error), error * error)
    return jnp.stack([jnp.sum(term, axis=-1, where=~jnp.isnan(error)) for term in terms], axis=-1)


def pooled(moments: jax.Array) -> dict[str, jax.Array]:
    """rmse, mse, mae, r2 and pearson over all values behind the summed `moments` `[..., 8]`; each `[...]`.

    Formulas and NaN as in the functions of those names.
    """
    count, *means = jnp.moveaxis(moments, -1, 0)
    truth, prediction, truth2, prediction2, product, absolute, square = (mean / count for mean in means)
    truth_variance = _variance(truth, truth2)
    deviations = jnp.sqrt(truth_variance) * jnp.sqrt(_variance(prediction, prediction2))
    return {
        'rmse': jnp.sqrt(square),
        'mse': square,
        'mae': absolute,
        'r2': 1 - square / truth_variance,
        'pearson': jnp.clip((product - truth * prediction) / deviations, -1, 1),
    }


def _variance(mean: jax.Array, mean_square: jax.Array) -> jax.Array:
    """E[x^2] - E[x]^2; NaN where rounding is all that is left of it."""
    variance = mean_square - jnp.square(mean)
    return jnp.where(variance > 1e-6 * mean_square, variance, jnp.nan)
