"""A learned model of what a rule leaves over: base prediction + scale x amplitude x mean of the networks.

Each part keeps the model from being worse than the rule:

- The network learns residuals of the rule. Those of profiles like the held-out ones are taken out of fold, for a
  rule knows the profiles that it was fitted on too well.
- Residuals are divided by their root mean square, so that no scale is too large or too small to learn: by default
  by one number for all readouts of a screen, for then the network's error is the one that is judged. With a number
  for each readout it learns as much of those that hardly respond.
- Each seed is trained once for every fold and does not see it. All networks predict together.
- The amplitude shrinks their prediction by how well they predicted the folds that they did not see; see `amplitude`.
- The spread adds the residuals' variance, out of fold, to that of the networks.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from perturbjax.models.amplitude import (
    OfProfiles,
    Products,
    amplitude,
    left_over,
    products_of,
    products_of_folds,
    unseen_l2,
    unseen_pieces,
)
from perturbjax.models.held_out_like import Folds, all_profiles, flat_mask, flat_values, held_out_like, make_folds
from perturbjax.models.model import Fitted, Masks, Model, Params, Query, Target, closed_form_of, spread_of
from perturbjax.models.out_of_fold import out_of_fold
from perturbjax.models.sums import exact_matmul
from perturbjax.models.training_counts import is_trained
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium

# What shares a unit: all readouts of a screen, each has its own, or none.
STANDARDISE = ('together', 'each', 'none')


class Prepared(NamedTuple):
    """What is known before training, of N profiles and U readouts.

    Attributes:
      base: params of the rule.
      residual: what it leaves over, in units of `scale`; NaN where not measured.
      scale: the unit of each readout.
      own_scale: the root mean square of each readout's residuals; 1 where that is 0. The spread is in units of it.
      folds: of the N profiles.
    """

    base: Params
    residual: Float[Array, 'N U']
    scale: Float[Array, ' U']
    own_scale: Float[Array, ' U']
    folds: Folds


def on_residuals(
    model: Model, base: Model, standardise: str, num_folds: int, shrink: bool, needs_training: bool = False
) -> Model:
    """The model trained on what a rule leaves over.

    Args:
      model: a learned model of squared errors, such as `flax_model` makes.
      base: a closed-form model.
      standardise: one of `STANDARDISE`: residuals are divided by the root mean square of all readouts of a screen, by
        that of each readout, or by 1.
      num_folds: how many folds; 0 trains each seed once, on everything.
      shrink: whether the amplitude is chosen by the folds; else it is 1.
      needs_training: whether a name without training profiles gets no prediction. Otherwise it gets the rule's.
    """
    if model.learner is None:
        raise TypeError('only a learned model, such as flax_model makes, can learn residuals')
    prepare = jax.jit(_preparation(base, standardise, max(num_folds, 2)))
    both = _Residuals(
        model, base, num_folds, shrink, needs_training, prepare, jax.jit(products_of(model)), jax.jit(model.predict)
    )
    learner = model.learner._replace(target=both.target, finish=both.finish, added=both.added, num_folds=num_folds)
    if num_folds:
        learner = learner._replace(out_of_fold=both.out_of_fold, unseen_error=both.unseen_error)
    return model._replace(learner=learner, predict=both.predict, spread=both.spread)


class _Residuals(NamedTuple):
    """The functions of a model of residuals; see `Learner` and `Model`.

    Attributes:
      model, base, num_folds, shrink, needs_training: as `on_residuals` takes them.
      prepare, products, learnt: compiled: what is known before training, the products of profiles, and the model's
        own predictions.
    """

    model: Model
    base: Model
    num_folds: int
    shrink: bool
    needs_training: bool
    prepare: Callable[[Compendium, Masks], Prepared]
    products: OfProfiles
    learnt: Callable[[Fitted, Query], Float[jax.Array, 'Q M']]

    def target(self, compendium: Compendium, training: Masks) -> Target:
        prepared = jax.device_get(self.prepare(compendium, training))
        bits = (prepared.folds.leaves * (1 << np.arange(len(prepared.folds.leaves)))[:, None]).sum(axis=0)
        ends = np.cumsum([len(screen.context) for screen in compendium.screens])[:-1]
        parts = zip(np.split(prepared.residual, ends), compendium.screens, strict=True)
        residuals = tuple(np.ascontiguousarray(part[:, screen.readout]) for part, screen in parts)
        left_out = tuple(np.split(bits.astype(np.int32), ends)) if self.num_folds else None
        profiles = jax.device_get(all_profiles(compendium))
        return Target(with_values(compendium, residuals), left_out, (compendium, prepared, profiles))

    def finish(self, fitted: Fitted, target: Target) -> Fitted:
        prepared, share, noise = target.kept[1], 1.0, 1.0
        if self.num_folds:
            found, share = self._of_folds(fitted, target)
            noise = left_over(found, share, fitted.num_members)
        constants = {'base': prepared.base, 'scale': prepared.scale, 'own_scale': prepared.own_scale}
        constants |= {'amplitude': np.float32(share), 'noise': np.float32(noise)}
        return fitted._replace(constants=dict(fitted.constants) | constants)

    def unseen_error(self, fitted: Fitted, target: Target) -> float:
        found, share = self._of_folds(fitted, target)
        return unseen_l2(found, share, fitted.num_members // self.num_folds)

    def _of_folds(self, fitted: Fitted, target: Target) -> tuple[Products, float]:
        """The products of the folds' profiles, and the amplitude."""
        _, prepared, profiles = target.kept
        found = products_of_folds(self.products, fitted, profiles, prepared.residual, prepared.folds)
        return found, amplitude(found, fitted.num_members) if self.shrink else 1.0

    def out_of_fold(self, fitted: Fitted, target: Target) -> Float[np.ndarray, 'N U']:
        compendium, prepared, profiles = target.kept
        values = np.asarray(flat_values(compendium, profiles.readout))
        answer = np.where((prepared.folds.number >= 0)[:, None], values - prepared.residual * prepared.scale, np.nan)
        for rows, asked, own in unseen_pieces(fitted, profiles, prepared.folds):
            learnt = np.nan_to_num(self.learnt(own, asked))[: len(rows)]
            answer[rows] += fitted.constants['amplitude'] * prepared.scale * learnt
        return answer

    def added(self, compendium: Compendium) -> Mapping[str, Any]:
        training = tuple(jax.ShapeDtypeStruct(screen.context.shape, bool) for screen in compendium.screens)
        return {'base': jax.eval_shape(closed_form_of(self.base), compendium, training)}

    def predict(self, fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        constants = fitted.constants
        learnt = jnp.nan_to_num(self.model.predict(fitted, query)) * constants['scale'][query.readout][None, :]
        answer = self.base.predict(constants['base'], query) + constants['amplitude'] * learnt
        return jnp.where(is_trained(constants, query), answer, jnp.nan) if self.needs_training else answer

    def spread(self, fitted: Fitted, query: Query) -> Float[jax.Array, 'Q M']:
        constants = fitted.constants
        scale = constants['scale'][query.readout][None, :]
        of_networks = constants['amplitude'] * scale * jnp.nan_to_num(spread_of(self.model)(fitted, query))
        known = jnp.isfinite(self.predict(fitted, query))
        own = own_scale(constants)[query.readout][None, :]
        return jnp.where(known, jnp.sqrt(of_networks**2 + constants['noise'] * own**2), jnp.nan)


def with_values(compendium: Compendium, values: tuple[Float[np.ndarray, '_N _M'], ...]) -> Compendium:
    """The screens with other values."""
    screens = zip(compendium.screens, values, strict=True)
    return Compendium(
        tuple(dataclasses.replace(screen, values=each) for screen, each in screens), compendium.vocabulary
    )


def own_scale(constants: Mapping[str, Any]) -> Float[Array, ' U']:
    """The unit of each readout's spread; checkpoints of before have but one unit."""
    return constants.get('own_scale', constants['scale'])


def _preparation(base: Model, standardise: str, num_folds: int) -> Callable[[Compendium, Masks], Prepared]:
    """What is known before training, as a pure function."""

    def prepare(compendium: Compendium, training: Masks) -> Prepared:
        params, profiles = closed_form_of(base)(compendium, training), all_profiles(compendium)
        like = held_out_like(compendium, training)
        folds = make_folds(like, num_folds)
        unseen = out_of_fold(base, params, compendium, training, folds)
        predicted = jnp.where((folds.number >= 0)[:, None], unseen, base.predict(params, profiles))
        residual = flat_values(compendium, profiles.readout) - predicted
        is_training = flat_mask(training)
        chosen = jnp.where(like.is_like.any(), like.is_like, is_training)
        own = _root_mean_square(_of_each(residual), chosen, is_training)
        together = _root_mean_square(_of_screens(residual, compendium), chosen, is_training)
        scale = {'together': together, 'each': own, 'none': jnp.ones_like(own)}[standardise]
        return Prepared(params, residual / scale[None, :], scale, own, folds)

    return prepare


def _root_mean_square(
    over: Callable[[Bool[jax.Array, ' N']], Float[jax.Array, ' U']],
    chosen: Bool[jax.Array, ' N'],
    otherwise: Bool[jax.Array, ' N'],
) -> Float[jax.Array, ' U']:
    """The root of the mean squares over the chosen profiles, or over others where those have none; 1 where it is 0."""
    first, second = jnp.sqrt(over(chosen)), jnp.sqrt(over(otherwise))
    scale = jnp.where(jnp.isfinite(first) & (first > 0), first, second)
    return jnp.where(jnp.isfinite(scale) & (scale > 0), scale, 1)


def _of_each(residual: Float[jax.Array, 'N U']) -> Callable[[Bool[jax.Array, ' N']], Float[jax.Array, ' U']]:
    """The mean square of each readout, as a function of the profiles that count."""
    return lambda rows: jnp.nanmean(jnp.where(rows[:, None], residual, jnp.nan) ** 2, axis=0)


def _of_screens(
    residual: Float[jax.Array, 'N U'], compendium: Compendium
) -> Callable[[Bool[jax.Array, ' N']], Float[jax.Array, ' U']]:
    """The same of all readouts of a screen together; of a readout of several screens it is that of all their values."""
    sizes = [len(screen.context) for screen in compendium.screens]
    screen_of = np.repeat(np.arange(len(sizes)), sizes)
    has = jnp.stack([jnp.zeros(residual.shape[1]).at[screen.readout].set(1) for screen in compendium.screens])

    def over(rows: Bool[jax.Array, ' N']) -> Float[jax.Array, ' U']:
        measured = rows[:, None] & ~jnp.isnan(residual)
        squares, number = jnp.where(measured, residual, 0) ** 2, measured.astype(residual.dtype)
        total, count = (
            exact_matmul(has.T, jnp.zeros(len(sizes), residual.dtype).at[screen_of].add(each.sum(axis=1)))
            for each in (squares, number)
        )
        return total / count

    return over
