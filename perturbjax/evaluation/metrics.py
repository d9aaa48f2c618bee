"""How far a prediction is from the truth: pure functions of profiles `[..., M]` that give `[...]`.

A readout that is NaN in any argument is not compared. Where nothing is left to compare the value is
NaN, never 0. All arguments of one function have the same shape and the screen's unit.
The formulas are collected in Miladinovic et al. 2025, Ahlmann-Eltze et al. 2025 and Systema (2025).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Values that differ by less than this share of their size differ by float32 rounding only.
_ROUNDING = 1e-5


def mae(truth: jax.Array, prediction: jax.Array) -> jax.Array:
    """Mean absolute error, mean |y - yhat|; 0 or more, lower is better. Source: LPM's release."""
    return jnp.nanmean(jnp.abs(truth - prediction), axis=-1)


def mse(truth: jax.Array, prediction: jax.Array) -> jax.Array:
    """Mean squared error, mean (y - yhat)^2; 0 or more, lower is better. Source: LPM's loss."""
    return jnp.nanmean(jnp.square(truth - prediction), axis=-1)


def rmse(truth: jax.Array, prediction: jax.Array) -> jax.Array:
    """Root of `mse`; 0 or more, lower is better. Source: LPM's release."""
    return jnp.sqrt(mse(truth, prediction))


def r2(truth: jax.Array, prediction: jax.Array) -> jax.Array:
    """Share of the variance explained, 1 - sum (y - yhat)^2 / sum (y - mean y)^2; at most 1, higher is better.

    NaN where the truth is constant. Source: LPM's release.
    """
    error = truth - prediction
    seen = ~jnp.isnan(error)
    return 1 - jnp.nansum(jnp.square(error), axis=-1) / _spread(_centred(truth, seen), _largest(truth, seen))


def pearson(truth: jax.Array, prediction: jax.Array) -> jax.Array:
    """Pearson correlation cor(y, yhat); -1 to 1, higher is better. Source: LPM's release.

    NaN where either is constant, as it is with fewer than two values.
    """
    seen = ~jnp.isnan(truth - prediction)
    return _correlation(truth, prediction, seen, jnp.maximum(_largest(truth, seen), _largest(prediction, seen)))


def pearson_delta(truth: jax.Array, prediction: jax.Array, reference: jax.Array) -> jax.Array:
    """Correlation of the changes, cor(y - reference, yhat - reference); -1 to 1, higher is better.

    The reference is control (Ahlmann-Eltze et al. 2025) or the mean of the training perturbations
    (Systema). NaN where either change is constant, such as that of a prediction which is the reference.
    """
    change, predicted = truth - reference, prediction - reference
    seen = ~jnp.isnan(change - predicted)
    return _correlation(change, predicted, seen, jnp.maximum(_largest(truth, seen), _largest(reference, seen)))


def l2_top(truth: jax.Array, prediction: jax.Array, control: jax.Array | None, n: int = 1000) -> jax.Array:
    """Distance sqrt(sum (y - yhat)^2) over the n readouts highest in control; 0 or more, lower is better.

    The n are chosen among the measured readouts whatever the prediction, so a prediction with gaps sums
    fewer terms: compare it with another's over the same readouts. Readouts of equal level are taken in
    their order. All readouts count where there are fewer than n, or without control (a scale on which
    control has no level). Source: Ahlmann-Eltze et al. 2025.
    """
    squares = jnp.square(truth - prediction)
    if control is not None:
        level = jnp.where(jnp.isnan(truth) | jnp.isnan(control), -jnp.inf, control)
        level, top = jax.lax.top_k(level, min(n, level.shape[-1]))
        squares = jnp.where(level > -jnp.inf, jnp.take_along_axis(squares, top, axis=-1), jnp.nan)
    return jnp.sqrt(jnp.where(jnp.isnan(squares).all(axis=-1), jnp.nan, jnp.nansum(squares, axis=-1)))


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
    """rmse, mae, r2 and pearson over all values behind the summed `moments` `[..., 8]`; each `[...]`.

    As LPM's release computes them; formulas and NaN as in the functions of those names.
    """
    count, *means = jnp.moveaxis(moments, -1, 0)
    truth, prediction, truth2, prediction2, product, absolute, square = (mean / count for mean in means)
    truth_variance = _variance(truth, truth2)
    deviations = jnp.sqrt(truth_variance) * jnp.sqrt(_variance(prediction, prediction2))
    return {
        'rmse': jnp.sqrt(square),
        'mae': absolute,
        'r2': 1 - square / truth_variance,
        'pearson': jnp.clip((product - truth * prediction) / deviations, -1, 1),
    }


def _largest(values: jax.Array, seen: jax.Array) -> jax.Array:
    """The largest absolute value that is seen, `[...]`; 0 where none is."""
    return jnp.max(jnp.abs(jnp.where(seen, values, 0)), axis=-1)


def _centred(values: jax.Array, seen: jax.Array) -> jax.Array:
    """Values less the mean of those seen, and 0 where they are not seen."""
    mean = jnp.mean(values, axis=-1, where=seen, keepdims=True)
    return jnp.where(seen, values - mean, 0)


def _spread(centred: jax.Array, size: jax.Array) -> jax.Array:
    """The sum of squares `[...]`; NaN where it is but the rounding of numbers of that size `[...]`."""
    varies = _largest(centred, jnp.ones_like(centred, bool)) > _ROUNDING * size
    return jnp.where(varies, jnp.sum(centred * centred, axis=-1), jnp.nan)


def _correlation(x: jax.Array, y: jax.Array, seen: jax.Array, size: jax.Array) -> jax.Array:
    x, y = _centred(x, seen), _centred(y, seen)
    lengths = jnp.sqrt(_spread(x, size)) * jnp.sqrt(_spread(y, size))
    return jnp.clip(jnp.sum(x * y, axis=-1) / lengths, -1, 1)


def _variance(mean: jax.Array, mean_square: jax.Array) -> jax.Array:
    """E[x^2] - E[x]^2; NaN where rounding is all that is left of it."""
    variance = mean_square - jnp.square(mean)
    return jnp.where(variance > 1e-6 * mean_square, variance, jnp.nan)


class Comparison(NamedTuple):
    """What a metric may look at, each `[..., M]`.

    `perturbed_mean` is the mean of the training perturbations' profiles in the context; `level` is
    control where readouts can be ranked by it, else None.
    """

    truth: jax.Array
    prediction: jax.Array
    control: jax.Array
    perturbed_mean: jax.Array
    level: jax.Array | None


class Metric(NamedTuple):
    """One metric of the tables.

    `of_profile` gives its value for each profile. Over many profiles it is their mean or, where it is
    `pooled`, the value of that name in `pooled()`. The definition is the sentence that reports print.
    """

    lower_is_better: bool
    pooled: bool
    of_profile: Callable[[Comparison], jax.Array]
    definition: str


METRICS = {
    'l2': Metric(
        True,
        False,
        lambda c: l2_top(c.truth, c.prediction, c.level),
        'Euclidean distance of prediction and truth over the 1,000 readouts highest in control (over all of them '
        'where there are fewer, or where the scale gives control no level); mean over profiles.',
    ),
    'rmse': Metric(
        True,
        True,
        lambda c: rmse(c.truth, c.prediction),
        'Root of the mean squared error over all values.',
    ),
    'mae': Metric(
        True,
        True,
        lambda c: mae(c.truth, c.prediction),
        'Mean absolute error over all values.',
    ),
    'r2': Metric(
        False,
        True,
        lambda c: r2(c.truth, c.prediction),
        'Share of the variance of all values that the prediction explains; 1 is perfect, 0 is as good as one constant.',
    ),
    'pearson': Metric(
        False,
        True,
        lambda c: pearson(c.truth, c.prediction),
        'Correlation of prediction and truth over all values; high for any prediction that knows which readouts are '
        'high, whatever the perturbation.',
    ),
    'pearson_delta': Metric(
        False,
        False,
        lambda c: pearson_delta(c.truth, c.prediction, c.control),
        'Correlation of the predicted and the true change from control; mean over profiles. It rewards what all '
        'perturbations have in common.',
    ),
    'pearson_delta_perturbed_mean': Metric(
        False,
        False,
        lambda c: pearson_delta(c.truth, c.prediction, c.perturbed_mean),
        'Correlation of the predicted and the true difference from the mean of the training perturbations; mean over '
        'profiles. It rewards only what is special to a perturbation.',
    ),
}
