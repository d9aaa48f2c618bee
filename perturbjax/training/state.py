"""What training changes, how AdamW changes it, and what is counted on the way."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturbjax.models.model import Params

B1, B2, EPSILON = 0.9, 0.999, 1e-8  # torch's

_ADAM = optax.scale_by_adam(B1, B2, EPSILON)


class State(NamedTuple):
    """Everything that training changes.

    Attributes:
      weights: the module's parameters.
      moments: the optimiser's.
      seen: of tables updated lazily, the step up to which each row has been, int32 by table.
    """

    weights: Params
    moments: optax.ScaleByAdamState
    seen: dict[str, jax.Array]


class Tally(NamedTuple):
    """Sums over observations: squared error and number; and the first step with a non-finite loss (-1: none)."""

    squared_error: jax.Array
    observations: jax.Array
    bad_step: jax.Array


def first_state(weights: Params, lazy: tuple[str, ...] = ()) -> State:
    """The state before the first step; `lazy` names the tables updated lazily."""
    seen = {name: jnp.zeros(len(weights[name]), jnp.int32) for name in lazy}
    return State(weights, _ADAM.init(weights), seen)


def adamw(state: State, gradient: Params, rate: jax.Array, weight_decay: jax.Array) -> State:
    """torch's AdamW."""
    direction, moments = _ADAM.update(gradient, state.moments)
    weights = jax.tree.map(lambda w, d: w - rate * (d + weight_decay * w), state.weights, direction)
    return State(weights, moments, state.seen)


def empty_tally() -> Tally:
    return Tally(jnp.zeros(()), jnp.zeros(()), jnp.array(-1))


def add_tally(a: Tally, b: Tally) -> Tally:
    """Sums added; of the bad steps, the earlier."""
    bad = jnp.where(a.bad_step >= 0, a.bad_step, b.bad_step)
    return Tally(a.squared_error + b.squared_error, a.observations + b.observations, bad)
