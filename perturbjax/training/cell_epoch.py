"""An epoch of a model that learns from cells: compiled steps over all devices, and the error of validation cells."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Bool, Float, Int, UInt

from perturbjax.errors import InputError
from perturbjax.models.cell_learner import Course, Drawn, Plan, Rule, State, Tables
from perturbjax.models.cells import Dealt, deal
from perturbjax.progress import tell_first_step
from perturbjax.screens.arrays import Array
from perturbjax.training.cell_pipeline import CellPipeline, Part
from perturbjax.training.history import Seen
from perturbjax.training.train_state import Metrics, add_metrics, empty_metrics

# Few, so that a run that is asked to stop can do so soon.
STEPS_PER_CALL = 10


class CellTrainer(NamedTuple):
    """What stays the same from epoch to epoch.

    Attributes:
      label: of the model, for sentences.
      course: the cells and what is to be done with them.
      pipeline: what sends them to the devices.
      tables: of the course, on the devices.
      weights, noise: its keys of these names, as plain numbers on the devices.
    """

    label: str
    course: Course
    pipeline: CellPipeline
    tables: Tables
    weights: UInt[jax.Array, '...']
    noise: UInt[jax.Array, '...']

    @property
    def steps(self) -> int:
        """How many steps an epoch has."""
        return len(_dealt(self.course, self.course.training).numbers)


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
    course, done = trainer.course, seen.steps
    order = jax.random.permutation(jax.random.fold_in(course.keys.order, epoch), course.training)
    dealt = _dealt(course, np.asarray(order))
    ahead: tuple[Metrics, int] | None = None
    for part, first, steps in _calls(trainer, dealt, course.plan(epoch, len(dealt.numbers)), done):
        if stops():
            return state, _fetched(trainer, seen, ahead, progress_bar), False
        with jax.set_mesh(trainer.pipeline.mesh):
            state, found = _train_steps(
                course.rule, state, trainer.tables, part, trainer.noise, np.int32(epoch), np.int32(first),
                np.int32(steps),
            )  # fmt: skip
        seen = _fetched(trainer, seen, ahead, progress_bar)
        ahead = found, steps
    return state, _fetched(trainer, seen, ahead, progress_bar), True


def validation_error(trainer: CellTrainer, state: State, epoch: int, is_last: bool) -> float | None:
    """The error of the validation cells; None without any, infinite after an epoch that is not looked at."""
    course = trainer.course
    if course.validation is None:
        return None
    if not course.looks(epoch) and not is_last:
        return np.inf
    dealt = course.validation
    with jax.set_mesh(trainer.pipeline.mesh):
        carry = _first_look(course.rule, trainer.tables)
        for part in trainer.pipeline.parts(dealt, ()):
            steps = min(len(dealt.numbers) - part.first, part.dealt.numbers.shape[0])
            carry = _look(
                course.rule, carry, state, trainer.tables, part, trainer.noise, np.int32(epoch), np.int32(steps)
            )
        return float(_error(course.rule, carry, trainer.tables))


def first_state(trainer: CellTrainer) -> State:
    """The state before the first step, on the host."""
    with jax.set_mesh(trainer.pipeline.mesh):
        return jax.device_get(_start(trainer.course.rule, trainer.weights, trainer.tables))


def _dealt(course: Course, order: Int[np.ndarray, ' a']) -> Dealt:
    dealt = deal(order, course.batch_size, course.fewest)
    assert dealt is not None  # a course has a batch at least
    return dealt


def _calls(trainer: CellTrainer, dealt: Dealt, plan: Plan, done: int) -> Iterator[tuple[Part, int, int]]:
    """Each call that is not done yet: its part, its first step within that and the number of its steps."""
    for part in trainer.pipeline.parts(dealt, plan, done):
        own = min(len(dealt.numbers) - part.first, part.dealt.numbers.shape[0])
        for first in range(0, own, STEPS_PER_CALL):
            if part.first + first >= done:
                yield part, first, min(STEPS_PER_CALL, own - first)


def _fetched(trainer: CellTrainer, seen: Seen, ahead: tuple[Metrics, int] | None, progress_bar: Any) -> Seen:
    """What is seen after the call that was ahead of the host; raises InputError where a loss was not finite."""
    if ahead is None:
        return seen
    metrics, steps = jax.device_get(ahead[0]), ahead[1]
    tell_first_step()
    progress_bar.update(steps * trainer.course.batch_size)
    if metrics.bad_step >= 0:
        raise InputError(
            f'models.{trainer.label}: the loss was no longer finite at step {metrics.bad_step} of an epoch; lower '
            f'models.{trainer.label}.learning_rate.'
        )
    return seen.plus(steps, np.array([metrics.loss]), np.array([metrics.observations]))


@functools.partial(jax.jit, static_argnums=0)
def _start(rule: Rule, key: UInt[jax.Array, '...'], tables: Tables) -> State:
    return rule.start(jax.random.wrap_key_data(key), tables)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _train_steps(
    rule: Rule, state: State, tables: Tables, part: Part, key: UInt[jax.Array, '...'], epoch: Int[Array, ''],
    first: Int[Array, ''], steps: Int[Array, ''],
) -> tuple[State, Metrics]:  # fmt: skip
    """So many steps of a part, from its step `first` on; and the sums of their losses and of what these count."""
    of_epoch = jax.random.fold_in(jax.random.wrap_key_data(key), epoch)

    def one(step: Int[jax.Array, ''], carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, metrics = carry
        numbers, weight, plan = jax.tree.map(lambda each: each[step], (*part.dealt, part.plan))
        place = part.first + step
        drawn = Drawn(part.rows, numbers, weight)
        state, found = rule.step(state, tables, drawn, plan, jax.random.fold_in(of_epoch, place))
        state = jax.lax.with_sharding_constraint(state, PartitionSpec())  # all of it on every device
        bad = jnp.where(jnp.isfinite(found.loss), -1, place)
        return state, add_metrics(metrics, Metrics(found.loss * found.weight, found.weight, bad))

    return jax.lax.fori_loop(first, first + steps, one, (state, empty_metrics()))


@functools.partial(jax.jit, static_argnums=0)
def _first_look(rule: Rule, tables: Tables) -> Any:
    return rule.first_look(tables)


@functools.partial(jax.jit, static_argnums=0)
def _look(
    rule: Rule, carry: Any, state: State, tables: Tables, part: Part, key: UInt[jax.Array, '...'],
    epoch: Int[Array, ''], steps: Int[Array, ''],
) -> Any:  # fmt: skip
    """The sums after the batches of a part."""
    of_epoch = jax.random.fold_in(jax.random.wrap_key_data(key), epoch)

    def one(step: Int[jax.Array, ''], carry: Any) -> Any:
        drawn = Drawn(part.rows, part.dealt.numbers[step], part.dealt.weight[step])
        return rule.look(carry, state, tables, drawn, jax.random.fold_in(of_epoch, part.first + step))

    return jax.lax.fori_loop(0, steps, one, carry)


@functools.partial(jax.jit, static_argnums=0)
def _error(rule: Rule, carry: Any, tables: Tables) -> Float[jax.Array, '']:
    return rule.error(carry, tables)
