"""Many small systems of linear equations at once."""

import jax
import jax.numpy as jnp
from jaxtyping import Float


def solve_each(systems: Float[jax.Array, 'T G G'], right: Float[jax.Array, 'T G u']) -> Float[jax.Array, 'T G u']:
    """The solutions of many small positive definite systems, by elimination of all at once.

    LAPACK would take them one by one, which is slow.
    """
    joined = jnp.concatenate([systems, right], axis=2)

    def eliminate(i: jax.Array, joined: jax.Array) -> jax.Array:
        pivot = joined[:, i] / joined[:, i, i][:, None]
        others = joined - joined[:, :, i][:, :, None] * pivot[:, None, :]
        return others.at[:, i].set(pivot)

    return jax.lax.fori_loop(0, systems.shape[1], eliminate, joined)[:, :, systems.shape[1] :]
