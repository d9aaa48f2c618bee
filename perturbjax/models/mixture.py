"""A learned model mixed with simple rules, by the convex weights that have the lowest error out of fold.

What a network learns from scratch and what a rule knows are wrong in different places, so that a mixture is better
than either; see `stack` for the weights. The learned model may have no weight at all.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from perturbjax.models.amplitude import pieces
from perturbjax.models.held_out_like import all_profiles
from perturbjax.models.model import Fitted, Learner, Masks, Model, Query, Target, closed_form_of, spread_of
from perturbjax.models.residual import own_scale
from perturbjax.models.stack import Candidates, candidates, choose_weights, filled, weighted_sum
from perturbjax.models.training_counts import is_trained
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium


class Mixture(NamedTuple):
    """What a mixture adds to the constants of a learned model.

    Attributes:
      rules: params of the C rules.
      weight: of the rules and, last, of the learned model.
      noise: the squared error, out of fold, that the learned model's share of the spread does not explain; in
        squared units of the constants' `own_scale`.
    """

    rules: tuple[Any, ...]
    weight: Float[Array, ' C+1']
    noise: Float[Array, '']


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
    rules = tuple(rules)  # Learners are keys of compiled steps.
    prepare = jax.jit(functools.partial(candidates, rules, num_folds=learner.num_folds))
    both = _Mixed(model, rules, learner, prepare, jax.jit(spread_of(model)))
    judged = None if learner.unseen_error is None else both.unseen_error
    learner = learner._replace(target=both.target, finish=both.finish, added=both.added)
    learner = learner._replace(out_of_fold=None, unseen_error=judged)
    return model._replace(learner=learner, predict=both.predict, spread=both.spread)


class _Mixed(NamedTuple):
    """The functions of a mixture; see `Learner` and `Model`.

    Attributes:
      model, rules: what is mixed.
      learner: of the model.
      prepare: compiled: `(compendium, training) -> candidates`.
      learnt_spread: the model's spread, compiled.
    """

    model: Model
    rules: tuple[Model, ...]
    learner: Learner
    prepare: Callable[[Compendium, Masks], Candidates]
    learnt_spread: Callable[[Fitted, Query], Float[jax.Array, 'Q M']]

    def target(self, compendium: Compendium, training: Masks) -> Target:
        own = self.learner.target(compendium, training)
        return own._replace(kept=(own, jax.device_get(self.prepare(compendium, training)), compendium))

    def finish(self, fitted: Fitted, target: Target) -> Fitted:
        own, known, compendium = target.kept
        fitted = self.learner.finish(fitted, own)
        learnt = cast(Callable[..., Any], self.learner.out_of_fold)(fitted, own)
        spread = np.full_like(learnt, np.nan)
        for rows, asked in pieces(jax.device_get(all_profiles(compendium)), np.flatnonzero(known.is_asked)):
            spread[rows] = self.learnt_spread(fitted, asked)[: len(rows)]
        mixture = jax.device_get(_mixture(known, learnt, spread, own_scale(fitted.constants)))
        return fitted._replace(constants={**fitted.constants, 'mixture': mixture})

    def unseen_error(self, fitted: Fitted, target: Target) -> float:
        return cast(Callable[..., Any], self.learner.unseen_error)(fitted, target.kept[0])

    def added(self, compendium: Compendium) -> Mapping[str, Any]:
        training = tuple(jax.ShapeDtypeStruct(screen.context.shape, bool) for screen in compendium.screens)
        params = tuple(jax.eval_shape(closed_form_of(rule), compendium, training) for rule in self.rules)
        mixture = Mixture(params, jnp.zeros(len(self.rules) + 1), jnp.zeros(()))
        return {**cast(Callable[..., Any], self.learner.added)(compendium), 'mixture': mixture}

    def predict(self, fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        mixture = fitted.constants['mixture']
        answers = [rule.predict(params, query) for rule, params in zip(self.rules, mixture.rules, strict=True)]
        learnt = self.model.predict(fitted, query)
        if 'has_features' in fitted.constants:
            # The weights tell how good it is where it has features; without, it would say no more than its base.
            learnt = jnp.where(is_trained(fitted.constants, query), learnt, jnp.nan)
        return weighted_sum(mixture.weight, filled([*answers, learnt]))

    def spread(self, fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        mixture, scale = fitted.constants['mixture'], own_scale(fitted.constants)[query.readout][None, :]
        learnt = mixture.weight[-1] * jnp.nan_to_num(spread_of(self.model)(fitted, query))
        known = jnp.isfinite(self.predict(fitted, query))
        return jnp.where(known, jnp.sqrt(learnt**2 + mixture.noise * scale**2), jnp.nan)


@jax.jit
def _mixture(
    known: Candidates, learnt: Float[Array, 'N U'], spread: Float[Array, 'N U'], scale: Float[Array, ' U']
) -> Mixture:
    """The weights, and the error that they leave, from what the rules and the learned model say out of fold."""
    predicted = (*known.predicted, learnt)
    weight = choose_weights(known.values, predicted, known.is_asked)
    error = known.values - weighted_sum(weight, filled(predicted))
    left = (error**2 - (weight[-1] * jnp.nan_to_num(spread)) ** 2) / scale[None, :] ** 2
    noise = jnp.nanmean(jnp.where(known.is_asked[:, None], left, jnp.nan))
    return Mixture(known.params, weight, jnp.maximum(jnp.where(jnp.isnan(noise), 1, noise), 0))
