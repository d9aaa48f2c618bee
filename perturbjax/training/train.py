"""Training a learned model: epochs, validation, early stop, checkpoints, resume."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from perturbjax.models.model import Fitted, Learner, Statistics, Weights
from perturbjax.progress import bar
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import Split
from perturbjax.training import checkpoints, interruption
from perturbjax.training.epoch import Trainer, keep_best, make_trainer, train_epoch
from perturbjax.training.history import History
from perturbjax.training.input_pipeline import replicate
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.selection import fitted_of, selection_error
from perturbjax.training.settings import TrainingSettings, swept
from perturbjax.training.train_state import TrainState
from perturbjax.training.train_step import init_states


class Best(NamedTuple):
    """The members' weights and statistics `[S, ...]` of the epoch whose error was lowest; see `selection`."""

    weights: Weights
    statistics: Statistics


class Progress(NamedTuple):
    """The members' states `[S, ...]`, and the best so far; None where nothing selects."""

    state: TrainState
    best: Best | None


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
    """Trains, or goes on training, until the epochs are over or the error to choose by stops falling.

    A run that was stopped goes on from the latest checkpoint in `folder` and gives, bit for bit,
    what it would have given without the stop.

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
    size = trainer.epoch_size
    with interruption.training(), checkpoints.open_folder(folder) as manager:
        progress, history = _start(trainer, manager)
        writer.forget_from(history.epoch + 1)
        done = history.epoch * size + int(max(history.seen.observations or [0]))
        with bar(f'{writer.model}, split {writer.split}', settings.epochs * size, done) as progress_bar:
            fitted = None
            while (active := history.active(settings)).any():
                progress, history = _run_epoch(trainer, progress, history, active, writer, progress_bar)
                stops = interruption.stops_here()
                if stops or history.is_to_be_saved(settings):
                    fitted = _chosen(trainer, progress, history)
                    checkpoints.save(manager, history.epoch, fitted, about, progress, history.to_json())
                if stops:
                    manager.wait()
                    interruption.stop(history.epoch, history.seen.steps)
    return fitted if fitted is not None else _chosen(trainer, progress, history)


def _start(trainer: Trainer, manager: Any) -> tuple[Progress, History]:
    """The latest checkpoint, or the first state; on the devices."""
    seeds, config = jax.device_get(trainer.members.seed), trainer.training.config
    state = init_states(config.learner, config.row_tables, jax.device_get(trainer.constants), seeds)
    progress = Progress(state, Best(state.weights, state.statistics) if trainer.selects else None)
    saved = checkpoints.resume(manager, progress)
    if saved is None:
        return replicate(progress, trainer.devices), History.start(len(seeds))
    if progress.best and not saved[0].best:  # of a version that kept the last epoch
        saved = saved[0]._replace(best=Best(saved[0].state.weights, saved[0].state.statistics)), saved[1]
    return replicate(saved[0], trainer.devices), History.from_json(saved[1])


def _run_epoch(
    trainer: Trainer, progress: Progress, history: History, active: np.ndarray, writer: MetricWriter, progress_bar: Any
) -> tuple[Progress, History]:
    """One epoch of the active members, or what is left of it, and the error to choose by after it."""
    began = time.perf_counter()
    state, seen, is_whole = train_epoch(
        trainer, progress.state, history.epoch, active, progress_bar, history.seen, interruption.stops_in_epoch
    )
    if not is_whole:
        return progress._replace(state=state), history._replace(seen=seen)
    training = seen.rmse
    seconds = time.perf_counter() - began
    name, judged = selection_error(trainer, state, active)
    history, is_better = history.after(judged, active, name)
    errors = {'training_rmse': training} | ({} if judged is None else {name: judged})
    rate = round(trainer.epoch_size * int(active.sum()) / seconds)
    writer.write(*_lines(trainer, history.epoch, active, errors, rate))
    means = {name: f'{each[active].mean():.4f}' for name, each in errors.items()}
    progress_bar.set_postfix(epoch=history.epoch, **means, refresh=False)
    if progress.best is None:
        return Progress(state, None), history
    now = Best(state.weights, state.statistics)
    return Progress(state, keep_best(progress.best, now, replicate(is_better, trainer.devices))), history


def _lines(
    trainer: Trainer, epoch: int, active: np.ndarray, errors: dict[str, np.ndarray], rate: int
) -> list[dict[str, Any]]:
    """The epoch's lines of the training curve, one for each active member."""
    lines: list[dict[str, Any]] = []
    for member in np.flatnonzero(active).tolist():
        own = {name: float(each[member]) for name, each in errors.items()}
        lines.append({'epoch': epoch, **_label(trainer, member), **own, 'observations_per_second': rate})
    return lines


def _label(trainer: Trainer, member: int) -> dict[str, Any]:
    """What sets a member apart in the training curve; nothing where it is the only one."""
    each = trainer.members_each
    return ({'member': member % each} if each > 1 else {}) | swept(trainer.settings)[member // each]


def _chosen(trainer: Trainer, progress: Progress, history: History) -> Fitted:
    """What to predict with: the best of the members whose swept settings have the lowest error."""
    best = progress.best or Best(progress.state.weights, progress.state.statistics)
    chosen = history.chosen(trainer.members_each)
    fitted = fitted_of(trainer, best.weights, best.statistics, chosen)
    return trainer.training.config.learner.finish(fitted, trainer.target)
