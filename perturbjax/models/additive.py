"""The additive model: a combination does what its parts do, one on top of the other."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from perturbjax.models.baselines import Deltas, fit_deltas, in_context, mean_delta
from perturbjax.models.model import Model, Query
from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import CONTROL_ID, PADDING


def additive() -> Model:
    """Control plus the sum of the parts' single deltas in the same context, for combinations of any order.

    For a double this is y_A + y_B - y_control (Ahlmann-Eltze et al. 2025). NaN where a part was
    not measured alone in that context.
    """
    return Model(fit_deltas, _predict)


def _predict(params: Deltas, query: Query) -> Float[jax.Array, 'Q M']:
    def delta_of_part(part: Int[Array, ' Q']) -> Float[jax.Array, 'Q M']:
        alone = query._replace(perturbation=part[:, None])
        does_nothing = (part == PADDING) | (part == CONTROL_ID)
        return jnp.where(does_nothing[:, None], 0, mean_delta(params, alone, same_context=True))

    deltas = jax.vmap(delta_of_part, in_axes=1)(query.perturbation)
    return in_context(params.control, query) + deltas.sum(axis=0)
