"""Which step CPA takes when, and by how much: functions of the epoch, counted from 0, and of the batch in it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

SCHEDULES = ('released', 'meant')

# The kinds of steps: the autoencoder and then the adversary; the autoencoder against the adversary; the adversary.
BOTH, AGAINST, ADVERSARY = range(3)

# What the rates are multiplied by when they fall, and after how many epochs they are meant to.
_FALL, _FALL_AFTER = 0.9, 25

# Epochs in which mixup grows to its full size.
_MIXUP_WARMUP = 10


class Settings(NamedTuple):
    """What CPA does when; the defaults are those of Ahlmann-Eltze et al. 2025.

    Attributes:
      pretraining: the last epoch, counted from 0, before the autoencoder plays against the adversary.
      warmup: after so many more epochs the adversary counts in full.
      adversary: how much it then counts in the loss of the autoencoder.
      turns: one of so many steps is the autoencoder's.
      mixup: cells are mixed by shares of Beta(mixup, mixup); 0 for none.
      schedule: when the rates fall, one of `SCHEDULES`.
      every: epochs between two looks at the validation cells.
    """

    pretraining: int = 10
    warmup: int = 50
    adversary: float = 10.0
    turns: int = 3
    mixup: float = 0.0
    schedule: str = 'released'
    every: int = 5


def rate_factor(epoch: int, schedule: str) -> float:
    """What the learning rates are multiplied by.

    As released, the rates' own schedule advances once in 25 epochs, and counts 25 such steps before they fall.
    """
    falls = epoch // _FALL_AFTER if schedule == 'meant' else max(epoch - 1, 0) // _FALL_AFTER**2
    return _FALL**falls


def adversary_share(epoch: int, settings: Settings) -> float:
    """How much the adversary counts in the loss of the autoencoder; below 0 before it counts at all."""
    grown = min((epoch - settings.pretraining) / settings.warmup, 1.0) if settings.warmup else 1.0
    return settings.adversary * grown


def mixup_size(epoch: int, settings: Settings) -> float:
    """The parameter of the shares by which cells are mixed: it grows once the adversary counts."""
    return settings.mixup * min(max((epoch - settings.pretraining) / _MIXUP_WARMUP, 0.0), 1.0)


def kinds_of_steps(epoch: int, batches: int, settings: Settings) -> Int[np.ndarray, ' {batches}']:
    """The kind of step that each batch of an epoch is for."""
    if epoch <= settings.pretraining:
        return np.full(batches, BOTH, np.int32)
    return np.where(np.arange(batches) % settings.turns == 0, AGAINST, ADVERSARY).astype(np.int32)
