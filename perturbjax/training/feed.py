"""The data as training meets them: on the devices for good, or part by part while the last one is learnt from."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from perturbjax.screens.screen import Compendium
from perturbjax.training.packing import Layout, layout
from perturbjax.training.placement import Devices, distribute
from perturbjax.training.sampling import Observations, places
from perturbjax.training.step import Plan


class Part(NamedTuple):
    """A part of the data on the devices.

    Attributes:
      data: its observations.
      size: how many they are.
      steps: in which each comes once.
    """

    data: Observations
    size: int
    steps: int


class Feed:
    """The chosen profiles of a compendium in one or more parts, each a sample of every screen.

    With one part the data stay on the devices. With more, the next part is packed and sent while
    the devices work on the one before, so that two are there at a time; an epoch takes them in an
    order of its own.
    """

    def __init__(
        self,
        compendium: Compendium,
        chosen: Sequence[np.ndarray],
        parts: int,
        plan: Plan,
        devices: Devices,
    ):
        rows = [np.flatnonzero(mask) for mask in chosen]
        self.plan = plan
        self.layouts = _alike(
            [layout(compendium, [each[i::parts] for each in rows], plan.shards) for i in range(parts)]
        )
        self.steps = [-(-places(each.pieces, plan.block) // plan.blocks) for each in self.layouts]
        self.size = sum(each.size for each in self.layouts)
        self.order = self.layouts[0].perturbation.shape[1]
        self._compendium, self._devices = compendium, devices
        self._worker = ThreadPoolExecutor(1)
        self._resident = self._send(0) if parts == 1 else None

    def epoch(self, number: int) -> Iterator[Part]:
        """The parts of an epoch, in its order."""
        if self._resident is not None:
            yield self._resident
            return
        order = np.random.default_rng(number).permutation(len(self.layouts))
        following: Future[Part] = self._worker.submit(self._send, order[0])
        for after in [*order[1:], None]:
            part = following.result()
            if after is not None:
                following = self._worker.submit(self._send, after)
            yield part

    def _send(self, part: int) -> Part:
        plan = self.layouts[part]
        data = jax.block_until_ready(distribute(self._compendium, plan, self._devices))
        return Part(data, plan.size, self.steps[part])


def _alike(layouts: list[Layout]) -> list[Layout]:
    """The layouts with shards and tables of one length, so that one compilation serves all."""
    longest, rows = max(each.longest for each in layouts), max(len(each.context) for each in layouts)

    def stretched(ids: np.ndarray) -> np.ndarray:
        return np.pad(ids, [(0, rows - len(ids))] + [(0, 0)] * (ids.ndim - 1))

    return [
        each._replace(longest=longest, context=stretched(each.context), perturbation=stretched(each.perturbation))
        for each in layouts
    ]
