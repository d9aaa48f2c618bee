"""Metrics over the readouts that respond most strongly, as GEARS reports them: pure functions of `[..., M]`.

The 20 readouts are those with the largest absolute t statistic of the truth against control, by Welch's test, among
the measured ones and whatever the prediction; equal ones are taken in their order. A prediction with gaps is therefore
compared over fewer. NaN where no statistic is known, as without replicates. Source: Roohani et al. 2024, release.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from perturbjax.evaluation.metrics.correlations import pearson
from perturbjax.evaluation.metrics.distances import mse
from perturbjax.evaluation.metrics.highest import first_highest
from perturbjax.screens.arrays import Array

STRONGEST = 20


def mse_strongest(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    statistic: Float[Array, '*batch M'],
    n: int = STRONGEST,
) -> Float[jax.Array, '*batch']:
    """Mean squared error over the n strongest readouts; 0 or more, lower is better."""
    return mse(_strongest(truth, statistic, n), prediction)


def pearson_strongest(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    statistic: Float[Array, '*batch M'],
    n: int = STRONGEST,
) -> Float[jax.Array, '*batch']:
    """Correlation of the values themselves, not of their changes, over the n strongest readouts.

    -1 to 1, higher is better. NaN if either is constant, where GEARS writes 0.
    """
    return pearson(_strongest(truth, statistic, n), prediction)


def opposite_strongest(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    statistic: Float[Array, '*batch M'],
    n: int = STRONGEST,
) -> Float[jax.Array, '*batch']:
    """The share of the n strongest readouts whose predicted change has the opposite sign; 0 to 1, lower is better.

    A prediction without change is not opposite to anything.
    """
    product = jnp.sign(_strongest(truth, statistic, n) - control) * jnp.sign(prediction - control)
    return jnp.nanmean(jnp.where(jnp.isnan(product), jnp.nan, product < 0), axis=-1)


def _strongest(truth: Array, statistic: Array, n: int) -> Float[jax.Array, '*batch M']:
    """The truth where the readout is one of the n strongest, else NaN."""
    strength = jnp.where(jnp.isnan(truth + statistic), -1, jnp.abs(statistic))
    is_strong: Bool[jax.Array, '*batch M'] = (strength >= 0) & first_highest(strength, n)
    return jnp.where(is_strong, truth, jnp.nan)
