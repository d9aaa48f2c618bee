"""The rule for perturbations whose target gene is itself a readout: a knock-down lowers its own gene.

Every perturbation gets the mean of its context (see `centre`), and at the readout of its own target the deviation
that training perturbations have at theirs:

    d_i = value of profile i at its own target - mean of the training perturbations of its context at that readout,
    deviation = mean(d) * max(0, 1 - se^2 / mean(d)^2),    se = standard deviation of d / sqrt(number of d).

The factor is the positive part of the one by James and Stein: a mean that noise could have made becomes 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.baselines import in_context
from perturbjax.models.centre import Centre, centre, fit_centre
from perturbjax.models.held_out_like import all_profiles, by_screen, flat_mask, flat_weight
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import columns
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      centre: of contexts.
      deviation: the same for all perturbations; 0 without two training profiles to find it from.
      target: the readout that each perturbation aims at; -1 is none.
    """

    centre: Centre
    deviation: Float[jax.Array, '']
    target: Int[jax.Array, ' P']


def own_readout() -> Model:
    """The mean of the context, and a deviation at the readouts of the perturbation's own targets.

    The deviation is found from single perturbations, over all contexts; a combination gets it at each of its targets.

    Example:
      >>> rule = own_readout()
    """
    return Model(_fit, _predict)


def _fit(compendium: Compendium, training: Masks) -> Params:
    fitted = fit_centre(compendium, training)
    target = jnp.asarray(compendium.vocabulary.target_readouts())
    context, perturbation, readout = all_profiles(compendium)
    own = target[perturbation[:, 0]]
    contexts = jnp.arange(len(compendium.vocabulary.contexts))
    everywhere = Query(contexts, jnp.zeros((len(contexts), 1), jnp.int32), readout)
    mean = in_context(fitted.perturbed, everywhere)[context, own]
    value = jnp.concatenate(list(map(_values_at, compendium.screens, by_screen(compendium, own))))
    is_single = (perturbation > CONTROL_ID).sum(axis=1) == 1
    deviation = shrunken_mean(value - mean, is_single & flat_mask(training), flat_weight(compendium))
    return Params(fitted, deviation, target)


def _values_at(screen: Screen, readout: Int[Array, ' N']) -> Float[jax.Array, ' N']:
    """The value of each profile of a screen at one readout of its own; NaN where that is not measured."""
    column, there = columns(jnp.asarray(screen.readout), readout)
    return jnp.where(there[0], jnp.asarray(screen.values)[jnp.arange(len(readout)), column], jnp.nan)


def shrunken_mean(
    values: Float[jax.Array, ' N'], chosen: Bool[jax.Array, ' N'], weight: Float[jax.Array, ' N'] | None = None
) -> Float[jax.Array, '']:
    """The mean of the chosen values (NaN is left out), shrunk by its standard error; 0 of fewer than two.

    With weights w the squared error is sum of w^2 (d - mean)^2 / (sum of w)^2 times n / (n - 1), n being their number:
    the one above where all are 1.
    """
    chosen = chosen & ~jnp.isnan(values)
    number = chosen.sum()
    if weight is None:
        mean = jnp.where(chosen, values, 0).sum() / jnp.maximum(number, 1)
        variance = jnp.where(chosen, (values - mean) ** 2, 0).sum() / jnp.maximum(number - 1, 1)
        square = variance / jnp.maximum(number, 1)
    else:
        weight = jnp.where(chosen, weight, 0)
        weight = weight / jnp.where(number > 0, weight.sum(), 1)
        mean = (weight * jnp.where(chosen, values, 0)).sum()
        own = (weight**2 * jnp.where(chosen, values - mean, 0) ** 2).sum()
        square = own * number / jnp.maximum(number - 1, 1)
    share = 1 - square / jnp.where(mean == 0, 1, mean**2)
    return jnp.where(number > 1, mean * jnp.maximum(share, 0), 0)


def _predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    perturbation = jnp.asarray(query.perturbation)
    own = jnp.where(perturbation > CONTROL_ID, params.target[perturbation], -1)
    is_own = (own[:, :, None] == jnp.asarray(query.readout)[None, None, :]).any(axis=1)
    return centre(params.centre, query) + jnp.where(is_own, params.deviation, 0)
