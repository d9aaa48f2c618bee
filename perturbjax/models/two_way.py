"""The ridge rule: the change from control as a sum of effects, each shrunk as much as the training data ask for.

The change d = profile - control of its context is a linear function of indicator features: perturbed at all,
the context, being a combination, and each part; and, where a combination can be measured more than once, the whole
of it. With one penalty for each of these groups of features,

    W_m = (X' D_m X + L)^-1 X' D_m d_m        for each readout m,

where D_m leaves out what is not measured, or holds the weights of profiles, and L is diagonal. `leave_out` chooses the
penalties; that of whole combinations may be infinite, which is no effect of them. A context in which no perturbation
trains has no effect of its own.

With combinations there is a second form, of what the additive model leaves over, fitted on combinations
alone. The form with the lower leave-out error predicts; where a part was not measured alone, the first one does.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_positive, check_range
from perturbjax.models.additive import additive
from perturbjax.models.baselines import Deltas, fit_deltas, in_context
from perturbjax.models.factorization import distinct_rows, find_rows, most_combinations
from perturbjax.models.held_out_like import all_profiles, flat_values, flat_weight, held_out_like, make_folds
from perturbjax.models.leave_out import (
    choose_by_folds,
    choose_penalties,
    fold_error,
    leave_out_error,
    left_out_in_turn,
)
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.ridge import Regression, solve, times
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID, Vocabulary

GROUPS = ('perturbed', 'context', 'combination', 'part', 'whole')
_START = (1.0, 1.0, 1.0, 1.0, np.inf)
_NUM_FOLDS = 5


class Form(NamedTuple):
    """One form of the rule.

    Attributes:
      effects: W above, over all readouts of the vocabulary; those of the G whole combinations last.
      error: its leave-out error; NaN where nothing could be left out.
      penalties: of `GROUPS`, the last only where there are whole combinations.
    """

    effects: Float[jax.Array, 'A U']
    error: Float[jax.Array, '']
    penalties: Float[jax.Array, ' groups']


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      deltas: of the training profiles; they give control, and the additive model.
      whole: effects on the change itself.
      left_over: effects on what the additive model leaves over; None without combinations.
      known: the perturbations among which are the whole combinations, in order; None without effects of them.
    """

    deltas: Deltas
    whole: Form
    left_over: Form | None
    known: Int[jax.Array, 'G K'] | None


def two_way(penalties: Sequence[float] = (), tuning_readouts: int = 32) -> Model:
    """The ridge rule over one or more screens; it answers for every name, an unseen one with an effect of 0.

    Args:
      penalties: five positive numbers in the order of `GROUPS`, or four, for no effect of whole combinations;
        chosen by the leave-out error if empty.
      tuning_readouts: how many readouts, spread over the vocabulary, choose the penalties.

    Raises:
      InputError: other than four or five positive penalties, or no readouts to choose by.

    Example:
      >>> rule = two_way(penalties=(1.0, 1.0, 1.0, 3.0))
    """
    if penalties and len(penalties) not in (len(GROUPS) - 1, len(GROUPS)):
        raise InputError(f'models.two_way.penalties: {list(penalties)} must be 4 or 5 numbers: {", ".join(GROUPS)}.')
    check_positive('models.two_way', penalties=min(penalties, default=1))
    check_range('models.two_way', 1, tuning_readouts=tuning_readouts)

    return Model(functools.partial(fit, penalties=penalties, tuning_readouts=tuning_readouts), predict, refit=refit)


def fit(compendium: Compendium, training: Masks, penalties: Sequence[float] = (), tuning_readouts: int = 32) -> Params:
    """The rule with the penalties that have the lowest leave-out error, or with those given; see `two_way`."""
    like = held_out_like(compendium, training)
    left_out, folds = left_out_in_turn(like, _num_slots(compendium)), make_folds(like, _NUM_FOLDS)
    deltas, known, whole, left_over = _regressions(compendium, training)
    group = groups_of(compendium.vocabulary, known)
    num_groups = group[-1] + 1

    def either(by_folds: Callable[[], jax.Array], in_turn: Callable[[], jax.Array]) -> jax.Array:
        # Fewer than three contexts cannot hold out one and leave two to learn from.
        return (
            in_turn() if len(compendium.vocabulary.contexts) < 3 else jax.lax.cond(like.by_context, by_folds, in_turn)
        )

    def form(regression: Regression) -> Form:
        if penalties:
            chosen = jnp.asarray([*penalties, np.inf][:num_groups], regression.change.dtype)
        else:
            readouts = spread_out(regression.change.shape[1], tuning_readouts)
            tuned, start = regression._replace(change=regression.change[:, readouts]), _START[:num_groups]
            chosen = either(
                lambda: choose_by_folds(tuned, folds, group, start),
                lambda: choose_penalties(tuned, left_out, group, start),
            )
        error = either(
            lambda: fold_error(regression, folds, chosen[group]),
            lambda: leave_out_error(regression, left_out, chosen[group]),
        )
        return Form(solve(regression, chosen[group]), error, chosen)

    if left_over is None:
        return Params(deltas, form(whole), None, known)
    return Params(deltas, *_of_both(form, whole, left_over), known)


def refit(params: Params, compendium: Compendium, training: Masks) -> Params:
    """The rule with the same penalties, and the same form of it, on other training profiles."""
    deltas, known, whole, left_over = _regressions(compendium, training)
    group = groups_of(compendium.vocabulary, known)

    def again(regression: Regression, form: Form) -> Form:
        return form._replace(effects=solve(regression, form.penalties[group]))

    if params.left_over is None or left_over is None:
        return Params(deltas, again(whole, params.whole), None, known)
    return Params(deltas, *_of_both(again, whole, left_over, params.whole, params.left_over), known)


def _of_both(
    function: Callable[..., Form], whole: Regression, left_over: Regression, *forms: Form
) -> tuple[Form, Form]:
    """The function of each regression, and of its form if there are any, as one program that is compiled once."""
    own: list[tuple[Form, ...]] = [(form,) for form in forms] or [(), ()]

    def of_one(each: tuple[Any, ...]) -> Form:
        change, is_training, *form = each
        return function(whole._replace(change=change, is_training=is_training), *form)

    each = [(one.change, one.is_training, *form) for one, form in zip((whole, left_over), own, strict=True)]
    both = jax.lax.map(of_one, jax.tree.map(lambda *pair: jnp.stack(pair), *each))
    first, second = (jax.tree.map(lambda pair, number=number: pair[number], both) for number in range(2))
    return first, second


def spread_out(size: int, number: int) -> slice:
    """Up to so many of the indices below a size, evenly spread."""
    step = max(1, size // number)
    return slice(0, step * number, step)


def _sizes(names: Vocabulary) -> tuple[int, int, int, int]:
    """How many features each of `GROUPS` has, but for the wholes."""
    return 1, len(names.contexts), 1, len(names.perturbations)


def groups_of(names: Vocabulary, known: Int[Array, 'G K'] | None) -> Int[np.ndarray, ' A']:
    """The group of each feature, as a number in `GROUPS`; `known` is that of `Params`."""
    return np.repeat(np.arange(len(GROUPS)), (*_sizes(names), 0 if known is None else len(known)))


def _num_slots(compendium: Compendium) -> int:
    return sum(len(screen.present_contexts) for screen in compendium.screens)


def _whole_combinations(compendium: Compendium) -> Int[jax.Array, 'G K'] | None:
    """The perturbations, if combinations among them can be measured twice: in two contexts or screens; else None."""
    perturbation = all_profiles(compendium).perturbation
    if perturbation.shape[1] == 1 or _num_slots(compendium) == 1:
        return None
    size = most_combinations(len(compendium.vocabulary.perturbations), perturbation.shape[1], len(perturbation))
    return distinct_rows(perturbation, size)


def _regressions(
    compendium: Compendium, training: Masks
) -> tuple[Deltas, Int[jax.Array, 'G K'] | None, Regression, Regression | None]:
    """The training changes, the whole combinations, and what both forms regress; None without combinations."""
    deltas, names, profiles = fit_deltas(compendium, training), compendium.vocabulary, all_profiles(compendium)
    known, is_training = _whole_combinations(compendium), jnp.concatenate(deltas.training)
    ids = _features(profiles, len(names.contexts), len(names.perturbations), known)
    control = in_context(deltas.control, profiles)
    change, weight = flat_values(compendium, profiles.readout) - control, flat_weight(compendium)
    whole = Regression(ids, change, is_training, sum(_sizes(names)), 0 if known is None else len(known), weight)
    if profiles.perturbation.shape[1] == 1:
        return deltas, known, whole, None
    additive_change = additive().predict(deltas, profiles) - control
    is_fitted = whole.is_training & is_combination(profiles.perturbation)
    left_over = whole._replace(change=whole.change - additive_change, is_training=is_fitted)
    return deltas, known, whole, left_over


def predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    """Predictions; NaN where the control of a context, or a readout, is not known."""
    ids = features(params, query)
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


def features(params: Params, query: Query) -> Int[jax.Array, 'Q J']:
    """The numbers of each profile's features among the effects; -1 is none."""
    num_contexts = params.deltas.control[0].total.shape[0]
    others = 2 + num_contexts + (0 if params.known is None else len(params.known))
    return _features(query, num_contexts, len(params.whole.effects) - others, params.known)


def _features(
    query: Query, num_contexts: int, num_perturbations: int, known: Int[Array, 'G K'] | None
) -> Int[jax.Array, 'Q J']:
    """Perturbed, its context, combination, each part, and, where wholes are `known`, the whole combination."""
    context, perturbation = jnp.asarray(query.context), jnp.asarray(query.perturbation)
    is_part, is_combined = perturbation > CONTROL_ID, is_combination(perturbation)
    is_perturbed, parts = is_part.any(axis=1), jnp.where(is_part, 2 + num_contexts + perturbation, -1)
    one = jnp.where(is_perturbed, 0, -1), jnp.where(is_perturbed, 1 + context, -1)
    both = jnp.where(is_combined, 1 + num_contexts, -1)
    columns = [jnp.stack([*one, both], axis=1), parts]
    if known is not None:
        place, there = find_rows(known, perturbation)
        whole = jnp.where(is_combined & there, 2 + num_contexts + num_perturbations + place, -1)
        columns.append(whole[:, None])
    return jnp.concatenate(columns, axis=1).astype(jnp.int32)
