"""Training a learned model on observations: what the loop of epochs needs of it."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from etils import epath
from jaxtyping import Bool

from perturbjax.models.model import Fitted, Learner, Statistics, Weights
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import Split
from perturbjax.training import checkpoints
from perturbjax.training.epoch import Trainer, keep_best, make_trainer, train_epoch
from perturbjax.training.input_pipeline import replicate
from perturbjax.training.loop import Trainee, train_all_epochs
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.selection import fitted_of, selection_error
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train_state import TrainState
from perturbjax.training.train_step import init_states


class Best(NamedTuple):
    """The members' weights and statistics `[S, ...]` of the epoch whose error was lowest; see `selection`."""

    weights: Weights
    statistics: Statistics


def train(
    learner: Learner,
    compendium: Compendium,
    split: Split,
    settings: TrainingSettings,
    seed: int,
    about: checkpoints.About,
    folder: epath.Path,
    writer: MetricWriter,
    devices: Sequence[jax.Device] | None = None,
) -> Fitted:
    """Trains, or goes on training; see `loop.train_all_epochs`.

    Args:
      learner: of the model.
      compendium, split: what to learn from and to validate on.
      settings: how.
      seed: of the first member.
      about: what the checkpoint says of itself.
      folder: of the checkpoints.
      writer: of the training curve.
      devices: all of them, of all hosts, unless given.

    Returns:
      The params with the lowest error out of fold, or, without folds, with the lowest validation error; the last ones
      where nothing validates either.

    Raises:
      InputError: the settings do not fit the data or the devices, or the loss is no longer finite; names the step.
    """
    trainer = make_trainer(learner, compendium, split, settings, seed, tuple(devices or jax.devices()))
    return train_all_epochs(_trainee(trainer), about, folder, writer)


def _trainee(trainer: Trainer) -> Trainee:
    """The members as the loop wants them."""
    seeds, config = jax.device_get(trainer.members.seed), trainer.training.config

    def start() -> TrainState:
        return init_states(config.learner, config.row_tables, jax.device_get(trainer.constants), seeds)

    def keep(best: Best, now: Best, is_better: Bool[np.ndarray, ' S']) -> Best:
        return keep_best(best, now, replicate(is_better, trainer.devices))

    def fitted(best: Best, members: slice) -> Fitted:
        return config.learner.finish(fitted_of(trainer, *best, members), trainer.target)

    return Trainee(
        settings=trainer.settings,
        num_members=len(seeds),
        members_each=trainer.members_each,
        selects=trainer.selects,
        epoch_size=trainer.epoch_size,
        counted='observations',
        done=lambda seen: int(max(seen.observations or [0])),
        start=start,
        place=lambda tree: replicate(tree, trainer.devices),
        train_epoch=functools.partial(train_epoch, trainer),
        training_error=lambda seen: ('training_rmse', seen.rmse),
        selection_error=lambda state, _, active: selection_error(trainer, state, active),
        kept=lambda state: Best(state.weights, state.statistics),
        keep_best=keep,
        fitted=fitted,
    )
