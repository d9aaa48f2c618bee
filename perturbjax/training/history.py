"""How far training has come, and how well each member did."""

import math
from typing import Any, NamedTuple

import numpy as np

from perturbjax.screens.arrays import Array
from perturbjax.training.settings import TrainingSettings


class Seen(NamedTuple):
    """What an epoch that is not finished has gone through.

    Attributes:
      steps: how many it has had; 0 at its start.
      loss, observations: their sums over these steps, `[S]` each; None at the start.
    """

    steps: int = 0
    loss: list[float] | None = None
    observations: list[float] | None = None

    def plus(self, steps: int, loss: Array, observations: Array) -> 'Seen':
        """What is seen after more steps with these sums, `[S]`."""
        return Seen(self.steps + steps, _sum(self.loss, loss), _sum(self.observations, observations))

    @property
    def rmse(self) -> np.ndarray:
        """The RMSE so far, `[S]`."""
        return np.sqrt(np.array(self.loss or 0.0) / np.maximum(self.observations or 0.0, 1))


class History(NamedTuple):
    """The epochs done, and each member's lowest error with its epoch; saved with checkpoints.

    The error is that of validation, or out of fold; see `selection`.

    Attributes:
      epoch: how many epochs are done.
      best: the lowest error, `[S]`; infinite before the first.
      best_epoch: the epoch of that error, `[S]`.
      seen: what the next epoch has already gone through, where training was stopped in the middle of it.
      judged_by: the name of the error; empty before the first.
    """

    epoch: int
    best: list[float]
    best_epoch: list[int]
    seen: Seen = Seen()
    judged_by: str = ''

    @classmethod
    def start(cls, num_members: int) -> 'History':
        """Before the first epoch."""
        return cls(0, [math.inf] * num_members, [0] * num_members)

    def after(self, errors: np.ndarray | None, active: np.ndarray, judged_by: str = '') -> tuple['History', np.ndarray]:
        """The history one epoch later, and which members are better than ever, bool `[S]`.

        Errors of another name than before, as of an earlier version, cannot be compared with those before.
        """
        epoch = self.epoch + 1
        if errors is None:
            return self._replace(epoch=epoch, seen=Seen()), active
        so_far = np.array(self.best) if judged_by == self.judged_by else np.full(len(errors), math.inf)
        better = active & (errors < so_far)
        best = np.where(better, errors, self.best).tolist()
        best_epoch = np.where(better, epoch, self.best_epoch).tolist()
        return History(epoch, best, best_epoch, judged_by=judged_by), better

    def active(self, settings: TrainingSettings) -> np.ndarray:
        """Which members go on training, bool `[S]`: those with patience left, while epochs are left."""
        waited = self.epoch - np.array(self.best_epoch)
        impatient = (settings.patience > 0) & np.isfinite(self.best) & (waited >= settings.patience)
        return ~impatient & (self.epoch < settings.epochs)

    def is_to_be_saved(self, settings: TrainingSettings) -> bool:
        """Whether a checkpoint is due: every `checkpoint_every` epochs, and at the end."""
        return self.epoch % settings.checkpoint_every == 0 or not self.active(settings).any()

    def chosen(self, members_each: int) -> slice:
        """The members to predict with: those of the swept settings whose mean error is lowest.

        `members_each` is how many members each combination of swept settings has.
        """
        means = np.reshape(self.best, (-1, members_each)).mean(axis=1)
        first = int(np.argmin(means)) * members_each
        return slice(first, first + members_each)

    def to_json(self) -> dict[str, Any]:
        """As JSON, which has no infinity: None stands for it."""
        seen = self.seen._asdict()
        return self._asdict() | {'seen': seen, 'best': [each if math.isfinite(each) else None for each in self.best]}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> 'History':
        """What `to_json` saved."""
        best = [math.inf if each is None else each for each in saved['best']]
        return cls(**{'judged_by': 'validation_rmse'} | saved | {'best': best, 'seen': Seen(**saved.get('seen', {}))})


def _sum(before: list[float] | None, more: Array) -> list[float]:
    return np.add(before or 0.0, np.asarray(more, float)).tolist()
