"""Everything that learning and validating need, on the devices; and one epoch of either."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.errors import InputError
from perturbjax.models.lpm import LPM
from perturbjax.models.model import Params
from perturbjax.progress import tell_first_step
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, VALIDATION, Split
from perturbjax.training.feed import Feed
from perturbjax.training.packing import measured
from perturbjax.training.parallel import pmap_evaluate, pmap_settle, pmap_steps
from perturbjax.training.placement import Devices, numbers, replicate
from perturbjax.training.planning import make_plan
from perturbjax.training.settings import Member, Settings, members, swept
from perturbjax.training.state import State, Tally
from perturbjax.training.step import Place

STEPS_PER_CALL = 100
EVALUATED_AT_ONCE = 2**15


class Trainer(NamedTuple):
    """What stays the same from epoch to epoch.

    Attributes:
      settings: as configured.
      members: what each member is trained with, `[S]`.
      training: the data to learn from.
      validation: the data to validate on; None without any.
      devices: all of them, of all hosts.
      numbers: of the devices, on the devices.
    """

    settings: Settings
    members: Member
    training: Feed
    validation: Feed | None
    devices: Devices
    numbers: jax.Array


def make_trainer(
    module: LPM, compendium: Compendium, split: Split, settings: Settings, seed: int, devices: Devices
) -> Trainer:
    """Plans the steps and puts the data on the devices; raises InputError where the settings do not fit them."""
    every = members(settings, seed, module.dropout)
    module = module.clone(dropout=float(every.dropout.max()))

    def feed(part: int, batch: int) -> Feed:
        chosen = split.mask(part)
        plan = make_plan(module, compendium, chosen, settings._replace(batch=batch), len(devices))
        return Feed(compendium, chosen, settings.parts, plan, devices)

    screens = zip(compendium.screens, split.mask(VALIDATION), strict=True)
    validates = any(measured(screen, mask).any() for screen, mask in screens)
    if not validates and len(swept(settings)) > 1:
        raise InputError('training.sweep: the split keeps no profiles for validation to choose by; leave sweep out.')
    validation = feed(VALIDATION, EVALUATED_AT_ONCE * len(devices)) if validates else None
    training = feed(TRAIN, settings.batch)
    return Trainer(settings, replicate(every, devices), training, validation, devices, numbers(devices))


def learn(trainer: Trainer, state: State, epoch: int, active: np.ndarray, shown: Any) -> tuple[State, np.ndarray]:
    """One epoch, and its RMSE `[S]`; the devices are a call ahead of the host, which looks at every call once."""
    feed, devices = trainer.training, trainer.devices
    run, placed, step = pmap_steps(feed.plan, devices), replicate(active, devices), epoch * sum(feed.steps)
    tallies: list[Tally] = []
    for part in feed.epoch(epoch):
        ahead: list[tuple[Tally, int]] = []
        for first, steps in _calls(part.steps):
            place = Place(*map(np.int32, (epoch, step + first, first)))
            state, tally = run(state, part.data, trainer.members, placed, place, trainer.numbers, np.int32(steps))
            tallies += [_look(trainer, *each, shown) for each in ahead]
            seen = part.size * first // part.steps
            ahead = [(tally, part.size * (first + steps) // part.steps - seen)]
        tallies += [_look(trainer, *each, shown) for each in ahead]  # and its data make room for others
        step += part.steps
    if feed.plan.lazy:
        state = pmap_settle(devices)(state, np.int32(epoch), trainer.members, trainer.numbers)
    return state, _rmse(tallies)


def _calls(steps: int) -> Iterator[tuple[int, int]]:
    """The steps in which to call the device, first and number: one to see that it works, then many at a time."""
    if steps:
        yield 0, 1
    for first in range(1, steps, STEPS_PER_CALL):
        yield first, min(STEPS_PER_CALL, steps - first)


def _look(trainer: Trainer, tally: Tally, observations: int, shown: Any) -> Tally:
    """The tally on the host; raises InputError where a loss was not finite."""
    tally = jax.device_get(tally)
    tell_first_step()
    shown.update(observations)
    if (tally.bad_step >= 0).any():
        member = int(np.argmax(tally.bad_step >= 0))
        rate = float(jax.device_get(trainer.members.learning_rate)[member])
        mend = f'lower training.learning_rate (it is {rate:g}).'
        if 'learning_rate' in trainer.settings.sweep:
            mend = f'leave {rate:g} out of training.sweep.learning_rate.'
        raise InputError(f'training: the loss was no longer finite at step {tally.bad_step[member]}; {mend}')
    return tally


def validate(trainer: Trainer, weights: Params) -> np.ndarray | None:
    """The validation RMSE `[S]` of weights `[S, ...]`; None where nothing validates."""
    feed = trainer.validation
    if feed is None:
        return None
    run = pmap_evaluate(feed.plan, trainer.devices)
    parts = feed.epoch(0)
    tallies = [jax.device_get(run(part.data, trainer.numbers, np.int32(part.steps), weights)) for part in parts]
    return _rmse(tallies)


def _rmse(tallies: list[Tally]) -> np.ndarray:
    errors, observations = (np.sum(each, axis=0, dtype=np.float64) for each in list(zip(*tallies))[:2])
    return np.sqrt(errors / np.maximum(observations, 1))


@functools.partial(jax.jit, donate_argnums=0)
def keep(best: Params, weights: Params, better: jax.Array) -> Params:
    """The weights `[S, ...]` of the members that are better than ever, and the best of the others."""

    def either(old: jax.Array, new: jax.Array) -> jax.Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(either, best, weights)
