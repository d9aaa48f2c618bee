"""LPM's training loop as the benchmarks drive it: some steps, or an epoch, at a time."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from generated_screens import RECIPES, model_of, settings_of
from measuring import Run

from perturbjax.models import Model
from perturbjax.models.model import Fitted
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, VALIDATION, Split
from perturbjax.training.epoch import Trainer, keep_best, make_trainer, train_epoch
from perturbjax.training.history import History
from perturbjax.training.input_pipeline import DataChunk, InputPipeline, device_indices, replicate
from perturbjax.training.selection import fitted_of, selection_error
from perturbjax.training.settings import TrainingSettings, members
from perturbjax.training.train_state import Metrics, TrainState
from perturbjax.training.train_step import StepConfig, StepIndex, init_states, make_step_config, pmap_train_steps


def trained(
    model: Model,
    compendium: Compendium,
    settings: TrainingSettings,
    devices: tuple[jax.Device, ...],
    steps: int,
    seed: int = 0,
) -> Callable[[], tuple[TrainState, Metrics]]:
    """A function that trains on all profiles: each call makes `steps` more steps and returns the state and metrics."""
    chosen = tuple(np.ones(len(each.values), bool) for each in compendium.screens)
    learner, every = model.learner, members(settings, seed, model.learner.dropout)
    has_dropout = bool(every.dropout.max() > 0)
    config = make_step_config(learner, compendium, chosen, settings, len(devices), has_dropout)
    (chunk,) = InputPipeline(compendium, chosen, 1, config, devices).epoch(0)
    constants = learner.prepare(compendium, chosen)
    state = replicate(init_states(learner, config.row_tables, constants, every.seed), devices)
    fixed = replicate((constants, every, np.ones(len(every.seed), bool)), devices)
    run, device_index, step = pmap_train_steps(config, devices), device_indices(devices), 0

    def more() -> tuple[TrainState, Metrics]:
        nonlocal state, step
        epoch, within = divmod(step, chunk.steps)
        index = StepIndex(np.int32(epoch), np.int32(step), np.int32(min(within, chunk.steps - steps)))
        state, metrics = run(state, chunk.data, *fixed, index, device_index, np.int32(steps))
        step += steps
        return state, jax.device_get(metrics)

    return more


def operations(recipe: str, block: str) -> float:
    """Floating-point operations of the matrix products for one observation: forward, and twice as many backward."""
    own = RECIPES[recipe]
    p, r = map(int, block.split('x'))
    # The first layer is per profile (context and perturbation) and per readout.
    first = own.embedding_dim * own.hidden_dims[0] * (2 / r + 1 / p)
    return 3 * 2 * (first + sum(a * b for a, b in zip(own.hidden_dims, (*own.hidden_dims[1:], 1), strict=True)))


def split_of(compendium: Compendium) -> Split:
    """A split in which every tenth profile is for validation, and the others for training."""
    rows = np.arange(len(compendium.screens[0].values))
    return Split('tenth', 0, (np.where(rows % 10 == 9, VALIDATION, TRAIN).astype(np.int8),))


def trainer_of(compendium: Compendium, recipe: str, block: str, chunks: int) -> Trainer:
    settings = settings_of(recipe, block, data_chunks=chunks)
    return make_trainer(model_of(recipe).learner, compendium, split_of(compendium), settings, 0, tuple(jax.devices()))


def first_state(trainer: Trainer) -> TrainState:
    config, seeds = trainer.training.config, jax.device_get(trainer.members.seed)
    state = init_states(config.learner, config.row_tables, jax.device_get(trainer.constants), seeds)
    return replicate(state, trainer.devices)


class FewSteps(NamedTuple):
    """An input pipeline that ends each chunk after its first few steps."""

    pipeline: InputPipeline
    config: StepConfig
    steps: list[int]

    def epoch(self, number: int) -> Iterator[DataChunk]:
        most = max(self.steps)
        return (chunk._replace(steps=min(chunk.steps, most)) for chunk in self.pipeline.epoch(number))


def few_steps(pipeline: InputPipeline, most: int) -> FewSteps:
    return FewSteps(pipeline, pipeline.config, [min(each, most) for each in pipeline.steps])


def epochs(trainer: Trainer) -> Run:
    """A run that trains one more epoch at every call, and gives each member's training RMSE."""
    state, epoch = first_state(trainer), 0
    everybody = np.ones(len(jax.device_get(trainer.members.seed)), bool)

    def more() -> np.ndarray:
        nonlocal state, epoch
        state, seen, _ = train_epoch(trainer, state, epoch, everybody, tqdm.tqdm(disable=True))
        epoch += 1
        return seen.rmse

    return more


def fitted_by_epoch(
    model: Model, compendium: Compendium, split: Split, settings: TrainingSettings, seed: int = 0
) -> Iterator[Callable[[], Fitted]]:
    """Trains as `training.train` does, without its files; the first turn also prepares.

    Yields, after each epoch, a function that ends training there and gives the params, which may be called until the
    next turn.
    """
    devices = tuple(jax.devices())
    trainer = make_trainer(model.learner, compendium, split, settings, seed, devices)
    state = first_state(trainer)
    history = History.start(len(jax.device_get(trainer.members.seed)))
    best = jax.tree.map(jnp.copy, (state.weights, state.statistics))

    def finished() -> Fitted:
        return model.learner.finish(fitted_of(trainer, *best, slice(None)), trainer.target)

    while (active := history.active(settings)).any():
        state, *_ = train_epoch(trainer, state, history.epoch, active, tqdm.tqdm(disable=True))
        name, errors = selection_error(trainer, state, active)
        history, is_better = history.after(errors, active, name)
        best = keep_best(best, (state.weights, state.statistics), replicate(is_better, devices))
        yield finished
