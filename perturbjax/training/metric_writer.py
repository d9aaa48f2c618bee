"""The training curve, written as JSON lines by process 0, and read back for the report."""

import io
import json
from collections.abc import Mapping
from typing import Any

import jax
import pandas as pd
from etils import epath

from perturbjax.errors import InputError
from perturbjax.training.settings import SWEPT
from perturbjax.workdir import write_text


class MetricWriter:
    """Appends to `metrics.jsonl` one line for each epoch of one model and split.

    An interrupted run may have written lines after its last checkpoint. They are removed when it
    resumes, so that every epoch is there once. With `tensorboard` the numbers also go to a folder of
    that name beside the file.
    """

    def __init__(self, path: epath.Path, model: str, split: int, tensorboard: bool = False):
        self.path, self.model, self.split = path, model, split
        is_writer = tensorboard and jax.process_index() == 0
        self.events = _events(path.parent / 'tensorboard' / model / str(split)) if is_writer else None

    def forget_from(self, epoch: int) -> None:
        """Removes the lines of this model and split from `epoch` on."""
        if not self.path.exists() or jax.process_index():
            return
        lines = [line for line in self.path.read_text().splitlines() if line]
        kept = [line for line in lines if not self._is_mine_from(json.loads(line), epoch)]
        if kept != lines:
            write_text(self.path, ''.join(line + '\n' for line in kept))

    def _is_mine_from(self, entry: dict[str, Any], epoch: int) -> bool:
        return (entry['model'], entry['split']) == (self.model, self.split) and entry['epoch'] >= epoch

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Adds an epoch's lines, one for each member: `epoch`, what was measured, and what sets the member apart."""
        if jax.process_index() == 0:
            before = self.path.read_text() if self.path.exists() else ''  # buckets cannot append
            named = [json.dumps({'model': self.model, 'split': self.split, **line}) + '\n' for line in lines]
            write_text(self.path, before + ''.join(named))
            if self.events is not None:
                for line in lines:
                    _write_events(self.events, line)
                self.events.flush()


def _write_events(events: Any, line: Mapping[str, Any]) -> None:
    apart = [f'{name}_{line[name]}' for name in ('member', *SWEPT) if name in line]
    for name in line.keys() - {'epoch', 'member', *SWEPT}:
        events.add_scalar('/'.join([name, *apart]), line[name], line['epoch'])


def _events(folder: epath.Path) -> Any:
    try:
        import tensorboardX
    except ImportError as error:
        raise InputError('training.tensorboard: it needs tensorboardX; pip install perturbjax[tensorboard].') from error
    return tensorboardX.SummaryWriter(str(folder))


def read_curves(path: epath.Path) -> pd.DataFrame | None:
    """Errors by epoch, averaged over splits and seeds; None where nothing was trained.

    One column per model and kind, and per combination where settings were swept.
    """
    if not path.exists():
        return None
    lines = pd.read_json(io.StringIO(path.read_text()), lines=True)
    swept = [name for name in SWEPT if name in lines]
    curves = {}
    for (model, *values), rows in lines.groupby(['model', *swept]):
        label = ', '.join([str(model), *(f'{name} {value:g}' for name, value in zip(swept, values, strict=True))])
        for kind in ('training', 'validation'):
            if f'{kind}_rmse' in rows:
                curves[f'{label}, {kind} RMSE'] = rows.groupby('epoch')[f'{kind}_rmse'].mean()
    return pd.DataFrame(curves)
