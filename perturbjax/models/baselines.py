"""The simplest rules that could have answered; every score stands beside them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import (
    LARGE_TABLE,
    Sums,
    add_up,
    add_up_groups,
    equal_rows,
    mean_of,
    mean_over,
    one_hot,
    pad_parts,
    same_combination,
    weighed,
)
from perturbjax.screens.arrays import Array
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID
from perturbjax.screens.weights import LEAST


def control_sums(compendium: Compendium, training: Masks) -> tuple[Sums, ...]:
    """The control of each context, `[C, M]` for each screen; 0 if the scale defines it and no row measures it."""
    return tuple(
        _control(screen, mask, len(compendium.vocabulary.contexts))
        for screen, mask in zip(compendium.screens, training, strict=True)
    )


def _control(screen: Screen, mask: Bool[Array, ' N'], num_contexts: int) -> Sums:
    is_control = jnp.asarray(screen.perturbation)[:, 0] == CONTROL_ID
    sums = by_context(screen, mask & is_control, num_contexts)
    if not find_scale(screen.scale).control_is_zero:
        return sums
    here = jnp.zeros((num_contexts, 1), bool).at[jnp.array(screen.present_contexts)].set(True)
    return sums._replace(number=jnp.where(here & (sums.number == 0), 1, sums.number))


def by_context(screen: Screen, mask: Bool[Array, ' N'], num_contexts: int) -> Sums:
    """Sums of the profiles of a screen that the mask chooses, in each context, `[C, M]`."""
    values, context = jnp.asarray(screen.values), jnp.asarray(screen.context)
    if num_contexts * len(context) > LARGE_TABLE:
        group = jnp.where(mask, context, num_contexts)
        return add_up_groups(values, group, num_contexts, jnp.asarray(screen.readout), screen.weight)
    members = weighed(one_hot(context, num_contexts, values.dtype), screen.weight).T * mask[None, :]
    return add_up(values, members, jnp.asarray(screen.readout))


def in_context(sums: tuple[Sums, ...], query: Query) -> Float[jax.Array, 'Q M']:
    """The mean in each query's own context, from sums by context."""
    return mean_of(sums, (jnp.asarray(query.context),) * len(sums), query.readout)


def no_change() -> Model:
    """Nothing happens: the control profile of the query's context."""
    return Model(control_sums, in_context)


def context_mean() -> Model:
    """The mean of the training perturbations' profiles in the query's context."""
    return Model(perturbed_sums, in_context)


def mean() -> Model:
    """The mean of the training perturbations' profiles over all contexts."""

    return Model(perturbed_sums, _everywhere)


def _everywhere(sums: tuple[Sums, ...], query: Query) -> Float[jax.Array, 'Q M']:
    ones = jnp.ones((len(query.context), sums[0].total.shape[0]), sums[0].total.dtype)
    return mean_over(sums, (ones,) * len(sums), query.readout)


def perturbed_sums(compendium: Compendium, training: Masks) -> tuple[Sums, ...]:
    """The training perturbations (not control) by context, `[C, M]` for each screen."""
    return tuple(
        by_context(
            screen, mask & (jnp.asarray(screen.perturbation)[:, 0] != CONTROL_ID), len(compendium.vocabulary.contexts)
        )
        for screen, mask in zip(compendium.screens, training, strict=True)
    )


class Deltas(NamedTuple):
    """What training perturbations did: one entry per screen in each field.

    Attributes:
      control: sums by context.
      delta: profile minus its context's control, `[N, M]` as sums of single profiles.
      context: ids.
      perturbation: ids.
      training: which profiles train; control is left out.
    """

    control: tuple[Sums, ...]
    delta: tuple[Sums, ...]
    context: tuple[Int[jax.Array, ' _N'], ...]
    perturbation: tuple[Int[jax.Array, '_N K'], ...]
    training: Masks


def delta(screen: Screen, control: tuple[Sums, ...]) -> Float[jax.Array, 'N M']:
    """A screen's profiles minus the control of their own contexts; NaN where either is not measured."""
    own = Query(jnp.asarray(screen.context), jnp.asarray(screen.perturbation), jnp.asarray(screen.readout))
    return jnp.asarray(screen.values) - in_context(control, own)


def fit_deltas(compendium: Compendium, training: Masks) -> Deltas:
    """Profiles minus the control of their own context."""
    control = control_sums(compendium, training)
    screens = compendium.screens
    return Deltas(
        control=control,
        delta=tuple(_as_sums(delta(screen, control), screen) for screen in screens),
        context=tuple(jnp.asarray(screen.context) for screen in screens),
        perturbation=tuple(jnp.asarray(screen.perturbation) for screen in screens),
        training=tuple(
            mask & (jnp.asarray(screen.perturbation)[:, 0] != CONTROL_ID) for screen, mask in zip(screens, training)
        ),
    )


def _as_sums(values: Float[jax.Array, 'N M'], screen: Screen) -> Sums:
    """Every profile as a group of its own."""
    total, number = jnp.nan_to_num(values), (~jnp.isnan(values)).astype(values.dtype)
    return Sums(weighed(total, screen.weight), weighed(number, screen.weight), jnp.asarray(screen.readout))


def mean_delta(params: Deltas, query: Query, same_context: bool) -> Float[jax.Array, 'Q M']:
    """The mean training delta of each query's perturbation, in its own or in the other contexts."""
    if len(query.context) * max(map(len, params.context)) > LARGE_TABLE:
        return _mean_delta_of_groups(params, query, same_context)

    def weights(context, perturbation, training):
        here = query.context[:, None] == context[None, :]
        match = same_combination(query.perturbation, perturbation) & training[None, :]
        return (match & (here if same_context else ~here)).astype(params.delta[0].total.dtype)

    chosen = tuple(map(weights, params.context, params.perturbation, params.training))
    return mean_over(params.delta, chosen, query.readout)


def _mean_delta_of_groups(params: Deltas, query: Query, same_context: bool) -> Float[jax.Array, 'Q M']:
    """The same without a table of queries x profiles: by sorting, and sums over equal rows."""
    groups = list[tuple[Sums, Int[jax.Array, ' Q']]]()
    for delta, context, perturbation, training in zip(
        params.delta, params.context, params.perturbation, params.training
    ):
        asked = jnp.asarray(query.perturbation)
        width = max(perturbation.shape[1], asked.shape[1])
        names = jnp.concatenate([pad_parts(each, width) for each in (perturbation, asked)])
        pairs = jnp.column_stack([jnp.concatenate([context, jnp.asarray(query.context)]), names])
        own, group = _sums_of_equal(delta, training, pairs)
        if same_context:
            groups.append((own, group))
        else:
            less = own._replace(total=-own.total, number=-own.number)
            groups += [_sums_of_equal(delta, training, names), (less, group)]
    # What remains where one sum of weights is taken from an equal one is rounding.
    return mean_of(tuple(sums for sums, _ in groups), tuple(group for _, group in groups), query.readout, LEAST / 2)


def _sums_of_equal(
    delta: Sums, training: Bool[Array, ' N'], rows: Int[jax.Array, 'NQ K']
) -> tuple[Sums, Int[jax.Array, ' Q']]:
    """Sums of those training profiles, the first N rows, that equal the others, Q queries; the group of each query."""
    number, size = equal_rows(rows), len(training)
    known, asked = number[:size], number[size:]
    # Groups that nobody asks for need no room: a group has the place of its first query.
    place = jnp.full(len(rows), len(asked)).at[asked].min(jnp.arange(len(asked)))
    group = jnp.where(training, place[known], len(asked))
    total, count = (
        jnp.zeros((len(asked), each.shape[1]), each.dtype).at[group].add(each, mode='drop')
        for each in (delta.total, delta.number)
    )
    return Sums(total, count, delta.readout), place[asked]


def perturbation_mean() -> Model:
    """The same effect everywhere: control plus the perturbation's mean delta in the other contexts."""

    return Model(fit_deltas, _same_effect)


def _same_effect(params: Deltas, query: Query) -> Float[jax.Array, 'Q M']:
    return in_context(params.control, query) + mean_delta(params, query, same_context=False)
