"""The loop of epochs: validation, early stop, checkpoints and resume, of whatever is trained."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Bool, Float

from perturbjax.models.model import Params
from perturbjax.progress import bar
from perturbjax.training import checkpoints, interruption
from perturbjax.training.history import History, Seen
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings, swept


class Progress(NamedTuple):
    """The state, and what is kept of the best epoch so far; None where nothing selects."""

    state: Any
    best: Any | None


class Trainee(NamedTuple):
    """What the loop needs of S members that are trained at once.

    Attributes:
      settings: how; the loop goes by the epochs, patience and checkpoints.
      num_members, members_each: S, and how many of them each combination of swept settings has.
      selects: whether an error chooses the epoch; else the last one's params are kept.
      epoch_size, counted: how many observations or cells an epoch goes through, and which of these they are.
      done: `seen -> how many` of them an epoch that is not finished has gone through.
      start: `() -> state` before the first step, on the host.
      place: `tree -> tree` on all devices.
      train_epoch: `(state, epoch, active, progress_bar, seen, stops) -> (state, seen, is_whole)`; see
        `epoch.train_epoch`.
      training_error: `seen -> (name, [S])`.
      selection_error: `(state, epoch, active) -> (name, [S])`, None in place of the errors where nothing selects;
        infinite where the epoch is not looked at.
      kept: `state -> what is kept` of an epoch that is the best.
      keep_best: `(best, kept, is_better) -> best`: the rows of `kept` for members that are better than ever.
      fitted: `(kept, members) -> params` of some members.
    """

    settings: TrainingSettings
    num_members: int
    members_each: int
    selects: bool
    epoch_size: int
    counted: str
    done: Callable[[Seen], int]
    start: Callable[[], Any]
    place: Callable[[Any], Any]
    train_epoch: Callable[..., tuple[Any, Seen, bool]]
    training_error: Callable[[Seen], tuple[str, Float[np.ndarray, ' S']]]
    selection_error: Callable[[Any, int, Bool[np.ndarray, ' S']], tuple[str, Float[np.ndarray, ' S'] | None]]
    kept: Callable[[Any], Any]
    keep_best: Callable[[Any, Any, Bool[np.ndarray, ' S']], Any]
    fitted: Callable[[Any, slice], Params]


def train_all_epochs(trainee: Trainee, about: checkpoints.About, folder: epath.Path, writer: MetricWriter) -> Params:
    """Trains, or goes on training, until the epochs are over or the error to choose by stops falling.

    A run that was stopped goes on from the latest checkpoint in `folder` and gives, bit for bit,
    what it would have given without the stop.

    Args:
      trainee: what is trained.
      about: what the checkpoint says of itself.
      folder: of the checkpoints.
      writer: of the training curve.

    Returns:
      The params with the lowest error; the last ones where nothing selects.

    Raises:
      InputError: the loss is no longer finite; names the step.
    """
    settings, size = trainee.settings, trainee.epoch_size
    with interruption.training(), checkpoints.open_folder(folder) as manager:
        progress, history = _start(trainee, manager)
        writer.forget_from(history.epoch + 1)
        done = history.epoch * size + trainee.done(history.seen)
        title, unit = f'{writer.model}, split {writer.split}', {'observations': 'obs'}.get(trainee.counted, ' cells')
        with bar(title, settings.epochs * size, done, unit) as progress_bar:
            params = None
            while (active := history.active(settings)).any():
                progress, history = _run_epoch(trainee, progress, history, active, writer, progress_bar)
                stops = interruption.stops_here()
                if stops or history.is_to_be_saved(settings):
                    params = _chosen(trainee, progress, history)
                    checkpoints.save(manager, history.epoch, params, about, progress, history.to_json())
                if stops:
                    manager.wait()
                    interruption.stop(history.epoch, history.seen.steps)
    return params if params is not None else _chosen(trainee, progress, history)


def _start(trainee: Trainee, manager: Any) -> tuple[Progress, History]:
    """The latest checkpoint, or the first state; on the devices."""
    state = trainee.start()
    progress = Progress(state, trainee.kept(state) if trainee.selects else None)
    saved = checkpoints.resume(manager, progress)
    if saved is None:
        return trainee.place(progress), History.start(trainee.num_members)
    if trainee.selects and not saved[0].best:  # of a version that kept the last epoch
        saved = saved[0]._replace(best=trainee.kept(saved[0].state)), saved[1]
    return trainee.place(saved[0]), History.from_json(saved[1])


def _run_epoch(
    trainee: Trainee, progress: Progress, history: History, active: np.ndarray, writer: MetricWriter, progress_bar: Any
) -> tuple[Progress, History]:
    """One epoch of the active members, or what is left of it, and the error to choose by after it."""
    began = time.perf_counter()
    state, seen, is_whole = trainee.train_epoch(
        progress.state, history.epoch, active, progress_bar, history.seen, interruption.stops_in_epoch
    )
    if not is_whole:
        return progress._replace(state=state), history._replace(seen=seen)
    errors = dict([trainee.training_error(seen)])
    seconds = time.perf_counter() - began
    name, judged = trainee.selection_error(state, history.epoch, active)
    history, is_better = history.after(judged, active, name)
    if judged is not None and not np.isinf(judged[active]).all():
        errors[name] = judged
    rate = round(trainee.epoch_size * int(active.sum()) / seconds)
    writer.write(*_lines(trainee, history.epoch, active, errors, {f'{trainee.counted}_per_second': rate}))
    means = {name: f'{each[active].mean():.4f}' for name, each in errors.items()}
    progress_bar.set_postfix(epoch=history.epoch, **means, refresh=False)
    if progress.best is None:
        return Progress(state, None), history
    return Progress(state, trainee.keep_best(progress.best, trainee.kept(state), is_better)), history


def _lines(
    trainee: Trainee, epoch: int, active: np.ndarray, errors: dict[str, np.ndarray], beside: dict[str, Any]
) -> list[dict[str, Any]]:
    """The epoch's lines of the training curve, one for each active member."""
    lines: list[dict[str, Any]] = []
    for member in np.flatnonzero(active).tolist():
        own = {name: float(each[member]) for name, each in errors.items()}
        lines.append({'epoch': epoch, **_label(trainee, member), **own, **beside})
    return lines


def _label(trainee: Trainee, member: int) -> dict[str, Any]:
    """What sets a member apart in the training curve; nothing where it is the only one."""
    each = trainee.members_each
    return ({'member': member % each} if each > 1 else {}) | swept(trainee.settings)[member // each]


def _chosen(trainee: Trainee, progress: Progress, history: History) -> Params:
    """What to predict with: the best of the members whose swept settings have the lowest error.

    Before the first look at an error the present ones are.
    """
    is_judged = progress.best is not None and np.isfinite(history.best).any()
    kept = progress.best if is_judged else trainee.kept(progress.state)
    return trainee.fitted(kept, history.chosen(trainee.members_each))
