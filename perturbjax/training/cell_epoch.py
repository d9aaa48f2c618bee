"""An epoch of a model that learns from cells: compiled steps over all devices, and the error of validation cells."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Bool, Float, Int, UInt

from perturbjax.errors import InputError
from perturbjax.models.cell_learner import Course, Drawn, Rule, State, Tables
from perturbjax.models.cells import Dealt, deal
from perturbjax.progress import tell_first_step
from perturbjax.screens.arrays import Array
from perturbjax.training.cell_pipeline import CellPipeline, PartData
from perturbjax.training.history import Seen

# A call takes about so many seconds, so that a run that is asked to stop can do so soon; and at most so many steps.
_SECONDS, _STEPS = 3, 100


class Losses(NamedTuple):
    """Of each step of a call, 0 of those that it does not have.

    Attributes:
      loss, weight: see `StepLoss`.
      cells: how many it went through.
    """

    loss: Float[jax.Array, ' steps']
    weight: Float[jax.Array, ' steps']
    cells: Float[jax.Array, ' steps']


class CellTrainer(NamedTuple):
    """What stays the same from epoch to epoch.

    Attributes:
      label: of the model, for sentences.
      course: the cells and what is to be done with them.
      pipeline: what sends them to the devices.
      tables: of the course, on the devices.
      weights_key, noise_key: its keys of these names, as plain numbers on the devices.
    """

    label: str
    course: Course
    pipeline: CellPipeline
    tables: Tables
    weights_key: UInt[jax.Array, '...']
    noise_key: UInt[jax.Array, '...']


def make_trainer(label: str, course: Course, chunks: int, devices: Sequence[jax.Device]) -> CellTrainer:
    """Puts the cells on the devices; raises InputError where they do not fit."""
    pipeline = CellPipeline(course, chunks, devices)
    keys = [jax.random.key_data(each) for each in (course.keys.weights, course.keys.noise)]
    return CellTrainer(label, course, pipeline, *pipeline.replicate((course.tables, *keys)))


def train_epoch(
    trainer: CellTrainer, state: State, epoch: int, active: Bool[np.ndarray, ' 1'], progress_bar: Any, seen: Seen,
    stops: Callable[[], bool],
) -> tuple[State, Seen, bool]:  # fmt: skip
    """One epoch, or the rest of it; see `epoch.train_epoch`. The devices are a call ahead of the host."""
    course, done, pace = trainer.course, seen.steps, Pace()
    order = jax.random.permutation(jax.random.fold_in(course.keys.order, epoch), course.training)
    dealt = dealt_to_train(course, np.asarray(order))
    for part in trainer.pipeline.parts(dealt, course.plan(epoch, len(dealt.numbers)), done):
        first, ahead = max(0, done - part.first), None
        while first < part.steps:
            if stops():
                return state, _fetched(trainer, seen, ahead, progress_bar), False
            steps = min(pace.steps, part.steps - first)
            index = map(np.int32, (epoch, first, steps))
            with jax.set_mesh(trainer.pipeline.mesh):
                state, found = _train_steps(course.rule, state, trainer.tables, part.data, trainer.noise_key, *index)
            seen = _fetched(trainer, seen, ahead, progress_bar)
            pace.after(steps)
            ahead, first = (found, steps), first + steps
        seen = _fetched(trainer, seen, ahead, progress_bar)
        del part  # before the one after the next takes its room
    return state, seen, True


class Pace:
    """How many steps a call has: as many as take some seconds, but on several hosts, which must agree, always ten."""

    def __init__(self) -> None:
        self.steps, self._before = (1 if jax.process_count() == 1 else 10), (0.0, 0)

    def after(self, steps: int) -> None:
        """Takes note that a call of so many steps was made, and that the one before it is done since the last note."""
        now, (then, done) = time.perf_counter(), self._before
        if done and jax.process_count() == 1:
            self.steps = int(np.clip(_SECONDS * done / max(now - then, 1e-6), 1, _STEPS))
        self._before = now, steps


def validation_error(trainer: CellTrainer, state: State, epoch: int, is_last: bool) -> float | None:
    """The error of the validation cells; None without any, infinite after an epoch that is not looked at."""
    course = trainer.course
    if course.validation is None:
        return None
    if not course.looks(epoch) and not is_last:
        return np.inf
    with jax.set_mesh(trainer.pipeline.mesh):
        carry = _first_look(course.rule, trainer.tables)
        for part in trainer.pipeline.parts(course.validation, ()):
            index = map(np.int32, (epoch, part.steps))
            carry = _look(course.rule, carry, state, trainer.tables, part.data, trainer.noise_key, *index)
        return float(_error(course.rule, carry, trainer.tables))


def first_state(trainer: CellTrainer) -> State:
    """The state before the first step, on the host."""
    with jax.set_mesh(trainer.pipeline.mesh):
        return jax.device_get(_start(trainer.course.rule, trainer.weights_key, trainer.tables))


def dealt_to_train(course: Course, order: Int[np.ndarray, ' a']) -> Dealt:
    """The batches of an epoch, which goes through the training cells in that order."""
    dealt = deal(order, course.batch_size, course.fewest)
    assert dealt is not None  # a course has a batch at least
    return dealt


def _fetched(trainer: CellTrainer, seen: Seen, ahead: tuple[Losses, int] | None, progress_bar: Any) -> Seen:
    """What is seen after the call that was ahead of the host; raises InputError where a loss was not finite."""
    if ahead is None:
        return seen
    losses, steps = jax.device_get(ahead[0]), ahead[1]
    tell_first_step()
    progress_bar.update(int(losses.cells.sum()))
    if not np.isfinite(losses.loss).all():
        bad = seen.steps + int(np.argmin(np.isfinite(losses.loss)))
        raise InputError(
            f'models.{trainer.label}: the loss was no longer finite at step {bad} of an epoch; lower the learning '
            f'rates of models.{trainer.label}.'
        )
    for step in range(steps):  # one by one, so that the sum does not depend on the calls
        seen = seen.plus(1, losses.loss[[step]] * losses.weight[[step]], losses.weight[[step]])
    return seen


@functools.partial(jax.jit, static_argnums=0)
def _start(rule: Rule, key: UInt[jax.Array, '...'], tables: Tables) -> State:
    return rule.start(jax.random.wrap_key_data(key), tables)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _train_steps(
    rule: Rule, state: State, tables: Tables, data: PartData, key: UInt[jax.Array, '...'], epoch: Int[Array, ''],
    first: Int[Array, ''], steps: Int[Array, ''],
) -> tuple[State, Losses]:  # fmt: skip
    """So many steps of a part, from its step `first` on; and their losses."""
    of_epoch = jax.random.fold_in(jax.random.wrap_key_data(key), epoch)

    def one(step: Int[jax.Array, ''], carry: tuple[State, Losses]) -> tuple[State, Losses]:
        state, losses = carry
        numbers, weight, plan = jax.tree.map(lambda each: each[step], (*data.dealt, data.plan))
        drawn = Drawn(data.rows, numbers, weight)
        state, found = rule.step(state, tables, drawn, plan, jax.random.fold_in(of_epoch, data.first + step))
        state = jax.lax.with_sharding_constraint(state, PartitionSpec())  # all of it on every device
        now = Losses(found.loss, found.weight, jnp.asarray(weight).sum())
        return state, jax.tree.map(lambda each, new: each.at[step - first].set(new), losses, now)

    return jax.lax.fori_loop(first, first + steps, one, (state, Losses(*jnp.zeros((3, _STEPS)))))


@functools.partial(jax.jit, static_argnums=0)
def _first_look(rule: Rule, tables: Tables) -> Any:
    return rule.first_look(tables)


@functools.partial(jax.jit, static_argnums=0)
def _look(
    rule: Rule, carry: Any, state: State, tables: Tables, data: PartData, key: UInt[jax.Array, '...'],
    epoch: Int[Array, ''], steps: Int[Array, ''],
) -> Any:  # fmt: skip
    """The sums after the batches of a part."""
    of_epoch = jax.random.fold_in(jax.random.wrap_key_data(key), epoch)

    def one(step: Int[jax.Array, ''], carry: Any) -> Any:
        drawn = Drawn(data.rows, data.dealt.numbers[step], data.dealt.weight[step])
        return rule.look(carry, state, tables, drawn, jax.random.fold_in(of_epoch, data.first + step))

    return jax.lax.fori_loop(0, steps, one, carry)


@functools.partial(jax.jit, static_argnums=0)
def _error(rule: Rule, carry: Any, tables: Tables) -> Float[jax.Array, '']:
    return rule.error(carry, tables)
