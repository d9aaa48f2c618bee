"""The cells of a course on the devices: dealt to them once and for all, or in parts that follow each other."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.sparse
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from perturbjax.errors import InputError, some
from perturbjax.models.cell_learner import Course, Plan
from perturbjax.models.cells import Dealt, SparseRows, most_values, sparse_rows
from perturbjax.models.model import DEVICE_AXIS
from perturbjax.screens.arrays import Array
from perturbjax.training.input_pipeline import check_room


class PartData(NamedTuple):
    """Some steps of an epoch, on the devices; all parts have the same shapes.

    Attributes:
      rows: the values of the cells of these steps at least, divided among the devices by rows.
      dealt: their batches.
      plan: what they go by.
      first: how many steps of the epoch come before.
    """

    rows: SparseRows
    dealt: Dealt
    plan: Plan
    first: Int[Array, '']


class Part(NamedTuple):
    """The data of some steps, and for the host how many come before, and how many they are."""

    data: PartData
    first: int
    steps: int


class CellPipeline:
    """What sends cells to the devices.

    Attributes:
      mesh: of the devices that share a batch: as many as divide it evenly.
      chunks: the parts of an epoch; with 1 all cells stay on the devices.
    """

    def __init__(self, course: Course, chunks: int, devices: Sequence[jax.Device]):
        shared = _that_divide(course, devices)
        self.mesh, self.chunks = Mesh(np.array(shared), (DEVICE_AXIS,)), chunks
        self._course, self._width = course, most_values(course.values)
        self._worker = ThreadPoolExecutor(1)
        self._partners = 0 if course.partner is None else len(np.unique(course.partner))
        own = next(each for each in shared if each.process_index == jax.process_index())
        # Of parts the next one is made while one is used.
        at_once = course.values.shape[0] if chunks == 1 else 2 * self._most_rows(-(-len(course.training) // chunks))
        check_room(8 * self._width * -(-at_once // len(shared)), own, chunks)
        if chunks == 1:
            self._all = self._send(course.values, None)

    def parts(self, dealt: Dealt, plan: Plan, done: int = 0) -> Iterator[Part]:
        """The steps of these batches, but for parts that have been done; the next part is made meanwhile."""
        steps = len(dealt.numbers)
        size = -(-steps // self.chunks)
        firsts = [first for first in range(0, steps, size) if first + size > done]
        following = self._worker.submit(self._part, dealt, plan, firsts[0], size) if firsts else None
        for after in [*firsts[1:], None]:
            part = following.result()  # type: ignore[union-attr]
            if after is not None:
                following = self._worker.submit(self._part, dealt, plan, after, size)
            yield part

    def replicate(self, tree: Any) -> Any:
        """The tree on every device."""
        return self._put(tree, PartitionSpec())

    def _part(self, dealt: Dealt, plan: Plan, first: int, size: int) -> Part:
        """The part of `size` steps; the last one may have fewer, and is filled up with steps that are not taken."""
        steps = min(size, len(dealt.numbers) - first)
        own, plan = jax.tree.map(lambda each: _filled(np.asarray(each)[first : first + size], size), (dealt, plan))
        rows = self._all if self.chunks == 1 else self._rows_of(own.numbers)
        return Part(PartData(rows, *self.replicate((own, plan, np.int32(first)))), first, steps)

    def _rows_of(self, numbers: Int[np.ndarray, 'steps B']) -> SparseRows:
        """The rows of these cells and of their partners alone."""
        course = self._course
        both = numbers if course.partner is None else np.stack([numbers, course.partner[numbers]])
        needed = np.unique(both)
        place = np.zeros(course.values.shape[0], np.int32)
        place[needed] = np.arange(len(needed))
        return self._send(course.values[_filled(needed, self._most_rows(numbers.size))], place)

    def _most_rows(self, cells: int) -> int:
        """How many rows a part of so many cells may need, and therefore has: no cell twice, each with a partner."""
        return min(cells + min(cells, self._partners), self._course.values.shape[0])

    def _send(self, values: scipy.sparse.csr_matrix, place: Int[np.ndarray, ' n'] | None) -> SparseRows:
        empty = scipy.sparse.csr_matrix((-values.shape[0] % self.mesh.size, values.shape[1]), dtype=values.dtype)
        rows = sparse_rows(scipy.sparse.vstack([values, empty], format='csr'), self._width)
        column, value = self._put(rows[:2], PartitionSpec(DEVICE_AXIS))
        return SparseRows(column, value, None if place is None else self.replicate(place))

    def _put(self, tree: Any, spec: PartitionSpec) -> Any:
        sharding = NamedSharding(self.mesh, spec)

        def put(each: Any) -> jax.Array:
            host = np.asarray(each)
            return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

        return jax.tree.map(put, tree)


def _that_divide(course: Course, devices: Sequence[jax.Device]) -> list[jax.Device]:
    """The most devices that divide every batch evenly, as many of each host; raises InputError where none do."""
    of_host: dict[int, list[jax.Device]] = {}
    for device in devices:
        of_host.setdefault(device.process_index, []).append(device)
    sizes = [course.batch_size, *([] if course.validation is None else [course.validation.numbers.shape[1]])]
    each, hosts = min(map(len, of_host.values())), len(of_host)
    for number in range(each, 0, -1):
        if math.gcd(number * hosts, *sizes) == number * hosts:
            if number < each:
                told = number, each, sizes[0]
                logging.info('%d of %d devices of each host divide a batch of %d cells evenly.', *told)
            return [device for own in of_host.values() for device in own[:number]]
    raise InputError(
        f'--multihost: {hosts} hosts do not divide batches of {some(map(str, sizes))} cells evenly; set another '
        'batch_size of the model, or take fewer hosts.'
    )


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """The rows, filled up to a number with the last one again."""
    return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1), mode='edge')
