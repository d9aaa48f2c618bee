"""Does a prediction move the readouts that respond, and in their direction? Pure functions of profiles `[..., M]`.

Readouts respond at a false discovery rate of 5%, see `overlap.significant`; without replicates none is known to. A
readout that is NaN in any argument is not compared. If nothing is left to compare, the value is NaN, never 0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from perturbjax.evaluation.metrics.correlations import pearson
from perturbjax.evaluation.metrics.overlap import significant
from perturbjax.evaluation.metrics.ranks import average_precision, average_ranks, roc_auc
from perturbjax.screens.arrays import Array


def de_direction_match(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    p_value: Float[Array, '*batch M'],
) -> Float[jax.Array, '*batch']:
    """The share of the responding readouts whose predicted change has the sign of the true one.

    0 to 1, higher is better; a prediction without change has no sign, which is wrong. NaN if no readout responds.
    Source: DE direction match of cell-eval.
    """
    responds, _ = _responding(truth, prediction, control, p_value)
    same = jnp.sign(truth - control) == jnp.sign(prediction - control)
    return (same & responds).sum(axis=-1) / _or_nan(responds.sum(axis=-1))


def de_spearman(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    p_value: Float[Array, '*batch M'],
) -> Float[jax.Array, '*batch']:
    """Spearman's correlation of the true and the predicted change over the responding readouts; -1 to 1.

    Higher is better. NaN if fewer than two readouts respond, or if either change is constant over them. Source: the
    correlation of log fold changes of cell-eval; the change from control is one on logarithmic scales.
    """
    responds, _ = _responding(truth, prediction, control, p_value)
    ranks = (average_ranks(change, responds) for change in (truth - control, prediction - control))
    return pearson(*(jnp.where(responds, each, jnp.nan) for each in ranks))


def de_roc_auc(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    p_value: Float[Array, '*batch M'],
) -> Float[jax.Array, '*batch']:
    """How often a responding readout is predicted to change more than another one does: `ranks.roc_auc`.

    The score is the absolute predicted change. cell-eval scores by the p value of the predicted cells instead, which a
    profile does not have.
    """
    responds, seen = _responding(truth, prediction, control, p_value)
    return roc_auc(jnp.abs(prediction - control), responds, seen)


def de_pr_auc(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    p_value: Float[Array, '*batch M'],
) -> Float[jax.Array, '*batch']:
    """The precision of the readouts predicted to change most, averaged over those that respond.

    By `ranks.average_precision`, with the score of `de_roc_auc`.
    """
    responds, seen = _responding(truth, prediction, control, p_value)
    return average_precision(jnp.abs(prediction - control), responds, seen)


def _responding(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    p_value: Float[Array, '*batch M'],
) -> tuple[Bool[jax.Array, '*batch M'], Bool[jax.Array, '*batch M']]:
    """Which readouts respond, and which were tested, among those that are compared."""
    p_value = p_value + 0 * (truth + prediction + control)
    return jnp.asarray(significant(p_value)), ~jnp.isnan(p_value)


def _or_nan(number: jax.Array) -> Float[jax.Array, '*batch']:
    """The number, or NaN if it is 0."""
    return jnp.where(number > 0, number, jnp.nan)
