"""Training a model that learns from cells: what the loop of epochs needs of it."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Bool, Float

from perturbjax.models.cell_learner import CellLearner
from perturbjax.models.model import Params
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, VALIDATION, Split
from perturbjax.training import checkpoints
from perturbjax.training.cell_epoch import (
    CellTrainer,
    dealt_to_train,
    first_state,
    make_trainer,
    train_epoch,
    validation_error,
)
from perturbjax.training.history import Seen
from perturbjax.training.loop import Trainee, train_all_epochs
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings


def train_cells(
    learner: CellLearner,
    compendium: Compendium,
    split: Split,
    settings: TrainingSettings,
    seed: int,
    about: checkpoints.About,
    folder: epath.Path,
    writer: MetricWriter,
    devices: Sequence[jax.Device] | None = None,
) -> Params:
    """Trains, or goes on training; see `loop.train_all_epochs`.

    The arguments are those of `train.train`, and the settings what `settings_of` gives.
    """
    course = learner.prepare(compendium, split.mask(TRAIN), split.mask(VALIDATION), seed)
    trainer = make_trainer(writer.model, course, settings.data_chunks, tuple(devices or jax.devices()))
    return train_all_epochs(_trainee(trainer, settings), about, folder, writer)


def settings_of(learner: CellLearner, settings: TrainingSettings) -> TrainingSettings:
    """The settings with the epochs and the patience that are the model's own; it is one member."""
    return settings._replace(epochs=learner.epochs, patience=learner.patience, seeds=1, sweep={})


def _trainee(trainer: CellTrainer, settings: TrainingSettings) -> Trainee:
    """The model as the loop wants it: as a single member."""
    course = trainer.course
    dealt = dealt_to_train(course, course.training)

    def selection_error(
        state: Any, epoch: int, active: Bool[np.ndarray, ' 1']
    ) -> tuple[str, Float[np.ndarray, ' 1'] | None]:
        found = validation_error(trainer, state, epoch, epoch + 1 == settings.epochs)
        return 'validation_error', None if found is None else np.array([found])

    def keep(best: Any, now: Any, is_better: Bool[np.ndarray, ' 1']) -> Any:
        # A copy, because the next step is written over the state.
        return jax.tree.map(jnp.copy, now) if is_better[0] else best

    return Trainee(
        settings=settings,
        num_members=1,
        members_each=1,
        selects=course.validation is not None,
        epoch_size=int(dealt.weight.sum()),
        counted='cells',
        done=lambda seen: seen.steps * course.batch_size,
        start=functools.partial(first_state, trainer),
        place=trainer.pipeline.replicate,
        train_epoch=functools.partial(train_epoch, trainer),
        training_error=_training_loss,
        selection_error=selection_error,
        kept=course.rule.kept,
        keep_best=keep,
        fitted=lambda kept, _: course.finish(jax.device_get(kept)),
    )


def _training_loss(seen: Seen) -> tuple[str, Float[np.ndarray, ' 1']]:
    return 'training_loss', np.array(seen.loss or [0.0]) / np.maximum(seen.observations or [0.0], 1)
