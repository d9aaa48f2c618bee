"""What the kernel rule (`kernel`) does not know once all profiles are measured that are.

The rule is the mean of a Gaussian process over perturbations: with n_i profiles of perturbation i, covariance
t^2 k(x, y) and the noise t^2 penalty of a profile, what is left of the covariance is, in units of t^2,

    K - K R (penalty + R K R)^-1 R K,    R = diag(sqrt(n)).

Length and penalty are those chosen on the training profiles; the likeliest t^2 given them is the mean of r_i a_i. Each
screen has a process of its own. What is not known of a context's mean does not count. Source: Rasmussen and Williams
2006, equation 2.24.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.held_out_like import by_screen, held_out_like
from perturbjax.models.kernel import OfScreen, Params, chosen, rows_of, squared_distances
from perturbjax.models.linear import sum_of_parts
from perturbjax.models.model import Masks, Query
from perturbjax.models.sums import equal_rows, exact_matmul, pad_parts
from perturbjax.planning.greedy import Effects, Rows
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen


@jax.jit
def kernel_effects(
    params: Params, compendium: Compendium, training: Masks, is_measured: Bool[Array, ' N'], asked: Query
) -> tuple[Effects, Rows]:
    """The values of the process, an effect for each perturbation of a screen or a pair, and the pairs' rows.

    A pair tells nothing where its perturbation has no embedding, or of a screen that does not have its context.

    Args:
      params: of the rule fitted on the training profiles.
      compendium, training: what it was fitted on.
      is_measured: which profiles of all screens.
      asked: the pairs.
    """
    width = max(asked.perturbation.shape[1], *(screen.perturbation.shape[1] for screen in compendium.screens))
    of_screens = [pad_parts(screen.perturbation, width) for screen in compendium.screens]
    names = jnp.concatenate([*of_screens, pad_parts(asked.perturbation, width)])
    number = equal_rows(names)
    vectors = jnp.zeros((len(names), params.table.shape[1]), params.table.dtype)
    vectors = vectors.at[number].set(sum_of_parts(params.table, names))
    own, wanted = jnp.split(number, [len(is_measured)])
    like = by_screen(compendium, held_out_like(compendium, training).is_like)
    rows = [
        rows_of(screen, jnp.asarray(mask), jnp.asarray(each), params.centre.perturbed, params.table)
        for screen, mask, each in zip(compendium.screens, training, like, strict=True)
    ]
    there = by_screen(compendium, jnp.asarray(is_measured)), by_screen(compendium, own)
    parts = [
        _of_screen(screen, fitted, chosen(row)[1], row.value, vectors, mask, ids)
        for screen, fitted, row, mask, ids in zip(compendium.screens, params.screens, rows, *there, strict=True)
    ]
    has = ~jnp.isnan(vectors).any(axis=1)[wanted]
    here = jnp.stack([jnp.isin(asked.context, jnp.asarray(screen.present_contexts)) for screen in compendium.screens])
    value = (here & has[None]).astype(params.table.dtype)[:, :, None]
    return Effects(*map(jnp.stack, zip(*parts))), Rows(wanted[:, None], value)


def _of_screen(
    screen: Screen,
    fitted: OfScreen,
    penalty: Float[jax.Array, ''],
    value: Float[jax.Array, 'I m'],
    vectors: Float[jax.Array, 'E D'],
    is_measured: Bool[Array, ' N'],
    number: Int[Array, ' N'],
) -> tuple[Float[jax.Array, 'E E'], Float[jax.Array, ''], Float[jax.Array, '']]:
    """Covariance, noise and unit of one screen."""
    has = ~jnp.isnan(vectors).any(axis=1)
    each = 1 if screen.weight is None else jnp.asarray(screen.weight)
    count = jnp.zeros(len(vectors), vectors.dtype).at[number].add(jnp.where(is_measured & has[number], each, 0))
    known = jnp.where(has[:, None], vectors, 0)
    prior = jnp.exp(-squared_distances(known, known) / (2 * fitted.length**2))
    covariance = left_of(prior, count, penalty)
    is_fitted = (fitted.weights != 0).any(axis=1)
    unit = (value * fitted.weights).sum() / jnp.maximum(is_fitted.sum(), 1) / value.shape[1]
    return covariance, penalty, jnp.maximum(unit, 0)


def left_of(
    prior: Float[Array, 'E E'], count: Float[Array, ' E'], penalty: Float[Array, '']
) -> Float[jax.Array, 'E E']:
    """The covariance that so many profiles of each leave."""
    prior, root = jnp.asarray(prior), jnp.sqrt(count)
    inner = root[:, None] * prior * root[None, :] + penalty * jnp.eye(len(prior), dtype=prior.dtype)
    told = root[:, None] * prior
    return prior - exact_matmul(told.T, jax.scipy.linalg.solve(inner, told, assume_a='pos'))
