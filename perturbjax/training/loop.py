"""Training LPM: epochs, validation, early stop, checkpoints, resume."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from perturbjax.errors import InputError, check_range
from perturbjax.models.lpm import LPM, Fitted
from perturbjax.progress import bar
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, VALIDATION, Split
from perturbjax.screens.vocabulary import PADDING
from perturbjax.training import checkpoints
from perturbjax.training.parallel import numbers, pmap_evaluate, pmap_steps, replicate
from perturbjax.training.sampling import pack
from perturbjax.training.step import Recipe, State, Tally, add_tally, empty_tally, initialise
from perturbjax.training.writers import Curve

STEPS_PER_CALL = 100
EVALUATED_AT_ONCE = 2**15


class Settings(NamedTuple):
    """How LPM is trained; the defaults are the released recipe for Replogle K562.

    Attributes:
      learning_rate, decay, weight_decay: of AdamW; the rate is multiplied by `decay` every epoch.
      batch: observations per step, over all devices.
      epochs: at most.
      patience: stop after so many epochs without a better validation error; 0 = never.
      checkpoint_every: epochs between checkpoints; the best epoch is saved whenever it comes.
      tensorboard: write the curve for TensorBoard too.
    """

    learning_rate: float = 0.002
    decay: float = 0.99
    weight_decay: float = 0.01
    batch: int = 5000
    epochs: int = 50
    patience: int = 0
    checkpoint_every: int = 1
    tensorboard: bool = False


class Progress(NamedTuple):
    """How far training is: the next epoch, the last validation error and the best (None without validation)."""

    epoch: int = 0
    rmse: float | None = None
    best: float | None = None
    best_epoch: int = 0

    def after(self, rmse: float | None) -> 'Progress':
        """One epoch later."""
        if rmse is not None and (self.best is None or rmse < self.best):
            return Progress(self.epoch + 1, rmse, rmse, self.epoch + 1)
        return self._replace(epoch=self.epoch + 1, rmse=rmse)

    def is_over(self, settings: Settings) -> bool:
        impatient = settings.patience > 0 and self.best is not None
        return self.epoch >= settings.epochs or (impatient and self.epoch - self.best_epoch >= settings.patience)

    def is_to_be_saved(self, settings: Settings) -> bool:
        """Every so often, at the end, and whenever validation is better than ever."""
        due = self.epoch % settings.checkpoint_every == 0
        return due or self.best_epoch == self.epoch or self.is_over(settings)


class Compiled(NamedTuple):
    """Everything that stays the same from epoch to epoch.

    Attributes:
      batch: observations per step.
      size: observations per epoch.
      steps: `(state, number of steps) -> (state, tally)`, on all devices.
      validate: `state -> tally` over the validation observations; None without any.
      fitted: `state -> Fitted`.
    """

    batch: int
    size: int
    steps: Callable[[State, int], tuple[State, Tally]]
    validate: Callable[[State], Tally] | None
    fitted: Callable[[State], Fitted]


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
    where nothing validates).

    Raises:
      InputError: the loss is no longer finite; names the step.
    """
    devices = tuple(devices or jax.local_devices())
    compiled, state = _compile(module, compendium, split, settings, seed, devices)
    size = compiled.size
    with checkpoints.open_folder(folder, best=compiled.validate is not None) as manager:
        state, progress = _start(manager, state)
        state = replicate(state, devices)
        curve.forget_from(progress.epoch + 1)
        with bar(f'{curve.model}, split {curve.split}', settings.epochs * size, progress.epoch * size) as shown:
            while not progress.is_over(settings):
                began = time.perf_counter()
                state, tally = _epoch(compiled, state, settings, shown)
                seconds = time.perf_counter() - began
                rmse = None if compiled.validate is None else _rmse(compiled.validate(state))
                progress = progress.after(rmse)
                _report(curve, shown, progress, _rmse(tally), size / seconds)
                if progress.is_to_be_saved(settings):
                    params = compiled.fitted(state)
                    checkpoints.save(manager, progress.epoch, params, about, state, progress._asdict())
    return checkpoints.read(folder, compiled.fitted(state)).params


def check_training(settings: Settings) -> None:
    """Raises InputError on a setting out of its range."""
    whole = {name: getattr(settings, name) for name in ('batch', 'epochs', 'checkpoint_every')}
    check_range('training', 1, **whole)
    check_range('training', 0.0, learning_rate=settings.learning_rate, decay=settings.decay)
    check_range('training', 0, weight_decay=settings.weight_decay, patience=settings.patience)


def _compile(
    module: LPM, compendium: Compendium, split: Split, settings: Settings, seed: int, devices: tuple[jax.Device, ...]
) -> tuple[Compiled, State]:
    """Puts the data on the devices, and makes the functions that work on it and the first state."""
    data, held_out = pack(compendium, split.mask(TRAIN)), split.mask(VALIDATION)
    size = int(data.size)
    recipe = Recipe(min(settings.batch, size), settings.learning_rate, settings.decay, settings.weight_decay)
    run = pmap_steps(module, recipe, devices)
    placed, placed_seed = replicate((data, np.uint32(seed)), devices)
    device = numbers(devices)
    counts = training_counts(compendium, split.mask(TRAIN))
    return Compiled(
        batch=recipe.batch,
        size=size,
        steps=lambda state, steps: run(state, placed, placed_seed, device, np.int32(steps)),
        validate=_validation(module, compendium, held_out, devices),
        fitted=lambda state: Fitted(jax.device_get(state.weights), *counts),
    ), initialise(module, recipe, data.perturbation.shape[1], seed)


def _validation(
    module: LPM, compendium: Compendium, held_out: tuple[np.ndarray, ...], devices: tuple[jax.Device, ...]
) -> Callable[[State], Tally] | None:
    screens = zip(compendium.screens, held_out, strict=True)
    if not any((~np.isnan(screen.values[mask])).any() for screen, mask in screens):
        return None
    data = pack(compendium, held_out)
    evaluate = pmap_evaluate(module, min(EVALUATED_AT_ONCE * len(devices), len(data.values)), devices)
    placed, device = replicate(data, devices), numbers(devices)
    return lambda state: evaluate(placed, device, state.weights)


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
        np.add.at(readouts, screen.readout, (~np.isnan(screen.values[mask])).sum(axis=0))
    return contexts, perturbations, readouts


def _start(manager: Any, state: State) -> tuple[State, Progress]:
    """The latest checkpoint's state and progress, or the first state."""
    saved = checkpoints.resume(manager, state)
    return (state, Progress()) if saved is None else (saved[0], Progress(**saved[1]))


def _epoch(compiled: Compiled, state: State, settings: Settings, shown: Any) -> tuple[State, Tally]:
    """One epoch, in calls of `STEPS_PER_CALL` steps."""
    total, all_steps = empty_tally(), -(-compiled.size // compiled.batch)
    for first in range(0, all_steps, STEPS_PER_CALL):
        steps = min(STEPS_PER_CALL, all_steps - first)
        state, tally = compiled.steps(state, steps)
        tally = jax.device_get(tally)
        if tally.bad_step >= 0:
            raise InputError(
                f'training: the loss was no longer finite at step {tally.bad_step}; '
                f'lower training.learning_rate (it is {settings.learning_rate:g}).'
            )
        total = add_tally(total, tally)
        shown.update(min(steps * compiled.batch, compiled.size - first * compiled.batch))
    return state, total


def _rmse(tally: Tally) -> float:
    return math.sqrt(float(tally.squared_error) / float(tally.observations))


def _report(curve: Curve, shown: Any, progress: Progress, training_rmse: float, rate: float) -> None:
    errors = {'training': training_rmse} | ({} if progress.rmse is None else {'validation': progress.rmse})
    named = {f'{name}_rmse': value for name, value in errors.items()}
    curve.write(epoch=progress.epoch, **named, observations_per_second=round(rate))
    digits = {name: f'{value:.4f}' for name, value in errors.items()}
    shown.set_postfix(epoch=progress.epoch, **digits, refresh=False)
