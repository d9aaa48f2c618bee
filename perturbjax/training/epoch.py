"""Everything that training and validating need, on the devices; and one epoch of either."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from perturbjax.errors import InputError
from perturbjax.models.model import Constants, Learner, Target
from perturbjax.models.training_counts import measured_counts
from perturbjax.progress import tell_first_step
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, VALIDATION, Split
from perturbjax.screens.weights import unweighted
from perturbjax.training.history import Seen
from perturbjax.training.input_pipeline import InputPipeline, device_indices, replicate
from perturbjax.training.settings import Member, TrainingSettings, members, swept
from perturbjax.training.train_state import Metrics, TrainState
from perturbjax.training.train_step import (
    Devices,
    StepIndex,
    make_step_config,
    pmap_evaluate,
    pmap_flush,
    pmap_train_steps,
)

STEPS_PER_CALL = 100
EVALUATED_AT_ONCE = 2**15
_NOTHING = Seen()


class Trainer(NamedTuple):
    """What stays the same from epoch to epoch.

    Attributes:
      settings: as configured.
      members: what each member is trained with.
      constants: what the model takes from the training data as it is.
      target: what is learnt, and what the model needs of it to be finished.
      training: the data to learn from.
      validation: the data to validate on; None without any.
      devices: all devices, of all hosts.
      device_index: each device's index, on that device.
    """

    settings: TrainingSettings
    members: Member
    constants: Constants
    target: Target
    training: InputPipeline
    validation: InputPipeline | None
    devices: Devices
    device_index: Int[jax.Array, ' L']

    @property
    def selects(self) -> bool:
        """Whether an error chooses the epoch whose weights are kept; else the last one's are."""
        return self.validation is not None or self.training.config.learner.unseen_error is not None

    @property
    def members_each(self) -> int:
        """How many members each combination of swept settings has: its seeds, each with every fold."""
        return self.settings.seeds * max(1, self.training.config.learner.num_folds)

    @property
    def epoch_size(self) -> int:
        """How many observations an epoch goes through."""
        steps = self.settings.epoch_steps
        return self.training.size * steps // sum(self.training.steps) if steps else self.training.size


def make_trainer(
    learner: Learner, compendium: Compendium, split: Split, settings: TrainingSettings, seed: int, devices: Devices
) -> Trainer:
    """Puts the data on the devices; raises InputError where the settings do not fit them."""
    every = members(settings, seed, learner.dropout, learner.num_folds)
    target = learner.target(compendium, split.mask(TRAIN))
    has_dropout = bool(every.dropout.max() > 0)

    def pipeline(role: int, batch_size: int) -> InputPipeline:
        chosen, sized = split.mask(role), settings._replace(batch_size=batch_size)
        # Weights are for learning; what is best is chosen by the plain error.
        learnt = target.compendium if role == TRAIN else unweighted(target.compendium)
        config = make_step_config(learner, learnt, chosen, sized, len(devices), has_dropout)
        left_out = target.left_out if role == TRAIN else None
        return InputPipeline(learnt, chosen, settings.data_chunks, config, devices, left_out)

    screens = zip(compendium.screens, split.mask(VALIDATION), strict=True)
    validates = any(measured_counts(screen, mask).any() for screen, mask in screens)
    has_folds = learner.unseen_error is not None and any(bits.any() for bits in target.left_out or ())
    if not validates and not has_folds and len(swept(settings)) > 1:
        raise InputError(
            'training.sweep: there is nothing to choose by, neither profiles for validation nor folds; leave sweep out.'
        )
    validation = pipeline(VALIDATION, EVALUATED_AT_ONCE * len(devices)) if validates else None
    training = pipeline(TRAIN, settings.batch_size)
    constants = learner.prepare(compendium, split.mask(TRAIN))
    placed_members, placed_constants = replicate((every, constants), devices)
    return Trainer(
        settings, placed_members, placed_constants, target, training, validation, devices, device_indices(devices)
    )


def train_epoch(
    trainer: Trainer,
    state: TrainState,
    epoch: int,
    active: Bool[np.ndarray, ' S'],
    progress_bar: Any,
    seen: Seen = _NOTHING,
    stops: Callable[[], bool] = lambda: False,
) -> tuple[TrainState, Seen, bool]:
    """One epoch, or the rest of it; the devices are a call ahead of the host, which looks at every call once.

    Args:
      trainer, state: what is trained.
      epoch: its number, from 0.
      active: which members train.
      progress_bar: is moved on.
      seen: what the epoch has already gone through.
      stops: asked after every call; if it says so, the epoch ends there.

    Returns:
      The state; what the epoch has gone through now; and whether that is all of it.
    """
    pipeline, devices = trainer.training, trainer.devices
    run, is_active = pmap_train_steps(pipeline.config, devices), replicate(active, devices)
    epoch_steps = trainer.settings.epoch_steps
    before, done, is_stopped = 0, seen.steps, False  # steps of the chunks before; had when the call began
    for chunk in pipeline.epoch(epoch):
        ahead: list[tuple[Metrics, int, int]] = []
        chunk_steps, pass_steps = (epoch_steps, chunk.steps) if epoch_steps else (chunk.steps, 0)
        size = chunk.size * chunk_steps // chunk.steps
        for first, steps in _calls(chunk_steps):
            if before + first < done:
                continue
            if is_stopped := stops():
                break
            step = epoch * (epoch_steps or sum(pipeline.steps)) + before + first
            index = StepIndex(*map(np.int32, (epoch, step, first, pass_steps)))
            state, found = run(
                state, chunk.data, trainer.constants, trainer.members, is_active, index,
                trainer.device_index, np.int32(steps),
            )  # fmt: skip
            seen = _fetched(trainer, seen, ahead, progress_bar)
            ahead = [(found, steps, size * (first + steps) // chunk_steps - size * first // chunk_steps)]
        seen = _fetched(trainer, seen, ahead, progress_bar)  # before the next chunk takes its room
        if is_stopped:
            return state, seen, False
        before += chunk_steps
    if pipeline.config.row_tables:
        state = pmap_flush(devices, pipeline.config.learner.table_decay)(
            state, np.int32(epoch), trainer.members, trainer.device_index
        )
    return state, seen, True


def _calls(steps: int) -> Iterator[tuple[int, int]]:
    """First step and number of steps of each call: one step to see that it works, then many at a time."""
    if steps:
        yield 0, 1
    for first in range(1, steps, STEPS_PER_CALL):
        yield first, min(STEPS_PER_CALL, steps - first)


def _fetched(trainer: Trainer, seen: Seen, ahead: list[tuple[Metrics, int, int]], progress_bar: Any) -> Seen:
    """What is seen after the calls that were ahead of the host: their metrics, steps and observations."""
    for found, steps, observations in ahead:
        metrics = _fetch(trainer, found, observations, progress_bar)
        seen = seen.plus(steps, metrics.loss, metrics.observations)
    return seen


def _fetch(trainer: Trainer, metrics: Metrics, observations: int, progress_bar: Any) -> Metrics:
    """The metrics on the host; raises InputError where a loss was not finite."""
    metrics = jax.device_get(metrics)
    tell_first_step()
    progress_bar.update(observations)
    if (metrics.bad_step >= 0).any():
        member = int(np.argmax(metrics.bad_step >= 0))
        rate = float(jax.device_get(trainer.members.learning_rate)[member])
        mend = f'lower training.learning_rate (it is {rate:g}).'
        if 'learning_rate' in trainer.settings.sweep:
            mend = f'leave {rate:g} out of training.sweep.learning_rate.'
        raise InputError(f'training: the loss was no longer finite at step {metrics.bad_step[member]}; {mend}')
    return metrics


def evaluate(trainer: Trainer, state: TrainState) -> Float[np.ndarray, ' S'] | None:
    """The validation RMSE; None where nothing validates."""
    pipeline = trainer.validation
    if pipeline is None:
        return None
    run = pmap_evaluate(pipeline.config, trainer.devices)
    metrics = [
        jax.device_get(
            run(chunk.data, trainer.constants, trainer.device_index, np.int32(chunk.steps),
                state.weights, state.statistics)
        )
        for chunk in pipeline.epoch(0)
    ]  # fmt: skip
    return _rmse(metrics)


def _rmse(metrics: list[Metrics]) -> Float[np.ndarray, ' S']:
    losses, observations = (np.sum(each, axis=0, dtype=np.float64) for each in list(zip(*metrics))[:2])
    return np.sqrt(losses / np.maximum(observations, 1))


@functools.partial(jax.jit, donate_argnums=0)
def keep_best(best: Any, now: Any, is_better: Bool[Array, ' S']) -> Any:
    """Of two trees `[S, ...]` the rows of `now` for the members that are better than ever, else those of `best`."""

    def either(old: Shaped[Array, ' S *rest'], new: Shaped[Array, ' S *rest']) -> Shaped[jax.Array, ' S *rest']:
        return jnp.where(is_better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(either, best, now)
