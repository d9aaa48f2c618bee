"""The data on the devices: there for good, or chunk by chunk while the last chunk is learnt from.

Each host places what its own devices need, and sends nothing else.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Float32, Int, Int32, Shaped

from perturbjax.errors import InputError
from perturbjax.models.model import DEVICE_AXIS
from perturbjax.screens.screen import Compendium
from perturbjax.training.sampling import Observations, num_positions
from perturbjax.training.sharding import Pieces, ShardLayout, make_layout, pack
from perturbjax.training.train_step import Devices, StepConfig


class DataChunk(NamedTuple):
    """A chunk of the data on the devices.

    Attributes:
      data: its observations.
      size: how many they are.
      steps: how many steps go through them once.
    """

    data: Observations
    size: int
    steps: int


class InputPipeline:
    """The chosen profiles of a compendium in one or more chunks, each a sample of every screen.

    With one chunk the data stay on the devices. With more, the next chunk is packed and sent while
    the devices work on the one before, so that two are there at a time. Every epoch takes the chunks
    in an order of its own.

    Attributes:
      config: what steps are compiled for.
      size: the number of observations in all chunks.
      steps: the steps of each chunk.
    """

    def __init__(
        self,
        compendium: Compendium,
        chosen: Sequence[Bool[np.ndarray, ' _N']],
        chunks: int,
        config: StepConfig,
        devices: Devices,
        left_out: Sequence[Int[np.ndarray, ' _N']] | None = None,
    ):
        rows = [np.flatnonzero(mask) for mask in chosen]
        self.config = config
        self._layouts = _of_one_shape(
            [
                make_layout(compendium, [each[i::chunks] for each in rows], config.num_shards, left_out)
                for i in range(chunks)
            ]
        )
        self.steps = [-(-num_positions(each.pieces, config.block) // config.num_blocks) for each in self._layouts]
        self.size = sum(each.size for each in self._layouts)
        self._compendium, self._devices = compendium, devices
        self._worker = ThreadPoolExecutor(1)
        self._resident = self._send(0) if chunks == 1 else None

    def epoch(self, number: int) -> Iterator[DataChunk]:
        """The chunks of an epoch, in its order."""
        if self._resident is not None:
            yield self._resident
            return
        order = np.random.default_rng(number).permutation(len(self._layouts))
        following: Future[DataChunk] = self._worker.submit(self._send, order[0])
        for after in [*order[1:], None]:
            chunk = following.result()
            if after is not None:
                following = self._worker.submit(self._send, after)
            yield chunk

    def _send(self, chunk: int) -> DataChunk:
        layout = self._layouts[chunk]
        data = jax.block_until_ready(distribute(self._compendium, layout, self._devices))
        return DataChunk(data, layout.size, self.steps[chunk])


def _of_one_shape(layouts: list[ShardLayout]) -> list[ShardLayout]:
    """The layouts with shards and tables of one length, so that one compilation serves all."""
    longest, rows = max(each.longest for each in layouts), max(len(each.context) for each in layouts)

    def stretched(table: Shaped[np.ndarray, ' _N *K']) -> Shaped[np.ndarray, ' rows *K']:
        return np.pad(table, [(0, rows - len(table))] + [(0, 0)] * (table.ndim - 1))

    return [
        each._replace(
            longest=longest,
            context=stretched(each.context),
            perturbation=stretched(each.perturbation),
            left_out=None if each.left_out is None else stretched(each.left_out),
            weight=None if each.weight is None else stretched(each.weight),
        )
        for each in layouts
    ]


def distribute(compendium: Compendium, layout: ShardLayout, devices: Devices) -> Observations:
    """The data on the devices: device d gets the shards v with v % num_devices == d.

    Arrays that are divided have the shape `[devices of this host, V / L, ...]`. Raises InputError where the
    values do not fit into a device's memory.
    """
    num_shards, here, sharding = len(layout.pieces.rows), _own_indices(devices), _sharding(devices, DEVICE_AXIS)
    own = [np.arange(index, num_shards, len(devices)) for index in here]
    check_room(4 * len(own[0]) * layout.longest, devices[here[0]])
    shape = (len(here), len(own[0]), layout.longest)

    def packed(index: Any) -> Float32[np.ndarray, '1 V longest']:
        return pack(compendium, layout, own[index[0].start or 0].tolist())[None]

    values = jax.make_array_from_callback(shape, sharding, packed)
    tables = layout.context, layout.perturbation, layout.readout, layout.left_out, layout.weight
    context, perturbation, readout, left_out, weight = replicate(tables, devices)
    pieces = jax.device_put(Pieces(*(np.stack([each[mine] for mine in own]) for each in layout.pieces)), sharding)
    return Observations(values, context, perturbation, readout, pieces, left_out, weight)


def replicate(tree: Any, devices: Devices) -> Any:
    """The tree on every device; placed so from the start, a step compiles once."""
    return jax.device_put(jax.tree.map(np.asarray, tree), _sharding(devices))


def device_indices(devices: Devices) -> Int32[jax.Array, ' L']:
    """Each device's index among all devices, on that device."""
    return jax.device_put(_own_indices(devices), _sharding(devices, DEVICE_AXIS))


def _own_indices(devices: Devices) -> Int32[np.ndarray, ' L']:
    """The indices, among all devices, of those of this host."""
    return np.array([i for i, each in enumerate(devices) if each.process_index == jax.process_index()], np.int32)


def _sharding(devices: Devices, *axes: str) -> NamedSharding:
    """Over the devices of this host."""
    own = [device for device in devices if device.process_index == jax.process_index()]
    return NamedSharding(Mesh(np.array(own), (DEVICE_AXIS,)), PartitionSpec(*axes))


def check_room(needed: int, device: jax.Device, chunks: int = 1) -> None:
    """Raises InputError where so many bytes of values, of one of so many chunks, do not fit into a device's memory."""
    room = (device.memory_stats() or {}).get('bytes_limit')
    if room is not None and needed > 0.8 * room:
        more = -(-needed * chunks // int(0.3 * room))
        raise InputError(
            f'training: {needed / 2**30:.1f} GiB of values do not fit the {room / 2**30:.1f} GiB of a device; '
            f'set training.data_chunks to {more} or more, which streams them from the host.'
        )
