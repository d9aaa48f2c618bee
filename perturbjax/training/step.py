"""Loss and update of LPM: pure, and shaped so that a loop on the device can run many of them."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturbjax.models.dropout import Noise, mix
from perturbjax.models.lpm import LPM, predict_values
from perturbjax.models.model import Params
from perturbjax.screens.screen import Array
from perturbjax.training.sampling import Batch, Observations, shuffled, take


class State(NamedTuple):
    """Everything that training changes: weights, the optimiser's moments, and the step to take next (int32)."""

    weights: Params
    optimizer: optax.OptState
    step: jax.Array


class Tally(NamedTuple):
    """Sums over observations: squared error and number; and the first step with a non-finite loss (-1: none)."""

    squared_error: jax.Array
    observations: jax.Array
    bad_step: jax.Array


class Recipe(NamedTuple):
    """What a step is compiled for.

    Attributes:
      batch: observations per step, over all devices.
      learning_rate, decay, weight_decay: of AdamW; the rate is multiplied by `decay` after every epoch.
    """

    batch: int
    learning_rate: float
    decay: float
    weight_decay: float

    def optimizer(self) -> optax.GradientTransformation:
        """torch's AdamW at rate 1: the step multiplies by the epoch's rate."""
        return optax.adamw(1.0, weight_decay=self.weight_decay)

    def rate(self, epoch: jax.Array) -> jax.Array:
        return self.learning_rate * self.decay ** epoch.astype(jnp.float32)


def steps_per_epoch(size: Array, recipe: Recipe) -> Array:
    """Steps in which each of `size` observations comes once."""
    return -(-size // recipe.batch)


def squared_error(module: LPM, weights: Params, batch: Batch, noise: Noise | None) -> jax.Array:
    """The sum of squared errors over the batch's observations."""
    prediction = predict_values(module, weights, batch.context, batch.perturbation, batch.readout, noise=noise)
    return (batch.weight * (prediction - batch.value) ** 2).sum()


def share(size: int, device: jax.Array, devices: int) -> jax.Array:
    """The places of a global batch that one device takes, `[ceil(size / L)]`; those from `size` on are padding."""
    each = -(-size // devices)
    return device * each + jnp.arange(each)


def make_update(
    module: LPM, recipe: Recipe, devices: int, axis: str
) -> Callable[[Observations, Array, jax.Array, State], tuple[State, Tally]]:
    """One step of training on one of `devices`, which add up their gradients over the mapped `axis`.

    The batch is places `step * B` to `(step + 1) * B` of the epoch's permutation, so that every
    observation comes once an epoch, in the same global batch whatever the number of devices; `seed`
    (uint32) gives the permutation.
    """
    optimizer = recipe.optimizer()

    def batch_of(
        data: Observations, seed: Array, device: jax.Array, epoch: jax.Array, step: jax.Array
    ) -> tuple[Batch, Noise]:
        within = step % steps_per_epoch(data.size, recipe)
        place = share(recipe.batch, device, devices)
        position = within * recipe.batch + place
        wanted = (place < recipe.batch) & (position < data.size)
        epoch_seed = mix(seed ^ mix(epoch.astype(jnp.uint32)))
        index = shuffled(jnp.where(wanted, position, 0), data.size, epoch_seed)
        noise = Noise(mix(mix(seed) + step.astype(jnp.uint32)), place)
        return take(data, index, wanted), noise

    def update(data: Observations, seed: Array, device: jax.Array, state: State) -> tuple[State, Tally]:
        epoch = state.step // steps_per_epoch(data.size, recipe)
        batch, noise = batch_of(data, seed, device, epoch, state.step)
        count = jax.lax.psum(batch.weight.sum(), axis)

        def loss(weights: Params) -> jax.Array:
            return squared_error(module, weights, batch, noise) / jnp.maximum(count, 1)

        value, gradient = jax.lax.psum(jax.value_and_grad(loss)(state.weights), axis)
        direction, moments = optimizer.update(gradient, state.optimizer, state.weights)
        change = jax.tree.map(lambda each: recipe.rate(epoch) * each, direction)
        bad = jnp.where(jnp.isfinite(value), -1, state.step)
        weights = optax.apply_updates(state.weights, change)
        return State(weights, moments, state.step + 1), Tally(value * count, count, bad)

    return update


def make_evaluate(module: LPM, chunk: int, devices: int, axis: str) -> Callable[..., Tally]:
    """The sums over all observations of the data, `chunk` at a time, without dropout."""

    def evaluate(data: Observations, device: jax.Array, weights: Params) -> Tally:
        size = data.size

        def add(i: jax.Array, tally: Tally) -> Tally:
            place = share(chunk, device, devices)
            wanted = (place < chunk) & (i * chunk + place < size)
            batch = take(data, jnp.where(wanted, i * chunk + place, 0), wanted)
            error = squared_error(module, weights, batch, None)
            return Tally(tally.squared_error + error, tally.observations + batch.weight.sum(), tally.bad_step)

        total = jax.lax.fori_loop(0, -(-size // chunk), add, empty_tally())
        return jax.lax.psum(total, axis)

    return evaluate


def empty_tally() -> Tally:
    return Tally(jnp.zeros(()), jnp.zeros(()), jnp.array(-1))


def add_tally(a: Tally, b: Tally) -> Tally:
    """Sums added; of the bad steps, the earlier."""
    return Tally(
        a.squared_error + b.squared_error,
        a.observations + b.observations,
        jnp.where(a.bad_step >= 0, a.bad_step, b.bad_step),
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def initialise(module: LPM, recipe: Recipe, order: int, seed: jax.Array) -> State:
    """The state before the first step; `order` is K."""
    ids = jnp.zeros(1, jnp.int32)
    weights = module.init(jax.random.key(seed), ids, jnp.zeros((1, order), jnp.int32), ids)['params']
    return State(weights, recipe.optimizer().init(weights), jnp.zeros((), jnp.int32))
