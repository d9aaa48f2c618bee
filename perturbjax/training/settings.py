"""What a config says of training, and the members that are trained at once."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from perturbjax.errors import InputError, check_range, did_you_mean
from perturbjax.screens.screen import Array

# What may differ between members; learning_rate and the like are values to a compiled step.
SWEPT = ('learning_rate', 'weight_decay', 'dropout')


class Settings(NamedTuple):
    """How LPM is trained; the defaults are the released recipe for Replogle K562.

    Attributes:
      learning_rate, decay, weight_decay: of AdamW; the rate is multiplied by `decay` every epoch.
      batch: observations per step, over all devices.
      block: profiles and readouts of the blocks that a batch is made of, `(10, 10)` for instance;
        `(1, 1)` draws every observation by itself.
      accumulate: parts in which a device goes through its batch, for less memory.
      shards: pieces that the data are cut into; every batch takes the same share of each, and a
        device owns some of them, so their number must be a multiple of the number of devices.
      parts: how often a device's memory is filled anew in an epoch; 1 = the data stay there.
      seeds: members that differ in their seed alone, trained at once; they predict their mean.
      sweep: values to try of `SWEPT`, all combinations at once; those with the lowest validation
        error are kept.
      epochs: at most.
      patience: stop after so many epochs without a better validation error; 0 = never.
      checkpoint_every: epochs between checkpoints.
      tensorboard: write the curve for TensorBoard too.
    """

    learning_rate: float = 0.002
    decay: float = 0.99
    weight_decay: float = 0.01
    batch: int = 5000
    block: Sequence[int] = (1, 1)
    accumulate: int = 1
    shards: int = 8
    parts: int = 1
    seeds: int = 1
    sweep: Mapping[str, Any] = {}
    epochs: int = 50
    patience: int = 0
    checkpoint_every: int = 1
    tensorboard: bool = False


class Member(NamedTuple):
    """What one member is trained with, or `[S]` of each; values to a compiled step."""

    seed: Array
    learning_rate: Array
    decay: Array
    weight_decay: Array
    dropout: Array

    def rate(self, epoch: jax.Array) -> jax.Array:
        return self.learning_rate * self.decay ** epoch.astype(np.float32)


def check_training(settings: Settings) -> None:
    """Raises InputError on a setting out of its range."""
    counts = ('batch', 'accumulate', 'shards', 'parts', 'seeds', 'epochs', 'checkpoint_every')
    check_range('training', 1, **{name: getattr(settings, name) for name in counts})
    check_range('training', 0.0, learning_rate=settings.learning_rate, decay=settings.decay)
    check_range('training', 0, weight_decay=settings.weight_decay, patience=settings.patience)
    block = settings.block
    if len(block) != 2 or not all(isinstance(each, int) and each > 0 for each in block):
        raise InputError(f'training.block: {list(block)} must be two whole numbers, profiles and readouts.')
    if settings.batch % (block[0] * block[1]):
        raise InputError(
            f'training.block: {block[0]} x {block[1]} does not divide training.batch {settings.batch}; '
            f'make that {settings.batch - settings.batch % (block[0] * block[1]) or block[0] * block[1]}.'
        )
    for name, values in settings.sweep.items():
        _check_swept(name, values)


def _check_swept(name: str, values: Any) -> None:
    if name not in SWEPT:
        raise InputError(f'training.sweep: no such setting {name!r}; {did_you_mean(name, SWEPT)}')
    if not isinstance(values, list | tuple) or not values or not all(isinstance(each, int | float) for each in values):
        raise InputError(f'training.sweep.{name}: {values!r} must be numbers to try, at least one.')
    check_range('training.sweep', 0.0 if name == 'learning_rate' else 0, **{name: min(values)})
    if name == 'dropout' and max(values) >= 1:
        raise InputError(f'training.sweep.dropout: {max(values)} must be below 1.')


def swept(settings: Settings) -> list[dict[str, float]]:
    """The combinations of settings to try; one without any where nothing is swept."""
    return [dict(zip(settings.sweep, values, strict=True)) for values in itertools.product(*settings.sweep.values())]


def members(settings: Settings, seed: int, dropout: float) -> Member:
    """All members, `[S]`: for every combination of what is swept, the seeds from `seed` on."""
    plain = {'learning_rate': settings.learning_rate, 'weight_decay': settings.weight_decay, 'dropout': dropout}
    each = [
        Member(seed=np.uint32(seed + i), decay=np.float32(settings.decay), **(plain | tried))
        for tried in swept(settings)
        for i in range(settings.seeds)
    ]
    return Member(*(np.array(column, np.uint32 if i == 0 else np.float32) for i, column in enumerate(zip(*each))))
