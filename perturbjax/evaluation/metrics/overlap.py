"""Does a prediction move the readouts that truly respond? Pure functions of profiles `[..., M]`.

Nothing is sorted: on a CPU, counting what lies above a threshold a few times over is far cheaper.
"""

import jax
import jax.numpy as jnp

# The false discovery rate up to which a readout counts as responding.
LEVEL = 0.05


def significant(p_value: jax.Array, level: float = LEVEL) -> jax.Array:
    """Which of the p values `[..., M]` Benjamini and Hochberg's procedure accepts, bool; NaN is no test.

    Its threshold is the largest t = level / tests x (how many p are at most t), found from above.
    """
    tests = jnp.maximum((~jnp.isnan(p_value)).sum(axis=-1, keepdims=True), 1)

    def lower(thresholds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        _, threshold = thresholds
        return threshold, level * (p_value <= threshold).sum(axis=-1, keepdims=True) / tests

    start = jnp.full_like(p_value[..., :1], level)
    _, threshold = jax.lax.while_loop(lambda each: (each[0] != each[1]).any(), lower, lower((start, start)))
    return p_value <= threshold


def de_overlap(truth: jax.Array, prediction: jax.Array, control: jax.Array, p_value: jax.Array) -> jax.Array:
    """Of the N readouts that truly respond, the share among the N that the prediction moves most; 0 to 1.

    Higher is better; chance is N / M. `p_value` is that of the truth against control; readouts respond
    at a false discovery rate of 5%. A prediction's equal changes share the places they compete for.
    NaN where nothing responds, or everything that was tested. Source: the DE overlap of cell-eval.
    """
    seen = ~jnp.isnan(truth - prediction) & ~jnp.isnan(control)
    p_value = jnp.where(seen, p_value, jnp.nan)
    responds = significant(p_value)
    n = responds.sum(axis=-1, keepdims=True)
    size = jnp.where(jnp.isnan(p_value), -1, jnp.abs(prediction - control))
    last = nth_largest(size, n)
    above, tied = size > last, size == last
    places = (n - above.sum(axis=-1, keepdims=True)) / tied.sum(axis=-1, keepdims=True)
    share = jnp.where(above, 1.0, jnp.where(tied, places, 0.0))
    says_something = (n > 0) & (n < (~jnp.isnan(p_value)).sum(axis=-1, keepdims=True))
    return jnp.where(says_something[..., 0], (share * responds).sum(axis=-1) / n[..., 0], jnp.nan)


def nth_largest(values: jax.Array, n: jax.Array) -> jax.Array:
    """The n-th largest `[..., 1]` of values `[..., M]` (float32), for n `[..., 1]` up to how many are 0 or more.

    The bits of floats from 0 up are ordered as the numbers are, so they can be found one by one.
    """
    bits = jax.lax.bitcast_convert_type(jnp.asarray(values, jnp.float32), jnp.int32)

    def set_bit(place: jax.Array, found: jax.Array) -> jax.Array:
        tried = found | (1 << (30 - place))
        return jnp.where((bits >= tried).sum(axis=-1, keepdims=True) >= n, tried, found)

    found = jax.lax.fori_loop(0, 31, set_bit, jnp.zeros_like(bits[..., :1]))
    return jax.lax.bitcast_convert_type(found, jnp.float32)
