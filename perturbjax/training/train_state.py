"""What training changes, and what it counts on the way."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int

from perturbjax.models.model import Statistics, Weights


class TrainState(NamedTuple):
    """Everything that training changes; of S members every leaf is `[S, ...]`.

    Attributes:
      weights: the model's.
      statistics: what the model carries along without a gradient; `{}` where there is nothing.
      opt_state: the optimiser's.
      row_steps: for every table that is updated row by row, the last step that each of its rows has had.
    """

    weights: Weights
    statistics: Statistics
    opt_state: optax.OptState
    row_steps: dict[str, Int[jax.Array, ' _rows']]


class Metrics(NamedTuple):
    """Sums over observations, and the first step whose loss was not finite; or of S members each.

    Attributes:
      loss: the sum of their losses; of squared errors, where the loss is that.
      observations: how many they are, or the sum of their weights.
      bad_step: -1 where every loss was finite.
    """

    loss: Float[jax.Array, '*S']
    observations: Float[jax.Array, '*S']
    bad_step: Int[jax.Array, '*S']


def empty_metrics() -> Metrics:
    """Metrics of no observations."""
    return Metrics(jnp.zeros(()), jnp.zeros(()), jnp.array(-1))


def add_metrics(a: Metrics, b: Metrics) -> Metrics:
    """The metrics of both together; of their bad steps the earlier one, which is that of `a`."""
    bad = jnp.where(a.bad_step >= 0, a.bad_step, b.bad_step)
    return Metrics(a.loss + b.loss, a.observations + b.observations, bad)
