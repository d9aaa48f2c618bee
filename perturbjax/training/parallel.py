"""Many steps on many devices at once: the only pmap."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from perturbjax.models.model import Params
from perturbjax.training.lazy import settle
from perturbjax.training.packing import Pieces
from perturbjax.training.placement import AXIS, Devices
from perturbjax.training.sampling import Observations
from perturbjax.training.settings import Member
from perturbjax.training.state import State, Tally, add_tally, empty_tally
from perturbjax.training.step import Place, Plan, make_evaluate, make_update

# Which arrays are divided over the devices (0) and which are whole on each (None).
_DATA = Observations(0, None, None, None, Pieces(0, 0, 0, 0, 0))


@functools.lru_cache
def pmap_steps(plan: Plan, devices: Devices) -> Callable[..., tuple[State, Tally]]:
    """`(state, data, members, active, place, numbers, steps) -> (state, tally)`: that many steps in one call.

    The state `[S, ...]` is donated; members that are not active stay as they are. The number of
    steps is a value and not a shape, so that a shorter last call compiles nothing.
    """
    update = make_update(plan, AXIS)

    def run(
        state: State,
        data: Observations,
        members: Member,
        active: jax.Array,
        place: Place,
        device: jax.Array,
        steps: jax.Array,
    ):
        def one(state: State, member: Member, steps: jax.Array) -> tuple[State, Tally]:
            def body(i: jax.Array, carry: tuple[State, Tally]) -> tuple[State, Tally]:
                now = Place(place.epoch, place.step + i, place.within + i)
                state, tally = update(data, member, now, device, carry[0])
                return state, add_tally(carry[1], tally)

            return jax.lax.fori_loop(0, steps, body, (state, empty_tally()))

        return _over_members(one, devices)(state, members, jnp.where(active, steps, 0))

    return _pmap(run, devices, (None, _DATA, None, None, None, 0, None), donate_argnums=0)


def _over_members(function: Callable, devices: Devices) -> Callable:
    """The function over the leading axis of its arguments: at once where that fills the device, else in turn.

    On a CPU one member keeps all cores busy, and several at once only fall out of its caches.
    """
    if devices[0].platform == 'cpu':
        return lambda *args: jax.lax.map(lambda each: function(*each), args)
    return jax.vmap(function)


@functools.lru_cache
def pmap_evaluate(plan: Plan, devices: Devices) -> Callable[..., Tally]:
    """`(data, numbers, steps, weights [S, ...]) -> tally [S]` over all observations of the data."""
    evaluate = make_evaluate(plan, AXIS)

    def run(data: Observations, device: jax.Array, steps: jax.Array, weights: Params) -> Tally:
        return _over_members(lambda each: evaluate(data, device, steps, each), devices)(weights)

    return _pmap(run, devices, (_DATA, 0, None, None))


@functools.lru_cache
def pmap_settle(devices: Devices) -> Callable[..., State]:
    """`(state, epoch, members) -> state` with every row of lazy tables caught up; the state is donated."""

    def run(state: State, epoch: jax.Array, members: Member, device: jax.Array) -> State:
        def own(state: State, member: Member) -> State:
            return settle(state, member.rate(epoch), member.weight_decay)

        return _over_members(own, devices)(state, members)

    return _pmap(run, devices, (None, None, None, 0), donate_argnums=0)


def _pmap(function: Callable, devices: Sequence[jax.Device], in_axes: tuple, **options: Any) -> Callable:
    return jax.pmap(function, AXIS, in_axes=in_axes, out_axes=None, devices=devices, **options)
