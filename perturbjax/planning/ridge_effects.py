"""What the ridge rule (`two_way`) does not know once all profiles are measured that are.

The rule is the mean of a Bayesian regression, whose effects have the covariance sigma^2 (X'X + L)^-1. The penalties L
are those that were chosen on the training profiles; the covariance depends on no value, so that held-out profiles
count as measured, as they are. The likeliest sigma^2 of a readout, given L, is the mean over training profiles of

    change * (change - fitted change).

A profile counts as one of all readouts of the vocabulary: gaps do not count. A combination that was not there when the
rule was fitted has no effect of its own. Source: Bishop 2006, chapter 3.3.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.additive import additive
from perturbjax.models.baselines import in_context
from perturbjax.models.held_out_like import all_profiles, flat_values, flat_weight
from perturbjax.models.model import Query
from perturbjax.models.ridge import times
from perturbjax.models.two_way import Form, Params, features, groups_of, is_combination
from perturbjax.planning.greedy import Effects, Rows, gram
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium


def ridge_effects(
    params: Params, compendium: Compendium, is_measured: Bool[Array, ' N'], asked: Query
) -> tuple[Effects, Rows]:
    """The effects of the rule, and the rows of the pairs asked about.

    Where all of those are combinations and the form on what the additive model leaves over is the better one, it is
    that form's.

    Args:
      params: of the rule fitted on the training profiles.
      compendium: with the weights of profiles, if they have any.
      is_measured: which profiles of all screens.
      asked: the pairs.
    """
    every_combination = bool(is_combination(asked.perturbation).all())
    left_over = params.left_over
    is_better = left_over is not None and every_combination and bool(left_over.error < params.whole.error)
    effects = _effects(params, compendium, jnp.asarray(is_measured), is_better)
    return effects, rows_of(features(params, asked))


@functools.partial(jax.jit, static_argnames='is_left_over')
def _effects(params: Params, compendium: Compendium, is_measured: Bool[jax.Array, ' N'], is_left_over: bool) -> Effects:
    profiles = all_profiles(compendium)
    form = params.left_over if is_left_over else params.whole
    assert form is not None  # where it is asked for
    fitted = is_combination(profiles.perturbation) if is_left_over else jnp.ones_like(is_measured)
    ids, penalty = features(params, profiles), form.penalties[groups_of(compendium.vocabulary, params.known)]
    covariance = ridge_covariance(ids, is_measured & fitted, flat_weight(compendium), penalty)
    is_training = jnp.concatenate(params.deltas.training) & fitted
    unit = jnp.nanmean(_noise(params, form, compendium, ids, is_training, is_left_over))
    return Effects(covariance[None], jnp.ones(1), unit[None])


def ridge_covariance(
    ids: Int[Array, 'N J'],
    is_measured: Bool[Array, ' N'],
    weight: Float[Array, ' N'] | None,
    penalty: Float[Array, ' A'],
) -> Float[jax.Array, 'A A']:
    """`(X'WX + L)^-1` with the penalty of each feature, which may be infinite; `ids` as `two_way.features` has them."""
    rows, spread = rows_of(ids), 1 / jnp.sqrt(penalty)
    root = 1 if weight is None else jnp.sqrt(weight)[:, None]
    counted = jnp.where(jnp.asarray(is_measured)[:, None], rows.value[0] * root, 0)
    both = spread[:, None] * spread[None, :]
    eye = jnp.eye(len(penalty), dtype=spread.dtype)
    inner = eye + both * gram(rows._replace(value=counted[None]), len(penalty))[0]
    return both * jax.scipy.linalg.solve(inner, eye, assume_a='pos')


def rows_of(ids: Int[Array, 'N J']) -> Rows:
    """Rows with a one at each feature."""
    return Rows(jnp.maximum(ids, 0), (ids >= 0).astype(jnp.float32)[None])


def _noise(
    params: Params,
    form: Form,
    compendium: Compendium,
    ids: Int[jax.Array, 'N J'],
    is_training: Bool[jax.Array, ' N'],
    is_left_over: bool,
) -> Float[jax.Array, ' U']:
    """sigma^2 of each readout; NaN where nothing was measured."""
    profiles = all_profiles(compendium)
    start = additive().predict(params.deltas, profiles) if is_left_over else in_context(params.deltas.control, profiles)
    change = flat_values(compendium, profiles.readout) - start
    weight = flat_weight(compendium)
    each = change * (change - times(ids, form.effects)) * (1 if weight is None else weight[:, None])
    return jnp.nanmean(jnp.where(is_training[:, None], each, jnp.nan), axis=0)
