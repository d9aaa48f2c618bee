"""Training profiles that stand for the held-out ones, and folds of them that copy what the split did.

A penalty, a weight or a residual that is chosen on other profiles than those that are asked about misleads. So
this module looks at which profiles are held out, never at their values, and finds three things: the training
profiles of the same contexts and the same order, which ones have to leave together, and K folds of them.

Where whole contexts are held out, other whole contexts stand for them; and where perturbations are unseen besides, a
fold leaves out contexts and perturbations, and predicts the profiles that have both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt

from perturbjax.models.dropout import mix
from perturbjax.models.model import Masks, Query
from perturbjax.models.sums import columns, equal_rows
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID


class HeldOutLike(NamedTuple):
    """What stands for the held-out profiles, over all N profiles, screen after screen.

    Attributes:
      is_like: training profiles of a context and an order that profiles are held out of.
      leaves: training profiles of such a context; only they are ever left out. Where whole contexts are held out,
        they and those above may be of any context.
      group: profiles with the same number leave together: those of one perturbation in all contexts that
        profiles are held out of; where the split holds out single (context, perturbation) pairs, of one pair; where
        it holds out whole contexts, of one context.
      parts: numbers of the parts of each perturbation if a split that holds out a perturbation also holds out all
        combinations with it, else all -1: then these combinations leave with it. Where perturbations are unseen in
        whole held-out contexts and combinations with them are not, the number of the perturbation in its first
        column.
      by_context: whether whole contexts are held out.
    """

    is_like: Bool[jax.Array, ' N']
    leaves: Bool[jax.Array, ' N']
    group: Int[jax.Array, ' N']
    parts: Int[jax.Array, 'N K']
    by_context: Bool[jax.Array, '']


class Folds(NamedTuple):
    """K folds of the training profiles that stand for the held-out ones.

    Attributes:
      number: the fold that predicts a profile; -1 for a profile that stands for none.
      leaves: which profiles each fold leaves out of training.
    """

    number: Int[jax.Array, ' N']
    leaves: Bool[jax.Array, 'K N']


def all_profiles(compendium: Compendium) -> Query:
    """The profiles of all screens over all readouts of the vocabulary."""
    context, perturbation = (
        jnp.concatenate([jnp.asarray(getattr(screen, name)) for screen in compendium.screens])
        for name in ('context', 'perturbation')
    )
    return Query(context, perturbation, jnp.arange(len(compendium.vocabulary.readouts)))


def flat_values(compendium: Compendium, readout: Int[Array, ' U']) -> Float[jax.Array, 'N U']:
    """The values of all profiles on one panel; NaN where a screen does not measure a readout."""
    parts = []
    for screen in compendium.screens:
        column, there = columns(jnp.asarray(screen.readout), readout)
        parts.append(jnp.where(there, jnp.asarray(screen.values)[:, column], jnp.nan))
    return jnp.concatenate(parts)


def flat_mask(training: Masks) -> Bool[jax.Array, ' N']:
    """Which of all profiles train."""
    return jnp.concatenate([jnp.asarray(mask) for mask in training])


def flat_weight(compendium: Compendium) -> Float[jax.Array, ' N'] | None:
    """The weights of all profiles; None where no screen has any."""
    weights = [screen.weight for screen in compendium.screens]
    if all(weight is None for weight in weights):
        return None
    ones = [jnp.ones(len(screen.context), screen.values.dtype) for screen in compendium.screens]
    return jnp.concatenate([one if each is None else jnp.asarray(each) for one, each in zip(ones, weights)])


def random_order(size: int) -> UInt[jax.Array, ' {size}']:
    """A number below 2^31 for each of so many things, by which they are in a random order; always the same."""
    return jnp.asarray(mix(jnp.arange(size, dtype=jnp.uint32)) >> 1)


def held_out_like(compendium: Compendium, training: Masks) -> HeldOutLike:
    """Finds what stands for the profiles that do not train."""
    context, perturbation, _ = all_profiles(compendium)
    order, name = (perturbation > CONTROL_ID).sum(axis=1), equal_rows(perturbation)
    is_training = flat_mask(training) & (order > 0)
    is_held_out = (order > 0) & ~is_training
    is_new = _in_whole_contexts(context, name, is_training, is_held_out)
    by_context = is_new.any()
    is_tested = by_context | _marked(context, is_held_out)
    of_tested_order = _marked((order > 1).astype(int), is_held_out)
    leaves = is_training & is_tested
    by_pair = ~by_context & (is_held_out & _marked(name, leaves)).any()
    group = jnp.where(
        by_context | by_pair, equal_rows(jnp.column_stack([context, jnp.where(by_context, -1, perturbation)])), name
    )
    # In contexts that are not held out as a whole it is perturbations that are, or pairs.
    elsewhere = is_held_out & ~is_new
    part_trains = _has_part(perturbation, leaves, len(compendium.vocabulary.perturbations))
    single = elsewhere & (order == 1)
    parts_leave = single.any() & ~(single & part_trains[perturbation[:, 0]]).any() & ~by_pair
    whole = jnp.where(by_context & elsewhere.any(), jnp.full_like(perturbation, -1).at[:, 0].set(name), -1)
    parts = jnp.where(parts_leave, _part_numbers(perturbation, len(part_trains)), whole)
    return HeldOutLike(leaves & of_tested_order, leaves, group, parts, by_context)


def _in_whole_contexts(
    context: Int[Array, ' N'], name: Int[jax.Array, ' N'], is_training: Bool[jax.Array, ' N'],
    is_held_out: Bool[jax.Array, ' N'],
) -> Bool[jax.Array, ' N']:  # fmt: skip
    """Which profiles are of contexts that are held out as a whole, if that is what the split is about.

    It is where two other contexts train to learn from, and no perturbation that trains is held out anywhere else. A
    context that only has perturbations which train nowhere lost its profiles by another rule.
    """
    is_new = is_held_out & ~_marked(context, is_training)
    elsewhere, trains = is_held_out & ~is_new, _marked(name, is_training)
    is_meant = ~(elsewhere & trains).any() & ((is_new & trains).any() | ~elsewhere.any())
    first, last = (jnp.where(is_training, context, other) for other in (np.iinfo(np.int32).max, -1))
    return is_new & is_meant & (first.min() < last.max())


def _marked(number: Int[Array, ' N'], chosen: Bool[jax.Array, ' N']) -> Bool[jax.Array, ' N']:
    """Whether a chosen profile has the same number."""
    size = len(number) + 2  # numbers are below N, or 0 and 1
    return jnp.zeros(size, bool).at[number].max(chosen)[number]


def _part_numbers(perturbation: Int[Array, 'N K'], num_perturbations: int) -> Int[jax.Array, 'N K']:
    """Numbers below N of the parts; -1 is none. They are their ids, unless the vocabulary has more than N names."""
    is_part, number = perturbation > CONTROL_ID, jnp.arange(len(perturbation))
    if num_perturbations > len(perturbation):
        ids = jnp.where(is_part, perturbation, num_perturbations)
        first = jnp.zeros(num_perturbations, int).at[ids].max(number[:, None], mode='drop')
        return jnp.where(is_part, first[perturbation], -1)
    return jnp.where(is_part, perturbation, -1)


def _has_part(
    perturbation: Int[Array, 'N K'], chosen: Bool[jax.Array, ' N'], num_perturbations: int
) -> Bool[jax.Array, ' P']:
    """Which parts the chosen profiles have; -1 is none."""
    ids = jnp.where(perturbation < 0, num_perturbations, perturbation)
    there = jnp.broadcast_to(chosen[:, None], ids.shape)
    return jnp.zeros(num_perturbations, bool).at[ids].max(there, mode='drop')


def make_folds(like: HeldOutLike, num_folds: int) -> Folds:
    """K folds of equal numbers of groups, in an order that only the groups' numbers decide.

    Every profile of a group that may leave does so with it. Fewer than K groups make empty folds.
    """
    size, folds = len(like.group), jnp.arange(num_folds)[:, None]
    of_group = _dealt(jnp.zeros(size, bool).at[like.group].max(like.is_like), num_folds)
    part = jnp.where(like.parts >= 0, like.parts, size)
    is_like = jnp.broadcast_to(like.is_like[:, None], part.shape)
    of_part = _dealt(jnp.zeros(size, bool).at[part].max(is_like, mode='drop'), num_folds)
    parts_fold = of_part.at[part].get(mode='fill', fill_value=-1)
    with_group = of_group[like.group][None] == folds
    with_parts = (parts_fold[None] == folds[:, :, None]).any(axis=2)
    by_parts = (like.parts >= 0).any()
    leaves = jnp.where(by_parts, with_parts | (with_group & like.by_context), with_group) & like.leaves[None]
    predicts = jnp.where(by_parts & like.by_context, with_group & with_parts, leaves) & like.is_like[None]
    number = jnp.where(predicts.any(axis=0), predicts.argmax(axis=0), -1)
    return Folds(number.astype(jnp.int32), leaves)


def _dealt(there: Bool[jax.Array, ' n'], num_folds: int) -> Int[jax.Array, ' n']:
    """Deals what is there to the folds, evenly and in a random order; -1 for the rest."""
    rank = jnp.where(there, random_order(len(there)), jnp.uint32(2**31)).argsort().argsort()
    return jnp.where(there, rank % num_folds, -1)


def by_screen(compendium: Compendium, rows: Shaped[Array, '*K N']) -> tuple[Shaped[Array, '*K _N'], ...]:
    """An array over all profiles, its last axis cut into one array for each screen."""
    ends = np.cumsum([len(screen.context) for screen in compendium.screens])[:-1]
    return tuple(jnp.split(rows, ends, axis=-1))
