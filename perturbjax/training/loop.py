"""Training LPM: epochs, validation, early stop, checkpoints, resume."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from perturbjax.models.lpm import LPM, Fitted
from perturbjax.models.model import Params
from perturbjax.progress import bar
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, Split
from perturbjax.screens.vocabulary import PADDING
from perturbjax.training import checkpoints
from perturbjax.training.history import History
from perturbjax.training.packing import measured
from perturbjax.training.placement import replicate
from perturbjax.training.settings import Settings, swept
from perturbjax.training.state import State
from perturbjax.training.step import initialise
from perturbjax.training.trainer import Trainer, keep, learn, make_trainer, validate
from perturbjax.training.writers import Curve


class Learnt(NamedTuple):
    """The members' states `[S, ...]`, and their weights when validation was best; None without validation."""

    state: State
    best: Params | None


def train(
    module: LPM,
    compendium: Compendium,
    split: Split,
    settings: Settings,
    seed: int,
    about: checkpoints.About,
    folder: epath.Path,
    curve: Curve,
    devices: Sequence[jax.Device] | None = None,
) -> Fitted:
    """Trains, or goes on training, until the epochs are over or validation stops improving.

    A run that was stopped goes on from the latest checkpoint in `folder` and gives, bit for bit,
    what it would have given. Returns the params with the best validation error (the last ones
    where nothing validates), of several seeds as an ensemble.

    Raises:
      InputError: the loss is no longer finite; names the step.
    """
    trainer = make_trainer(module, compendium, split, settings, seed, tuple(devices or jax.devices()))
    counts, size = training_counts(compendium, split.mask(TRAIN)), trainer.training.size
    with checkpoints.open_folder(folder) as manager:
        learnt, history = _start(trainer, manager)
        curve.forget_from(history.epoch + 1)
        with bar(f'{curve.model}, split {curve.split}', settings.epochs * size, history.epoch * size) as shown:
            while (active := history.active(settings)).any():
                learnt, history = _epoch(trainer, learnt, history, active, curve, shown)
                if history.is_to_be_saved(settings):
                    fitted = Fitted(_chosen(learnt, history, settings), *counts)
                    checkpoints.save(manager, history.epoch, fitted, about, learnt, history.to_json())
    return Fitted(_chosen(learnt, history, settings), *counts)


def _start(trainer: Trainer, manager: Any) -> tuple[Learnt, History]:
    """The latest checkpoint, or the first state; on the devices."""
    seeds = jax.device_get(trainer.members.seed)
    state = initialise(trainer.training.plan, trainer.training.order, seeds)
    learnt = Learnt(state, None if trainer.validation is None else state.weights)
    saved = checkpoints.resume(manager, learnt)
    if saved is None:
        return replicate(learnt, trainer.devices), History.start(len(seeds))
    return replicate(saved[0], trainer.devices), History.from_json(saved[1])


def _epoch(
    trainer: Trainer, learnt: Learnt, history: History, active: np.ndarray, curve: Curve, shown: Any
) -> tuple[Learnt, History]:
    """One epoch of the active members, and the validation after it."""
    began = time.perf_counter()
    state, training = learn(trainer, learnt.state, history.epoch, active, shown)
    seconds = time.perf_counter() - began
    validation = validate(trainer, state.weights)
    history, better = history.after(validation, active)
    errors = {'training': training} | ({} if validation is None else {'validation': validation})
    rate = round(trainer.training.size * int(active.sum()) / seconds)
    lines: list[dict[str, Any]] = []
    for member in np.flatnonzero(active).tolist():
        own = {f'{name}_rmse': float(each[member]) for name, each in errors.items()}
        label = _label(trainer.settings, member)
        lines.append({'epoch': history.epoch, **label, **own, 'observations_per_second': rate})
    curve.write(*lines)
    means = {name: f'{each[active].mean():.4f}' for name, each in errors.items()}
    shown.set_postfix(epoch=history.epoch, **means, refresh=False)
    if learnt.best is None:
        return Learnt(state, None), history
    return Learnt(state, keep(learnt.best, state.weights, replicate(better, trainer.devices))), history


def _label(settings: Settings, member: int) -> dict[str, Any]:
    """What sets a member apart in the training curve; nothing where it is the only one."""
    tried = swept(settings)
    seed = {'member': int(member % settings.seeds)} if settings.seeds > 1 else {}
    return seed | tried[member // settings.seeds]


def _chosen(learnt: Learnt, history: History, settings: Settings) -> Params:
    """The weights to predict with; of a single member without the axis of members."""
    weights = learnt.state.weights if learnt.best is None else learnt.best
    members = history.chosen(settings)
    own: Any = members if settings.seeds > 1 else members.start
    return jax.tree.map(lambda each: each[own], jax.device_get(weights))


def training_counts(
    compendium: Compendium, training: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many training profiles each context, perturbation and readout has, `[C]`, `[P]`, `[M]`."""
    sizes = (len(names) for names in dataclasses.astuple(compendium.vocabulary))
    contexts, perturbations, readouts = (np.zeros(size, np.int32) for size in sizes)
    for screen, mask in zip(compendium.screens, training, strict=True):
        np.add.at(contexts, screen.context[mask], 1)
        ids = screen.perturbation[mask]
        np.add.at(perturbations, ids[ids != PADDING], 1)
        np.add.at(readouts, screen.readout, measured(screen, mask))
    return contexts, perturbations, readouts
