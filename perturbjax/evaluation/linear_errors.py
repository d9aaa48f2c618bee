"""Squared errors of many linear models that share their embeddings, without their predictions.

In one context a model predicts a base (the control and the mean change) and G z, with z = W p for a perturbation
whose embedding is p. With e what the base leaves over, and any c,

    |e - G z|^2 = |e - G c|^2 - 2 (z - c)' G' (e - G c) + (z - c)' G'G (z - c).

With the least squares solution as c nothing cancels, whatever z is. So all readouts are gone through once, and a
model costs R^2 for each profile. That holds where the same readouts are compared for all profiles; where values
are missing here and there, the predictions are made.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from perturbjax.models.linear import Params, Problem, sum_of_parts
from perturbjax.models.model import Query
from perturbjax.models.per_context import predict_contexts
from perturbjax.models.sums import columns, exact_matmul

# From z of every profile to its squared error.
Measure = Callable[[Float[jax.Array, 'T R']], Float[jax.Array, ' T']]


def squared_errors(
    posed: Params,
    left: Float[jax.Array, 'T M'],
    query: Query,
    of_models: Callable[[Problem, Float[jax.Array, 'T R2'], Measure], Float[jax.Array, '*models T']],
) -> Float[jax.Array, '*models T']:
    """The squared errors of all models over all readouts, of T profiles; 0 where nothing is compared.

    Args:
      posed: a `Problem` for every context of every screen.
      left: what the base leaves over; NaN where it is not compared.
      query: the T profiles.
      of_models: the errors of all models in one context, from its problem, the embeddings of the profiles'
        perturbations, and what measures z.
    """
    answering, number, total = _answering(posed, query), 0, jnp.zeros((), left.dtype)
    for each in posed.screens:
        column, _ = columns(each.readout, query.readout)

        def of_context(numbered: tuple[Problem, Float[jax.Array, '']], column=column) -> Float[jax.Array, '*models T']:
            problem, number = numbered
            compared = (answering == number) & ~jnp.isnan(left)
            measure = _measure(jnp.nan_to_num(problem.G)[column], jnp.where(compared, left, 0), compared)
            return of_models(problem, jnp.nan_to_num(sum_of_parts(problem.P, query.perturbation)), measure)

        total = total + jax.lax.map(of_context, (each.fits, number + jnp.arange(len(each.context)))).sum(axis=0)
        number += len(each.context)
    return total


def _answering(posed: Params, query: Query) -> Float[jax.Array, 'T M']:
    """The number of the context's fit that answers each value, counted over all screens; NaN where none does."""
    number, screens = 0, []
    for each in posed.screens:
        numbers = number + jnp.arange(len(each.context), dtype=each.fits.b.dtype)
        screens.append(each._replace(fits=(each.fits, numbers)))
        number += len(each.context)

    def answer(fit, column):
        problem, number = fit
        asked = jnp.isnan(sum_of_parts(problem.P, query.perturbation)).any(axis=1)
        unknown = jnp.isnan(problem.G).any(axis=1) | jnp.isnan(problem.b)
        return jnp.where(asked[:, None] | unknown[column][None, :], jnp.nan, number)

    return predict_contexts(tuple(screens), query, answer)


def _measure(G: Float[jax.Array, 'M R'], left: Float[jax.Array, 'T M'], compared: Bool[jax.Array, 'T M']) -> Measure:
    """What gives the squared errors of z."""
    profiles, readouts = compared.any(axis=1), compared.any(axis=0)
    G = jnp.where(readouts[:, None], G, 0)
    square = exact_matmul(G.T, G)
    # Any c will do: so much ridge keeps it finite, and the slope that is left takes part.
    ridge = jnp.maximum(jnp.finfo(G.dtype).eps * jnp.diagonal(square).max(), jnp.finfo(G.dtype).tiny)
    best = jnp.linalg.solve(square + ridge * jnp.eye(len(square), dtype=G.dtype), exact_matmul(left, G).T).T
    rest = left - exact_matmul(best, G.T)
    least, slope = (rest**2).sum(axis=1), exact_matmul(rest, G)

    def from_sums(z: Float[jax.Array, 'T R']) -> Float[jax.Array, ' T']:
        step = z - best
        return least + ((exact_matmul(step, square) - 2 * slope) * step).sum(axis=1)

    def from_predictions(z: Float[jax.Array, 'T R']) -> Float[jax.Array, ' T']:
        return (jnp.where(compared, left - exact_matmul(z, G.T), 0) ** 2).sum(axis=1)

    same_readouts = (compared == profiles[:, None] & readouts[None, :]).all()
    return lambda z: jnp.maximum(jax.lax.cond(same_readouts, from_sums, from_predictions, z), 0) * profiles
