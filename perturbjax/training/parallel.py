"""Devices: where state and data lie, and the only pmap."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from perturbjax.models.lpm import LPM
from perturbjax.screens.screen import Array
from perturbjax.training.sampling import Observations
from perturbjax.training.step import Recipe, State, Tally, add_tally, empty_tally, make_evaluate, make_update

AXIS = 'devices'


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """The tree on every device; placed so from the start, a step compiles once."""
    mesh = Mesh(np.array(devices), (AXIS,))
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def numbers(devices: Sequence[jax.Device]) -> jax.Array:
    """Each device's number, on that device, `[L]`."""
    mesh = Mesh(np.array(devices), (AXIS,))
    return jax.device_put(np.arange(len(devices), dtype=np.int32), NamedSharding(mesh, PartitionSpec(AXIS)))


@functools.lru_cache
def pmap_steps(
    module: LPM, recipe: Recipe, devices: tuple[jax.Device, ...]
) -> Callable[[State, Observations, Array, jax.Array, np.int32], tuple[State, Tally]]:
    """`(state, data, seed, numbers, steps) -> (state, tally)`: that many steps in one call; the state is donated.

    The number of steps is a value and not a shape, so that a shorter last call compiles nothing.
    """
    update = make_update(module, recipe, len(devices), AXIS)

    def run(state: State, data: Observations, seed: Array, device: jax.Array, steps: jax.Array) -> tuple[State, Tally]:
        def body(_: jax.Array, carry: tuple[State, Tally]) -> tuple[State, Tally]:
            state, tally = update(data, seed, device, carry[0])
            return state, add_tally(carry[1], tally)

        return jax.lax.fori_loop(0, steps, body, (state, empty_tally()))

    return _pmap(run, devices, (None, None, None, 0, None), donate_argnums=0)


@functools.lru_cache
def pmap_evaluate(
    module: LPM, chunk: int, devices: tuple[jax.Device, ...]
) -> Callable[[Observations, jax.Array, Any], Tally]:
    """`(data, numbers, weights) -> tally` over all observations of the data."""
    return _pmap(make_evaluate(module, chunk, len(devices), AXIS), devices, (None, 0, None))


def _pmap(function: Callable, devices: Sequence[jax.Device], in_axes: tuple, **options: Any) -> Callable:
    return jax.pmap(function, AXIS, in_axes=in_axes, out_axes=None, devices=devices, **options)
