"""What a rule says of training profiles that it was not fitted on."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from perturbjax.models.held_out_like import Folds, all_profiles, by_screen
from perturbjax.models.model import Masks, Model, Params, closed_form_of
from perturbjax.screens.screen import Compendium


def refitted(rule: Model, params: Params, compendium: Compendium, training: Masks) -> Params:
    """A closed-form model fitted on other training profiles, with the choices that `params` made."""
    if rule.refit is not None:
        return rule.refit(params, compendium, training)
    return closed_form_of(rule)(compendium, training)


def out_of_fold(
    rule: Model, params: Params, compendium: Compendium, training: Masks, folds: Folds
) -> Float[jax.Array, 'N U']:
    """The predictions of the profiles of each fold by the rule without that fold.

    Args:
      rule: a closed-form model.
      params: of the rule fitted on all training profiles; they give what it chose.
      compendium, training: the screens, and which profiles train.
      folds: of the N profiles of all screens.

    Returns:
      Predictions over all U readouts of the vocabulary; NaN for profiles in no fold.
    """
    profiles = all_profiles(compendium)

    def of_fold(found: Float[jax.Array, 'N U'], number: jax.Array) -> tuple[Float[jax.Array, 'N U'], None]:
        kept = tuple(mask & ~out for mask, out in zip(training, by_screen(compendium, folds.leaves[number])))
        predicted = rule.predict(refitted(rule, params, compendium, kept), profiles)
        return jnp.where((folds.number == number)[:, None], predicted, found), None

    nothing = jnp.full((len(profiles.context), len(profiles.readout)), jnp.nan, compendium.screens[0].values.dtype)
    return jax.lax.scan(of_fold, nothing, jnp.arange(len(folds.leaves)))[0]
