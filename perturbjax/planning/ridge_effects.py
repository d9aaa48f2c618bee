"""What the ridge rule (`two_way`) does not know once all profiles are measured that are.

The rule is the mean of a Bayesian regression, whose effects have the covariance sigma^2 (X'X + L)^-1. The penalties L
are those that were chosen on the training profiles; the covariance depends on no value, so that held-out profiles
count as measured, as they are. The likeliest sigma^2 of a readout, given L, is the mean over training profiles of

    change * (change - fitted change).

A profile counts as one of all readouts of the vocabulary: gaps do not count. Source: Bishop 2006, chapter 3.3.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.models.additive import additive
from perturbjax.models.baselines import in_context
from perturbjax.models.held_out_like import all_profiles, flat_values, flat_weight
from perturbjax.models.leave_out import times
from perturbjax.models.model import Query
from perturbjax.models.two_way import Form, Params, features, is_combination
from perturbjax.planning.greedy import Effects, Rows, gram
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import Vocabulary


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
    return effects, rows_of(asked, len(compendium.vocabulary.contexts))


@functools.partial(jax.jit, static_argnames='is_left_over')
def _effects(params: Params, compendium: Compendium, is_measured: Bool[jax.Array, ' N'], is_left_over: bool) -> Effects:
    profiles = all_profiles(compendium)
    form = params.left_over if is_left_over else params.whole
    assert form is not None  # where it is asked for
    fitted = is_combination(profiles.perturbation) if is_left_over else jnp.ones_like(is_measured)
    covariance = ridge_covariance(
        profiles, is_measured & fitted, flat_weight(compendium), form.penalties, compendium.vocabulary
    )
    is_training = jnp.concatenate(params.deltas.training) & fitted
    unit = jnp.nanmean(_noise(params, form, compendium, profiles, is_training, is_left_over))
    return Effects(covariance[None], jnp.ones(1), unit[None])


def ridge_covariance(
    profiles: Query,
    is_measured: Bool[Array, ' N'],
    weight: Float[Array, ' N'] | None,
    penalties: Float[Array, ' groups'],
    names: Vocabulary,
) -> Float[jax.Array, 'F F']:
    """`(X'WX + L)^-1` with the penalty of each group of features; effects of whole combinations are not counted."""
    rows = rows_of(profiles, len(names.contexts))
    root = 1 if weight is None else jnp.sqrt(weight)[:, None]
    counted = jnp.where(jnp.asarray(is_measured)[:, None], rows.value[0] * root, 0)
    sizes = 1, len(names.contexts), 1, len(names.perturbations)  # the layout of `two_way.features`
    precision = jnp.diag(jnp.asarray(penalties)[np.repeat(np.arange(len(sizes)), sizes)])
    precision = precision + gram(rows._replace(value=counted[None]), len(precision))[0]
    return jax.scipy.linalg.solve(precision, jnp.eye(len(precision), dtype=precision.dtype), assume_a='pos')


def rows_of(asked: Query, num_contexts: int) -> Rows:
    """The indicator features of pairs."""
    ids = features(asked.context, asked.perturbation, num_contexts)
    return Rows(jnp.maximum(ids, 0), (ids >= 0).astype(jnp.float32)[None])


def _noise(
    params: Params,
    form: Form,
    compendium: Compendium,
    profiles: Query,
    is_training: Bool[jax.Array, ' N'],
    is_left_over: bool,
) -> Float[jax.Array, ' U']:
    """sigma^2 of each readout; NaN where nothing was measured."""
    start = additive().predict(params.deltas, profiles) if is_left_over else in_context(params.deltas.control, profiles)
    change = flat_values(compendium, profiles.readout) - start
    ids: Int[jax.Array, 'N J'] = features(profiles.context, profiles.perturbation, len(compendium.vocabulary.contexts))
    weight = flat_weight(compendium)
    each = change * (change - times(ids, form.effects)) * (1 if weight is None else weight[:, None])
    return jnp.nanmean(jnp.where(is_training[:, None], each, jnp.nan), axis=0)
