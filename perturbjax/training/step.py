"""Loss and update of LPM: pure, and shaped so that a loop on the device can run many of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from perturbjax.models.dropout import Noise, mix
from perturbjax.models.lpm import LPM
from perturbjax.models.model import Params
from perturbjax.training.sampling import Batch, Observations, shuffled, take


class State(NamedTuple):
    """Everything that training changes: weights, the optimiser's moments, and the step to take next (int32)."""

    weights: Params
    optimizer: optax.OptState
    step: jax.Array


class Tally(NamedTuple):
    """Sums over observations: squared error and count; and the first step with a non-finite loss (-1: none)."""

    squared_error: jax.Array
    count: jax.Array
    bad_step: jax.Array


class Plan(NamedTuple):
    """What does not change during training: `size` observations, the global `batch` and the `seed`."""

    size: int
    batch: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.size // self.batch)


def adamw(
    learning_rate: float, decay: float, weight_decay: float, steps_per_epoch: int
) -> optax.GradientTransformation:
    """torch's AdamW with the released schedule: the rate is multiplied by `decay` after every epoch."""
    schedule = optax.exponential_decay(learning_rate, steps_per_epoch, decay, staircase=True)
    return optax.adamw(schedule, weight_decay=weight_decay)


def squared_error(module: LPM, weights: Params, batch: Batch, noise: Noise | None) -> jax.Array:
    """The sum of squared errors over the batch's observations."""
    prediction = module.apply({'params': weights}, batch.context, batch.perturbation, batch.readout, noise)
    return (batch.weight * (prediction - batch.value) ** 2).sum()


def share(size: int, device: jax.Array, devices: int) -> jax.Array:
    """The places of a global batch that one device takes, `[ceil(size / L)]`; those from `size` on are padding."""
    each = -(-size // devices)
    return device * each + jnp.arange(each)


def make_update(
    module: LPM, optimizer: optax.GradientTransformation, plan: Plan, devices: int, axis: str
) -> Callable[[Observations, jax.Array, State], tuple[State, Tally]]:
    """One step of training on one of `devices`, which add up their gradients over the mapped `axis`.

    The batch is places `step * B` to `(step + 1) * B` of the epoch's permutation, so that every
    observation comes once an epoch, in the same global batch whatever the number of devices.
    """

    def batch_of(data: Observations, device: jax.Array, step: jax.Array) -> tuple[Batch, Noise]:
        epoch, within = jnp.divmod(step, plan.steps_per_epoch)
        place = share(plan.batch, device, devices)
        position = within * plan.batch + place
        wanted = (place < plan.batch) & (position < plan.size)
        order = mix(jnp.uint32(plan.seed) ^ mix(epoch.astype(jnp.uint32)))
        index = shuffled(jnp.where(wanted, position, 0), plan.size, order)
        noise = Noise(mix(mix(jnp.uint32(plan.seed)) + step.astype(jnp.uint32)), place)
        return take(data, index, wanted), noise

    def update(data: Observations, device: jax.Array, state: State) -> tuple[State, Tally]:
        batch, noise = batch_of(data, device, state.step)
        count = jax.lax.psum(batch.weight.sum(), axis)

        def loss(weights: Params) -> jax.Array:
            return squared_error(module, weights, batch, noise) / jnp.maximum(count, 1)

        value, gradient = jax.value_and_grad(loss)(state.weights)
        value, gradient = jax.lax.psum((value, gradient), axis)
        changes, moments = optimizer.update(gradient, state.optimizer, state.weights)
        bad = jnp.where(jnp.isfinite(value), -1, state.step)
        return State(optax.apply_updates(state.weights, changes), moments, state.step + 1), Tally(
            value * count, count, bad
        )

    return update


def make_evaluate(module: LPM, size: int, chunk: int, devices: int, axis: str) -> Callable[..., Tally]:
    """The sums over all `size` observations, `chunk` at a time, without dropout."""

    def evaluate(data: Observations, device: jax.Array, weights: Params) -> Tally:
        def add(i: jax.Array, tally: Tally) -> Tally:
            place = share(chunk, device, devices)
            wanted = (place < chunk) & (i * chunk + place < size)
            batch = take(data, jnp.where(wanted, i * chunk + place, 0), wanted)
            error = squared_error(module, weights, batch, None)
            return Tally(tally.squared_error + error, tally.count + batch.weight.sum(), tally.bad_step)

        total = jax.lax.fori_loop(0, -(-size // chunk), add, empty_tally())
        return jax.lax.psum(total, axis)

    return evaluate


def empty_tally() -> Tally:
    return Tally(jnp.zeros(()), jnp.zeros(()), jnp.array(-1))


def add_tally(a: Tally, b: Tally) -> Tally:
    """Sums added; of the bad steps, the earlier."""
    return Tally(
        a.squared_error + b.squared_error, a.count + b.count, jnp.where(a.bad_step >= 0, a.bad_step, b.bad_step)
    )


def initialise(module: LPM, optimizer: optax.GradientTransformation, order: int, seed: int) -> State:
    """The state before the first step; `order` is K."""
    ids = jnp.zeros(1, jnp.int32)
    weights: Any = module.init(jax.random.key(seed), ids, jnp.zeros((1, order), jnp.int32), ids)['params']
    return State(weights, optimizer.init(weights), jnp.zeros((), jnp.int32))
