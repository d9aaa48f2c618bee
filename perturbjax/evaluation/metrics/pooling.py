"""Metrics over the values of many profiles at once, computed from sums over profiles.

LPM's release computes its metrics in this way: over all values, whichever profile they are from.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from perturbjax.screens.arrays import Array


def moments(truth: Float[Array, '*batch M'], prediction: Float[Array, '*batch M']) -> Float[jax.Array, '*batch 8']:
    """The sums that pooled metrics need, for each profile, `[..., 8]`; add them up to pool profiles.

    They are the count and the sums of y, yhat, y^2, yhat^2, y yhat, |y - yhat| and (y - yhat)^2. Values far
    from 0 lose digits in float32, so first subtract one constant from both, such as the mean of all truths;
    this changes no pooled metric.
    """
    error = truth - prediction
    squares = (truth * truth, prediction * prediction, truth * prediction)
    terms = (jnp.ones_like(error), truth, prediction, *squares, jnp.abs(error), error * error)
    return jnp.stack([jnp.sum(term, axis=-1, where=~jnp.isnan(error)) for term in terms], axis=-1)


def pooled(moments: Float[Array, '*batch 8']) -> dict[str, Float[np.ndarray, '*batch']]:
    """Returns rmse, mse, mae, r2 and pearson, each `[...]`, over all values of the summed `moments` `[..., 8]`.

    The formulas, and the cases that give NaN, are those of the functions of the same names.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        count, *means = np.split(np.asarray(moments, float), 8, axis=-1)
        truth, prediction, truth2, prediction2, product, absolute, square = (mean / count for mean in means)
        truth_variance = _variance(truth, truth2)
        deviations = np.sqrt(truth_variance) * np.sqrt(_variance(prediction, prediction2))
        metrics = {
            'rmse': np.sqrt(square),
            'mse': square,
            'mae': absolute,
            'r2': 1 - square / truth_variance,
            'pearson': np.clip((product - truth * prediction) / deviations, -1, 1),
        }
    return {name: np.asarray(values[..., 0]) for name, values in metrics.items()}


def _variance(
    mean: Float[np.ndarray, '*batch 1'], mean_square: Float[np.ndarray, '*batch 1']
) -> Float[np.ndarray, '*batch 1']:
    """E[x^2] - E[x]^2; NaN if it is only rounding."""
    variance = mean_square - np.square(mean)
    return np.where(variance > 1e-6 * mean_square, variance, np.nan)
