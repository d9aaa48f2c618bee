"""Where state and data lie: each host places what its own devices need, and reads nothing else."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from perturbjax.errors import InputError
from perturbjax.screens.screen import Compendium
from perturbjax.training.packing import Layout, Pieces, pack
from perturbjax.training.sampling import Observations

AXIS = 'devices'
Devices = tuple[jax.Device, ...]


def _sharding(devices: Devices, *axes: str) -> NamedSharding:
    """Over the devices of this host."""
    own = [device for device in devices if device.process_index == jax.process_index()]
    return NamedSharding(Mesh(np.array(own), (AXIS,)), PartitionSpec(*axes))


def _numbers(devices: Devices) -> np.ndarray:
    """Which of all devices this host has."""
    return np.array([i for i, each in enumerate(devices) if each.process_index == jax.process_index()], np.int32)


def replicate(tree: Any, devices: Devices) -> Any:
    """The tree on every device; placed so from the start, a step compiles once."""
    return jax.device_put(jax.tree.map(np.asarray, tree), _sharding(devices))


def numbers(devices: Devices) -> jax.Array:
    """Each device's number among all, on that device."""
    return jax.device_put(_numbers(devices), _sharding(devices, AXIS))


def distribute(compendium: Compendium, plan: Layout, devices: Devices) -> Observations:
    """Each device gets its shards, those that leave its number modulo L: arrays `[devices of this host, V / L, ...]`.

    Raises InputError where they do not fit a device's memory.
    """
    shards, here, sharding = len(plan.pieces.rows), _numbers(devices), _sharding(devices, AXIS)
    own = [np.arange(number, shards, len(devices)) for number in here]
    _check_room(4 * len(own[0]) * plan.longest, devices[here[0]])
    shape = (len(here), len(own[0]), plan.longest)

    def packed(index: Any) -> np.ndarray:
        return pack(compendium, plan, own[index[0].start or 0].tolist())[None]

    values = jax.make_array_from_callback(shape, sharding, packed)
    context, perturbation, readout = replicate((plan.context, plan.perturbation, plan.readout), devices)
    pieces = jax.device_put(Pieces(*(np.stack([each[mine] for mine in own]) for each in plan.pieces)), sharding)
    return Observations(values, context, perturbation, readout, pieces)


def _check_room(needed: int, device: jax.Device) -> None:
    room = (device.memory_stats() or {}).get('bytes_limit')
    if room is not None and needed > 0.8 * room:
        raise InputError(
            f'training: {needed / 2**30:.1f} GiB of values do not fit the {room / 2**30:.1f} GiB of a device; '
            f'set training.parts to {-(-needed // int(0.3 * room))} or more, which streams them from the host.'
        )
