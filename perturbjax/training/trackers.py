"""The training curve for TensorBoard and for Weights & Biases, beside `metrics.jsonl`, by process 0."""

import contextlib
import hashlib
import importlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from perturbjax.errors import InputError, reason
from perturbjax.training.settings import SWEPT, TrainingSettings
from perturbjax.workdir import write_text

Line = Mapping[str, Any]  # of the training curve
Tracker = Callable[[Sequence[Line]], None]  # takes an epoch's lines, one for each member

_MEMBER = ('member', *SWEPT)  # what sets a member's line apart


@contextlib.contextmanager
def trackers(
    settings: TrainingSettings, folder: epath.Path, model: str, split: int, config: Mapping[str, Any]
) -> Iterator[list[Tracker]]:
    """What the settings ask for, while a model is trained on a split; none on other processes than the first.

    Args:
      settings: `tensorboard` and `wandb` say what.
      folder: the workdir.
      model, split: the label of the model, and the seed of the split.
      config: of the run, as plain values.

    Raises:
      InputError: a package is missing, or wandb cannot log in.
    """
    with contextlib.ExitStack() as stack:
        is_first, found = jax.process_index() == 0, []
        if is_first and settings.tensorboard:
            found.append(stack.enter_context(_tensorboard(folder / 'tensorboard' / model / str(split))))
        if is_first and settings.wandb:
            found.append(stack.enter_context(_wandb(settings.wandb, folder, model, split, config)))
        yield found


@contextlib.contextmanager
def _tensorboard(folder: epath.Path) -> Iterator[Tracker]:
    """The members of an epoch are apart in the names of the curves, such as `training_rmse/member_0`."""
    with _package('tensorboardX', 'tensorboard').SummaryWriter(str(folder)) as events:

        def write(lines: Sequence[Line]) -> None:
            for line in lines:
                for name, value in _measured(line).items():
                    events.add_scalar('/'.join([name, *_apart(line)]), value, line['epoch'])
            events.flush()

        yield write


@contextlib.contextmanager
def _wandb(project: str, folder: epath.Path, model: str, split: int, config: Mapping[str, Any]) -> Iterator[Tracker]:
    """Each member is a run of its own, begun with its first line and marked as failed where training was stopped."""
    library = _package('wandb', 'wandb')
    prefix, runs, exit_code = _prefix(folder), {}, 1

    def begin(name: str, line: Line) -> Any:
        return library.init(
            project=project,
            group=folder.name,
            name=name,
            id=f'{prefix}-{hashlib.sha256(name.encode()).hexdigest()[:12]}',
            resume='allow',
            reinit='create_new',  # members are trained at once, so their runs are open at once
            config={**config, 'model': model, 'split_seed': split, **_of_member(line)},
            dir=None if '://' in str(folder) else str(folder),
            settings={'console': 'off', 'quiet': True},
        )

    def write(lines: Sequence[Line]) -> None:
        for line in lines:
            name = '/'.join([model, str(split), *_apart(line)])
            if name not in runs:
                runs[name] = begin(name, line)
            runs[name].log(_measured(line), step=line['epoch'], commit=True)

    try:
        if library.setup().settings.mode == 'online':
            library.login(verify=True)  # before an epoch is trained in vain
        yield write
        exit_code = 0
    except library.Error as error:
        raise InputError(
            f'training.wandb: {reason(error).rstrip(".")}; mend that, or launch with WANDB_MODE=offline.'
        ) from error
    finally:
        for run in runs.values():
            run.finish(exit_code=exit_code)


def _prefix(folder: epath.Path) -> str:
    """What the ids of the workdir's runs begin with: drawn once, because other workdirs may have the same name."""
    path = folder / '.wandb_id'
    if not path.exists():
        write_text(path, uuid.uuid4().hex[:12])
    return path.read_text().strip()


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"training.{extra}: it needs {name}; pip install 'perturbjax[{extra}]'.") from error


def _of_member(line: Line) -> dict[str, Any]:
    return {name: line[name] for name in _MEMBER if name in line}


def _apart(line: Line) -> list[str]:
    return [f'{name}_{value}' for name, value in _of_member(line).items()]


def _measured(line: Line) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ('epoch', *_MEMBER)}
