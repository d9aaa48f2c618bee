"""Whether a prediction changes the readouts that truly respond: pure functions of profiles `[..., M]`."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from perturbjax.evaluation.metrics.highest import highest
from perturbjax.screens.arrays import Array

# Readouts respond up to this false discovery rate.
LEVEL = 0.05


def significant(p_value: Float[Array, '*batch M'], level: float = LEVEL) -> Bool[Array, '*batch M']:
    """Which of the p values `[..., M]` are significant by Benjamini and Hochberg's procedure, bool.

    NaN counts as no test. The threshold is the largest t with t = level / tests x (number of p up to t); it is
    found from above.
    """
    tests = jnp.maximum((~jnp.isnan(p_value)).sum(axis=-1, keepdims=True), 1)

    def lower(
        thresholds: tuple[Float[jax.Array, '*batch 1'], Float[jax.Array, '*batch 1']],
    ) -> tuple[Float[jax.Array, '*batch 1'], Float[jax.Array, '*batch 1']]:
        _, threshold = thresholds
        return threshold, level * (p_value <= threshold).sum(axis=-1, keepdims=True) / tests

    start = jnp.full_like(p_value[..., :1], level)
    _, threshold = jax.lax.while_loop(lambda each: (each[0] != each[1]).any(), lower, lower((start, start)))
    return p_value <= threshold


def de_overlap(
    truth: Float[Array, '*batch M'],
    prediction: Float[Array, '*batch M'],
    control: Float[Array, '*batch M'],
    p_value: Float[Array, '*batch M'],
) -> Float[jax.Array, '*batch']:
    """The share of the N readouts that truly respond which are among the N that the prediction changes most.

    0 to 1, higher is better, chance is N / M. Readouts respond at a false discovery rate of 5%. Readouts with
    equal predicted changes share the ranks that they compete for. NaN if no tested readout responds, or if all
    of them do. Source: the DE overlap of cell-eval.

    Args:
      truth, prediction, control: profiles `[..., M]`.
      p_value: p value of the truth against control, `[..., M]`.
    """
    seen = ~jnp.isnan(truth - prediction) & ~jnp.isnan(control)
    p_value = jnp.where(seen, p_value, jnp.nan)
    responds = significant(p_value)
    n = responds.sum(axis=-1, keepdims=True)
    above, tied = highest(jnp.where(jnp.isnan(p_value), -1, jnp.abs(prediction - control)), n)
    tied_share = (n - above.sum(axis=-1, keepdims=True)) / tied.sum(axis=-1, keepdims=True)
    share = jnp.where(above, 1.0, jnp.where(tied, tied_share, 0.0))
    says_something = (n > 0) & (n < (~jnp.isnan(p_value)).sum(axis=-1, keepdims=True))
    return jnp.where(says_something[..., 0], (share * responds).sum(axis=-1) / n[..., 0], jnp.nan)
