"""The ridge rule: the change from control as a sum of effects, each shrunk as much as the training data ask for.

The change d = profile - control of its context is a linear function of indicator features: perturbed at all,
the context, being a combination, and each part. With one penalty for each of these four groups of features,

    W_m = (X' D_m X + L)^-1 X' D_m d_m        for each readout m,

where D_m leaves out what is not measured, or holds the weights of profiles, and L is diagonal. `leave_out` chooses the
penalties.

With combinations there is a second form, of what the additive model leaves over, fitted on combinations
alone. The form with the lower leave-out error predicts; where a part was not measured alone, the first one does.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_positive, check_range
from perturbjax.models.additive import additive
from perturbjax.models.baselines import Deltas, fit_deltas, in_context
from perturbjax.models.held_out_like import all_profiles, flat_values, flat_weight, held_out_like
from perturbjax.models.leave_out import Regression, choose_penalties, leave_out_error, left_out_in_turn, solve, times
from perturbjax.models.model import Masks, Model, Query
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID, Vocabulary

GROUPS = ('perturbed', 'context', 'combination', 'part')


class Form(NamedTuple):
    """One form of the rule.

    Attributes:
      effects: W above, over all readouts of the vocabulary.
      error: its leave-out error; NaN where nothing could be left out.
      penalties: of `GROUPS`.
    """

    effects: Float[jax.Array, 'F U']
    error: Float[jax.Array, '']
    penalties: Float[jax.Array, '4']


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      deltas: of the training profiles; they give control, and the additive model.
      whole: effects on the change itself.
      left_over: effects on what the additive model leaves over; None without combinations.
    """

    deltas: Deltas
    whole: Form
    left_over: Form | None


def two_way(penalties: Sequence[float] = (), tuning_readouts: int = 32) -> Model:
    """The ridge rule over one or more screens; it answers for every name, an unseen one with an effect of 0.

    Args:
      penalties: four positive numbers in the order of `GROUPS`; chosen by the leave-out error if empty.
      tuning_readouts: how many readouts, spread over the vocabulary, choose the penalties.

    Raises:
      InputError: other than four positive penalties, or no readouts to choose by.

    Example:
      >>> rule = two_way(penalties=(1.0, 1.0, 1.0, 3.0))
    """
    if penalties and len(penalties) != len(GROUPS):
        raise InputError(f'models.two_way.penalties: {list(penalties)} must be 4 numbers: {", ".join(GROUPS)}.')
    check_positive('models.two_way', penalties=min(penalties, default=1))
    check_range('models.two_way', 1, tuning_readouts=tuning_readouts)

    return Model(functools.partial(fit, penalties=penalties, tuning_readouts=tuning_readouts), predict, refit=refit)


def fit(compendium: Compendium, training: Masks, penalties: Sequence[float] = (), tuning_readouts: int = 32) -> Params:
    """The rule with the penalties that have the lowest leave-out error, or with those given; see `two_way`."""
    left_out = left_out_in_turn(held_out_like(compendium, training), _num_slots(compendium))
    group = np.repeat(np.arange(len(GROUPS)), _sizes(compendium.vocabulary))

    def form(regression: Regression) -> Form:
        if penalties:
            chosen = jnp.asarray(penalties, regression.change.dtype)
        else:
            tuned = regression._replace(
                change=regression.change[:, spread_out(regression.change.shape[1], tuning_readouts)]
            )
            chosen = choose_penalties(tuned, left_out, group, len(GROUPS))
        error = leave_out_error(regression, left_out, chosen[group])
        return Form(solve(regression, chosen[group]), error, chosen)

    deltas, whole, left_over = _regressions(compendium, training)
    return Params(deltas, form(whole), None if left_over is None else form(left_over))


def refit(params: Params, compendium: Compendium, training: Masks) -> Params:
    """The rule with the same penalties, and the same form of it, on other training profiles."""
    group = np.repeat(np.arange(len(GROUPS)), _sizes(compendium.vocabulary))

    def again(form: Form, regression: Regression) -> Form:
        return form._replace(effects=solve(regression, form.penalties[group]))

    deltas, whole, left_over = _regressions(compendium, training)
    if params.left_over is None or left_over is None:
        return Params(deltas, again(params.whole, whole), None)
    return Params(deltas, again(params.whole, whole), again(params.left_over, left_over))


def spread_out(size: int, number: int) -> slice:
    """Up to so many of the indices below a size, evenly spread."""
    step = max(1, size // number)
    return slice(0, step * number, step)


def _sizes(names: Vocabulary) -> tuple[int, int, int, int]:
    """How many features each of `GROUPS` has."""
    return 1, len(names.contexts), 1, len(names.perturbations)


def _num_slots(compendium: Compendium) -> int:
    return sum(len(screen.present_contexts) for screen in compendium.screens)


def _regressions(compendium: Compendium, training: Masks) -> tuple[Deltas, Regression, Regression | None]:
    """The training changes, and what both forms regress; None without combinations."""
    deltas, names, profiles = fit_deltas(compendium, training), compendium.vocabulary, all_profiles(compendium)
    is_training = jnp.concatenate(deltas.training)
    ids = features(profiles.context, profiles.perturbation, len(names.contexts))
    control = in_context(deltas.control, profiles)
    change, weight = flat_values(compendium, profiles.readout) - control, flat_weight(compendium)
    whole = Regression(ids, change, is_training, sum(_sizes(names)), weight)
    if profiles.perturbation.shape[1] == 1:
        return deltas, whole, None
    additive_change = additive().predict(deltas, profiles) - control
    is_fitted = whole.is_training & is_combination(profiles.perturbation)
    return deltas, whole, whole._replace(change=whole.change - additive_change, is_training=is_fitted)


def predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    """Predictions; NaN where the control of a context, or a readout, is not known."""
    ids = features(query.context, query.perturbation, params.deltas.control[0].total.shape[0])
    control = in_context(params.deltas.control, query)
    answer = control + times(ids, params.whole.effects[:, query.readout])
    if params.left_over is not None:
        left_over = additive().predict(params.deltas, query) + times(ids, params.left_over.effects[:, query.readout])
        is_better = is_combination(query.perturbation)[:, None] & (params.left_over.error < params.whole.error)
        answer = jnp.where(is_better & jnp.isfinite(left_over), left_over, answer)
    is_control = (query.perturbation[:, 0] == CONTROL_ID)[:, None]
    return jnp.where(is_control | jnp.isnan(control), control, answer)


def is_combination(perturbation: Int[Array, 'Q K']) -> Bool[jax.Array, ' Q']:
    """Which perturbations have more than one part."""
    return jnp.asarray(perturbation > CONTROL_ID).sum(axis=1) > 1


def features(context: Int[Array, ' Q'], perturbation: Int[Array, 'Q K'], num_contexts: int) -> Int[jax.Array, 'Q 3+K']:
    """The numbers of each profile's features: perturbed, its context, combination, each part; -1 is none."""
    context, perturbation = jnp.asarray(context), jnp.asarray(perturbation)
    is_part = perturbation > CONTROL_ID
    is_perturbed, parts = is_part.any(axis=1), jnp.where(is_part, 2 + num_contexts + perturbation, -1)
    one = jnp.where(is_perturbed, 0, -1), jnp.where(is_perturbed, 1 + context, -1)
    both = jnp.where(is_combination(perturbation), 1 + num_contexts, -1)
    return jnp.concatenate([jnp.stack([*one, both], axis=1), parts], axis=1).astype(jnp.int32)
