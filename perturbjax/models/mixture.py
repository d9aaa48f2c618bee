"""A learned model mixed with simple rules, by the convex weights that have the lowest error out of fold.

What a network learns from scratch and what a rule knows are wrong in different places, so that a mixture is better
than either; see `stack` for the weights. The learned model may have no weight at all.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from perturbjax.models.amplitude import pieces
from perturbjax.models.held_out_like import all_profiles, flat_values, held_out_like, make_folds
from perturbjax.models.model import Fitted, Masks, Model, Query, Target, closed_form_of, spread_of
from perturbjax.models.out_of_fold import out_of_fold
from perturbjax.models.stack import choose_weights, filled, weighted_sum
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium


class Mixture(NamedTuple):
    """What a mixture adds to the constants of a learned model.

    Attributes:
      rules: params of the C rules.
      weight: of the rules and, last, of the learned model.
      noise: the squared error, out of fold, that the learned model's share of the spread does not explain; in
        squared units of the constants' `scale`.
    """

    rules: tuple[Any, ...]
    weight: Float[Array, ' C+1']
    noise: Float[Array, '']


class _Rules(NamedTuple):
    """The rules before training: their params, and what they and the truth are out of fold."""

    rules: tuple[Any, ...]
    predicted: tuple[Float[Array, 'N U'], ...]
    values: Float[Array, 'N U']
    is_asked: Bool[Array, ' N']


def mixed(model: Model, rules: Sequence[Model]) -> Model:
    """The learned model mixed with rules.

    Args:
      model: a learned model with folds, such as `on_residuals` makes.
      rules: closed-form models; the first, which should answer for everything, counts where another one or the
        learned model has no answer.
    """
    learner = model.learner
    if learner is None or learner.out_of_fold is None or learner.added is None:
        raise TypeError('only a learned model with folds can be mixed with rules')
    num_folds, inner_target, inner_finish = learner.num_folds, learner.target, learner.finish
    inner_added, learnt_out_of_fold, inner_spread = learner.added, learner.out_of_fold, spread_of(model)

    ask_spread = jax.jit(inner_spread)

    @jax.jit
    def prepare(compendium: Compendium, training: Masks) -> _Rules:
        folds = make_folds(held_out_like(compendium, training), num_folds)
        fitted = tuple(closed_form_of(rule)(compendium, training) for rule in rules)
        predicted = tuple(
            out_of_fold(rule, params, compendium, training, folds) for rule, params in zip(rules, fitted, strict=True)
        )
        return _Rules(fitted, predicted, flat_values(compendium, all_profiles(compendium).readout), folds.number >= 0)

    @jax.jit
    def combine(
        known: _Rules, learnt: Float[Array, 'N U'], spread: Float[Array, 'N U'], scale: Float[Array, ' U']
    ) -> Mixture:
        candidates = (*known.predicted, learnt)
        weight = choose_weights(known.values, candidates, known.is_asked)
        error = known.values - weighted_sum(weight, filled(candidates))
        left = (error**2 - (weight[-1] * jnp.nan_to_num(spread)) ** 2) / scale[None, :] ** 2
        noise = jnp.nanmean(jnp.where(known.is_asked[:, None], left, jnp.nan))
        return Mixture(known.rules, weight, jnp.maximum(jnp.where(jnp.isnan(noise), 1, noise), 0))

    def target(compendium: Compendium, training: Masks) -> Target:
        own = inner_target(compendium, training)
        return own._replace(kept=(own, jax.device_get(prepare(compendium, training)), compendium))

    def finish(fitted: Fitted, target: Target) -> Fitted:
        own, known, compendium = target.kept
        fitted = inner_finish(fitted, own)
        learnt = learnt_out_of_fold(fitted, own)
        spread = np.full_like(learnt, np.nan)
        for rows, asked in pieces(jax.device_get(all_profiles(compendium)), np.flatnonzero(known.is_asked)):
            spread[rows] = ask_spread(fitted, asked)[: len(rows)]
        mixture = jax.device_get(combine(known, learnt, spread, fitted.constants['scale']))
        return fitted._replace(constants={**fitted.constants, 'mixture': mixture})

    def added(compendium: Compendium) -> Mapping[str, Any]:
        training = tuple(jax.ShapeDtypeStruct(screen.context.shape, bool) for screen in compendium.screens)
        params = tuple(jax.eval_shape(closed_form_of(rule), compendium, training) for rule in rules)
        return {**inner_added(compendium), 'mixture': Mixture(params, jnp.zeros(len(rules) + 1), jnp.zeros(()))}

    def predict(fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        mixture = fitted.constants['mixture']
        answers = [rule.predict(params, query) for rule, params in zip(rules, mixture.rules, strict=True)]
        return weighted_sum(mixture.weight, filled([*answers, model.predict(fitted, query)]))

    def spread(fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        mixture, scale = fitted.constants['mixture'], fitted.constants['scale'][query.readout][None, :]
        learnt = mixture.weight[-1] * jnp.nan_to_num(inner_spread(fitted, query))
        known = jnp.isfinite(predict(fitted, query))
        return jnp.where(known, jnp.sqrt(learnt**2 + mixture.noise * scale**2), jnp.nan)

    own_learner = learner._replace(target=target, finish=finish, added=added, out_of_fold=None)
    return model._replace(learner=own_learner, predict=predict, spread=spread)
