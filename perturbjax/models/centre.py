"""The mean of the training perturbations in each context, and what stands for it where a context has none.

In a context of which only control is known, a perturbation has the mean change of the others on average:

    centre = control of the context + mean over all training profiles of (profile - control of its own context).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from perturbjax.models.baselines import fit_deltas, in_context, perturbed_sums
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import Sums, mean_of
from perturbjax.screens.screen import Compendium


class Centre(NamedTuple):
    """What the centre follows from, one entry per screen in each field.

    Attributes:
      perturbed: sums of the training perturbations by context.
      control: sums of control by context.
      change: the sum of all training changes, as one group.
    """

    perturbed: tuple[Sums, ...]
    control: tuple[Sums, ...]
    change: tuple[Sums, ...]


def fit_centre(compendium: Compendium, training: Masks) -> Centre:
    """The sums of the training profiles."""
    deltas = fit_deltas(compendium, training)
    change = tuple(_of_all(each, jnp.asarray(mask)) for each, mask in zip(deltas.delta, deltas.training, strict=True))
    return Centre(perturbed_sums(compendium, training), deltas.control, change)


def _of_all(profiles: Sums, chosen: jax.Array) -> Sums:
    """One group of the chosen profiles."""
    total, number = (jnp.where(chosen[:, None], each, 0).sum(axis=0)[None] for each in profiles[:2])
    return profiles._replace(total=total, number=number)


def centre(params: Centre, query: Query) -> Float[jax.Array, 'Q M']:
    """The mean of each query's context, or what stands for it; NaN where its control is not known either."""
    own = in_context(params.perturbed, query)
    everyone = jnp.zeros(len(query.context), jnp.int32)
    change = mean_of(params.change, (everyone,) * len(params.change), query.readout)
    return jnp.where(jnp.isnan(own), in_context(params.control, query) + change, own)


def centre_rule() -> Model:
    """The centre as a rule: `context_mean` that answers in contexts of which only control is known, too."""
    return Model(fit_centre, centre)
