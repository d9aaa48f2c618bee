"""The `training` part of a config, and the members that are trained at once."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt

from perturbjax.errors import InputError, check_positive, check_range, did_you_mean
from perturbjax.screens.arrays import Array

# What a sweep may try; these are values to a compiled step, so that all members share one compilation.
SWEPT = ('learning_rate', 'weight_decay', 'dropout')


class TrainingSettings(NamedTuple):
    """How learned models are trained; the defaults are the released LPM recipe for Replogle K562.

    Attributes:
      learning_rate, lr_decay, weight_decay: of AdamW; the learning rate is multiplied by `lr_decay` every epoch.
      batch_size: observations per step, over all devices.
      block: profiles and readouts of the blocks that a batch is made of, such as `(10, 10)`;
        `(1, 1)` draws every observation by itself.
      batch_profiles: profiles per step, each with all of its readouts, in place of `batch_size` and `block`; 0
        leaves it to these.
      accum_steps: the parts in which a device goes through its share of a batch, for less memory.
      shards: how many pieces the data are cut into. Every batch takes the same share of each, and each
        device owns some of them, so their number must be a multiple of the number of devices.
      data_chunks: how often a device's memory is filled anew in an epoch; with 1 the data stay there.
      seeds: how many members that differ in their seed alone are trained at once; they predict their mean.
      sweep: values of `SWEPT` to try, all combinations at once; those with the lowest error, by
        which epochs are chosen too, are kept.
      epochs: the most epochs.
      epoch_steps: the steps of an epoch; with 0 an epoch goes through the data once.
      patience: stop after so many epochs without a lower error out of fold, or, of a model without folds, without a
        lower validation error; 0 means never.
      checkpoint_every: epochs between checkpoints.
      tensorboard: write the training curve for TensorBoard too.
      wandb: the Weights & Biases project that gets the training curve too, a run for each model, split and member;
        empty for none.
    """

    learning_rate: float = 0.002
    lr_decay: float = 0.99
    weight_decay: float = 0.01
    batch_size: int = 5000
    block: Sequence[int] = (1, 1)
    batch_profiles: int = 0
    accum_steps: int = 1
    shards: int = 8
    data_chunks: int = 1
    seeds: int = 1
    sweep: Mapping[str, Any] = {}
    epochs: int = 50
    epoch_steps: int = 0
    patience: int = 0
    checkpoint_every: int = 1
    tensorboard: bool = False
    wandb: str = ''


def training_settings(recipe: Sequence[tuple[str, Any]], *given: Mapping[str, Any]) -> TrainingSettings:
    """The settings of a model: its own recipe, replaced by what a config gives, the later the stronger."""
    settings = dict(recipe)
    for each in given:
        if 'batch_profiles' not in each and {'batch_size', 'block'} & set(each):
            settings['batch_profiles'] = 0
        settings |= each
    return TrainingSettings(**settings)


class Member(NamedTuple):
    """What one member is trained with, or each of S members: values to a compiled step, not constants in it.

    Attributes:
      seed, learning_rate, lr_decay, weight_decay, dropout: see `TrainingSettings` and `Learner`.
      fold: the fold that it leaves out; -1 for none.
    """

    seed: UInt[Array, '*S']
    learning_rate: Float[Array, '*S'] | np.floating
    lr_decay: Float[Array, '*S'] | np.floating
    weight_decay: Float[Array, '*S'] | np.floating
    dropout: Float[Array, '*S'] | np.floating
    fold: Int[Array, '*S'] | np.int32 = np.int32(-1)

    def rate(self, epoch: Int[Array, ''] | np.int32) -> Float[Array, '*S'] | np.floating:
        """The learning rate in an epoch, counted from 0."""
        return self.learning_rate * self.lr_decay ** epoch.astype(np.float32)


def check_training(settings: TrainingSettings) -> None:
    """Raises InputError on a setting out of its range."""
    counts = ('batch_size', 'accum_steps', 'shards', 'data_chunks', 'seeds', 'epochs', 'checkpoint_every')
    check_range('training', 1, **{name: getattr(settings, name) for name in counts})
    check_positive('training', learning_rate=settings.learning_rate, lr_decay=settings.lr_decay)
    check_range('training', 0, weight_decay=settings.weight_decay, patience=settings.patience)
    check_range('training', 0, batch_profiles=settings.batch_profiles, epoch_steps=settings.epoch_steps)
    if settings.epoch_steps and settings.data_chunks > 1:
        raise InputError(
            f'training.epoch_steps: with {settings.data_chunks} data_chunks an epoch is one pass; set epoch_steps to 0.'
        )
    block = settings.block
    if len(block) != 2 or not all(isinstance(each, int) and each > 0 for each in block):
        raise InputError(f'training.block: {list(block)} must be two whole numbers, profiles and readouts.')
    if settings.batch_size % (block[0] * block[1]):
        raise InputError(
            f'training.block: {block[0]} x {block[1]} does not divide training.batch_size {settings.batch_size}; '
            f'make that {settings.batch_size - settings.batch_size % (block[0] * block[1]) or block[0] * block[1]}.'
        )
    for name, values in settings.sweep.items():
        _check_swept(name, values)


def _check_swept(name: str, values: Any) -> None:
    if name not in SWEPT:
        raise InputError(f'training.sweep: no such setting {name!r}; {did_you_mean(name, SWEPT)}')
    if not isinstance(values, list | tuple) or not values or not all(isinstance(each, int | float) for each in values):
        raise InputError(f'training.sweep.{name}: {values!r} must be numbers to try, at least one.')
    if name == 'learning_rate':
        check_positive('training.sweep', learning_rate=min(values))
    check_range('training.sweep', 0, **{name: min(values)})
    if name == 'dropout' and max(values) >= 1:
        raise InputError(f'training.sweep.dropout: {max(values)} must be below 1.')


def swept(settings: TrainingSettings) -> list[dict[str, float]]:
    """The combinations of settings to try; one empty combination where nothing is swept."""
    return [dict(zip(settings.sweep, values, strict=True)) for values in itertools.product(*settings.sweep.values())]


def members(settings: TrainingSettings, seed: int, dropout: float, num_folds: int = 0) -> Member:
    """All members: every combination of what is swept with every seed, from `seed` on, and every fold."""
    plain = {'learning_rate': settings.learning_rate, 'weight_decay': settings.weight_decay, 'dropout': dropout}
    each = [
        Member(seed=np.uint32(seed + i), lr_decay=np.float32(settings.lr_decay), fold=np.int32(fold), **(plain | tried))  # type: ignore[arg-type]
        for tried in swept(settings)
        for fold in (range(num_folds) if num_folds else (-1,))
        for i in range(settings.seeds)
    ]
    types = np.uint32, *[np.float32] * 4, np.int32
    return Member(*(np.array(column, dtype) for column, dtype in zip(zip(*each), types, strict=True)))
