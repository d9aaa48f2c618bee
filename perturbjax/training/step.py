"""Loss and update of LPM: pure, and shaped so that a loop on the device can run many of them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.models.dropout import Noise, mix
from perturbjax.models.lpm import LPM, predict_values
from perturbjax.models.model import Params
from perturbjax.screens.screen import Array
from perturbjax.training import lazy
from perturbjax.training.sampling import Batch, Block, Observations, draw
from perturbjax.training.settings import Member
from perturbjax.training.state import State, Tally, adamw, empty_tally, first_state


class Place(NamedTuple):
    """Where in training a step is, int32: the epoch, the step, and the step within the epoch's part of the data."""

    epoch: Array
    step: Array
    within: Array


class Plan(NamedTuple):
    """What a step is compiled for.

    Attributes:
      module: the model.
      blocks: n, blocks of a batch over all devices.
      block: p, r.
      shards: V.
      devices: L, which add up their gradients over a mapped axis.
      accumulate: parts in which a device goes through its share of the batch.
      lazy: tables whose rows are updated when they are needed.
    """

    module: LPM
    blocks: int
    block: Block
    shards: int
    devices: int
    accumulate: int = 1
    lazy: tuple[str, ...] = ()


def squared_error(module: LPM, weights: Params, batch: Batch, noise: Noise | None) -> jax.Array:
    """The sum of squared errors over the batch's observations."""
    prediction = predict_values(module, weights, batch.context, batch.perturbation, batch.readout, noise=noise)
    return (batch.weight * (prediction - batch.value) ** 2).sum()


def make_update(plan: Plan, axis: str) -> Callable[..., tuple[State, Tally]]:
    """`(data, member, place, device, state) -> (state, tally)`: a step on one of the devices of the mapped `axis`."""

    def update(
        data: Observations, member: Member, place: Place, device: jax.Array, state: State
    ) -> tuple[State, Tally]:
        batch = _batch(plan, data, member, place, device)
        rate, rows = member.rate(place.epoch), {}
        for name in plan.lazy:
            everywhere = jax.lax.all_gather(getattr(batch, name), axis)
            rows[name] = lazy.distinct(everywhere, len(state.seen[name]))
            batch = batch._replace(**{name: lazy.renumber(getattr(batch, name), rows[name])})
        near = lazy.take(state, rows, rate, member.weight_decay)
        sizes: dict[str, Any] = {f'{name}s': len(among) for name, among in rows.items()}
        module = plan.module.clone(**sizes)

        def error(weights: Params, part: Batch) -> jax.Array:
            return squared_error(module, weights, part, _noise(plan, member, place.step, part))

        found = batch.weight.sum(), *_gradient(error, near.weights, batch, plan.accumulate)
        count, total, gradient = found if plan.devices == 1 else jax.lax.psum(found, axis)
        gradient = jax.tree.map(lambda each: each / jnp.maximum(count, 1), gradient)
        near = adamw(near, gradient, rate, member.weight_decay)
        bad = jnp.where(jnp.isfinite(total), -1, place.step)
        return lazy.put(state, rows, near), Tally(total, count, bad)

    return update


def _batch(plan: Plan, data: Observations, member: Member, place: Place, device: jax.Array) -> Batch:
    """A device's blocks: of the batch's places in the epoch's order, those that leave its number modulo L."""
    each = -(-plan.blocks // plan.devices)
    each += -each % plan.accumulate
    first = place.within.astype(jnp.uint32) * plan.blocks
    nearest = (device.astype(jnp.uint32) + plan.devices - first % plan.devices) % plan.devices
    block = nearest + plan.devices * jnp.arange(each, dtype=jnp.uint32)
    epoch_seed = mix(member.seed ^ mix(place.epoch.astype(jnp.uint32)))
    return draw(data, plan.block, epoch_seed, first + block, block < plan.blocks, plan.shards, plan.devices)


def _noise(plan: Plan, member: Member, step: jax.Array, batch: Batch) -> Noise | None:
    """What dropout is made from in a step; None without dropout."""
    if plan.module.dropout == 0:
        return None
    size = plan.block[0] * plan.block[1]
    position = batch.place[:, None] * size + jnp.arange(size, dtype=jnp.uint32)[None, :]
    return Noise(member.dropout, mix(mix(member.seed) + step.astype(jnp.uint32)), position.ravel())


def _gradient(
    error: Callable[[Params, Batch], jax.Array], weights: Params, batch: Batch, parts: int
) -> tuple[jax.Array, Params]:
    """An error that is a sum over observations, and its gradient, one part of the batch after the other."""
    of = jax.value_and_grad(error)
    if parts == 1:
        return of(weights, batch)
    split = jax.tree.map(lambda each: each.reshape(parts, -1, *each.shape[1:]), batch)
    zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, weights)
    return jax.lax.scan(lambda total, part: (jax.tree.map(jnp.add, total, of(weights, part)), None), zero, split)[0]


def make_evaluate(plan: Plan, axis: str) -> Callable[..., Tally]:
    """`(data, device, steps, weights) -> tally`: the sums over all observations of the data, without dropout."""
    without = plan._replace(module=plan.module.clone(dropout=0.0), accumulate=1)
    nobody = Member(np.uint32(0), *[np.float32(0)] * 4)  # evaluation has an order too

    def evaluate(data: Observations, device: jax.Array, steps: jax.Array, weights: Params) -> Tally:
        def add(i: jax.Array, tally: Tally) -> Tally:
            batch = _batch(without, data, nobody, Place(jnp.zeros((), int), i, i), device)
            error = squared_error(without.module, weights, batch, None)
            return Tally(tally.squared_error + error, tally.observations + batch.weight.sum(), tally.bad_step)

        return jax.lax.psum(jax.lax.fori_loop(0, steps, add, empty_tally()), axis)

    return evaluate


@functools.partial(jax.jit, static_argnums=(0, 1))
def initialise(plan: Plan, order: int, seeds: jax.Array) -> State:
    """The members' states `[S, ...]` before the first step; `order` is K, seeds are uint32 `[S]`."""
    ids = jnp.zeros(1, jnp.int32)

    def one(seed: jax.Array) -> State:
        weights = plan.module.init(jax.random.key(seed), ids, jnp.zeros((1, order), jnp.int32), ids)['params']
        return first_state(weights, plan.lazy)

    return jax.lax.map(one, seeds)
