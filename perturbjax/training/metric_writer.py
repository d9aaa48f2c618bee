"""The training curve, written as JSON lines by process 0, and read back for the report."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import pandas as pd
from absl import logging
from etils import epath

from perturbjax.errors import InputError, reason
from perturbjax.training.settings import SWEPT
from perturbjax.training.trackers import Tracker
from perturbjax.workdir import check_unchanged, tell_removed, write_text

# The errors of a line of the curve, as the report names them.
_ERRORS = {
    'training_rmse': 'training RMSE',
    'validation_rmse': 'validation RMSE',
    'out_of_fold_l2': 'out-of-fold L2',
}
_REMOVE = 'remove it to go on without the curve of the epochs before.'


class MetricWriter:
    """Appends to `metrics.jsonl` one line for each epoch of one model and split.

    An interrupted run may have written lines after its last checkpoint. They are removed when it
    resumes, so that every epoch is there once. The lines also go to the `trackers`, which keep what they
    got: an epoch that is trained again is not sent again.
    """

    def __init__(self, path: epath.Path, model: str, split: int, trackers: Sequence[Tracker] = ()):
        self.path, self.model, self.split, self.trackers = path, model, split, trackers
        self.is_there, self.sent = False, 0

    def forget_from(self, epoch: int) -> None:
        """Removes the lines of this model and split from `epoch` on."""
        if jax.process_index():
            return
        lines = _lines(self.path)
        entries = _parse(self.path, lines)
        mine = [each['epoch'] for each in entries if (each['model'], each['split']) == (self.model, self.split)]
        self.sent = max(mine, default=0)
        if len({each for each in mine if each < epoch}) < epoch - 1:
            logging.warning('%s: the curve of %s lacks epochs before %d.', self.path, self.model, epoch)
        kept = [line for line, each in zip(lines, entries, strict=True) if not self._is_mine_from(each, epoch)]
        if kept != lines:
            self._write(kept)

    def _is_mine_from(self, entry: dict[str, Any], epoch: int) -> bool:
        return (entry['model'], entry['split']) == (self.model, self.split) and entry['epoch'] >= epoch

    def _write(self, lines: list[str]) -> None:
        write_text(self.path, ''.join(f'{line}\n' for line in lines), checked=True)
        self.is_there = True

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Adds an epoch's lines, one for each member: `epoch`, what was measured, and what sets the member apart.

        Raises InputError where the folder was removed since the last epoch, so that no half of it is made anew.
        """
        if jax.process_index() == 0:
            if self.is_there and not self.path.parent.exists():
                raise InputError(
                    f'{self.path.parent}: it was removed while the run went on; launch again to start anew.'
                )
            named = [json.dumps({'model': self.model, 'split': self.split, **line}) for line in lines]
            self._write(_lines(self.path) + named)  # buckets cannot append
            unsent = [line for line in lines if line['epoch'] > self.sent]
            for tracker in self.trackers if unsent else ():
                tracker(unsent)


def _lines(path: epath.Path) -> list[str]:
    """The lines of the training curve, none where there is no file; raises InputError where it was changed."""
    if not path.exists():
        return []
    check_unchanged(path, _REMOVE)
    try:
        return [line for line in path.read_text().splitlines() if line]
    except ValueError as error:
        raise InputError(f'{path}: it is damaged ({reason(error)}); {_REMOVE}') from error


def _parse(path: epath.Path, lines: list[str]) -> list[dict[str, Any]]:
    """The lines as mappings; raises InputError where they are not those of a training curve."""
    try:
        entries = [json.loads(line) for line in lines]
        for entry in entries:
            entry['model'], entry['split'], entry['epoch']
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f'{path}: it is damaged ({reason(error)}); {_REMOVE}') from error
    return entries


def read_curves(path: epath.Path) -> pd.DataFrame | None:
    """Errors by epoch, averaged over splits and seeds; None where nothing was trained on observations.

    One column per model and kind, and per combination where settings were swept. The losses of models that learn from
    cells stay in the file: each has a unit of its own.
    """
    if not path.exists():
        tell_removed(path, 'the report has no training curve')
        return None
    lines = pd.DataFrame(_parse(path, _lines(path)))
    if lines.empty:
        return None
    swept = [name for name in SWEPT if name in lines]
    curves = {}
    for (model, *values), rows in lines.groupby(['model', *swept]):
        label = ', '.join([str(model), *(f'{name} {value:g}' for name, value in zip(swept, values, strict=True))])
        for name, kind in _ERRORS.items():
            if name in rows and rows[name].notna().any():
                curves[f'{label}, {kind}'] = rows.groupby('epoch')[name].mean()
    return pd.DataFrame(curves) if curves else None
