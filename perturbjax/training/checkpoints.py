"""Checkpoints by Orbax: params with the vocabulary, config and split they belong to, and the state to resume from.

A folder holds the last two steps; the params are those of the epoch with the lowest error so far. Every step has a
manifest (see `manifest`) and is verified where it is read, at about the speed of reading it. Arrays are saved as
numpy from one process, so that any number of devices can read them.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import args

from perturbjax import paths
from perturbjax.errors import InputError, listed, reason
from perturbjax.renames import with_new_names, with_released_lpm
from perturbjax.screens.vocabulary import Vocabulary
from perturbjax.training import manifest
from perturbjax.training.checkpoint_folder import CheckpointFolder, check_room, latest_good, remove_damaged, steps
from perturbjax.training.hosts import from_first
from perturbjax.training.old_checkpoints import (
    OLDEST_FORMAT,
    params_of_format_2,
    state_of_format_2,
    wanted_of_format_2,
)

FORMAT = 4  # Checkpoint layout version; increase it when older code can no longer read what is saved.


class About(NamedTuple):
    """What a checkpoint says of itself.

    Attributes:
      vocabulary: the names on every axis.
      config: of the run, as plain values.
      split: the held-out profiles, as `Split.describe` gives them.
      label: of the model in the run; empty in checkpoints that do not say.
      screens: the form of the training data, as `screens.outline` gives it; empty in checkpoints that do not say.
    """

    vocabulary: Vocabulary
    config: Mapping[str, Any]
    split: Mapping[str, Any]
    label: str = ''
    screens: Sequence[Mapping[str, Any]] = ()


class Checkpoint(NamedTuple):
    """A checkpoint as read: its params, nested dicts of numpy arrays unless a target was given, and its description."""

    params: Any
    about: About


def open_folder(folder: str | os.PathLike) -> CheckpointFolder:
    """The folder to save to; use it as a context, for saves go on beside the training."""
    return CheckpointFolder(absolute(folder))


def save(
    folder: CheckpointFolder,
    step: int,
    params: Any,
    about: About,
    state: Any = None,
    progress: Mapping[str, Any] | None = None,
) -> None:
    """Saves a checkpoint, on the first host; `state` and `progress` are what resuming needs.

    Raises InputError where an earlier save failed.
    """
    if jax.process_index():
        return
    names = {'format': FORMAT, manifest.SEALED: True, 'label': about.label, **json.loads(about.vocabulary.to_json())}
    names['screens'] = list(about.screens)
    items = {
        'params': args.StandardSave(jax.device_get(params)),
        'vocabulary': args.JsonSave(names),
        'config': args.JsonSave(dict(about.config)),
        'split': args.JsonSave(dict(about.split)),
    }
    if state is not None:
        items['state'] = args.StandardSave(jax.device_get(state))
        items['progress'] = args.JsonSave(dict(progress or {}))

    def write(path: epath.Path) -> None:  # beside the training
        arrays = sum(getattr(each, 'nbytes', 0) for each in jax.tree.leaves((params, state)))
        check_room(path.parent, arrays + len(json.dumps([names, about.split])))
        _checkpointer().save(path, args=args.Composite(**items), force=True)

    folder.save(step, write)


def _checkpointer() -> ocp.Checkpointer:
    """Orbax for this host alone: the first host saves, all may read, and none waits for another."""
    host = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=host, active_processes={host}, barrier_sync_key_prefix=f'host{host}'
    )
    handler = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(multiprocessing_options=alone))
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def resume(folder: CheckpointFolder, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """The latest state, in the structure of `state`, and its progress; None where nothing was saved.

    A part of `state`, a named tuple, that an earlier version did not save is None.

    Where the latest step is damaged it is removed, which is told, and the step before it is taken. On several
    hosts all take the step that the first one found.

    Raises InputError where all steps are damaged, or the format cannot be read.
    """
    path = folder.path
    step, faults = latest_good(path) if jax.process_index() == 0 else (None, {})
    if step is None and faults:
        last = max(faults)
        raise InputError(
            f'{path}: checkpoint {last} is damaged ({faults[last]}) and no earlier one is whole; remove the folder to '
            'train from the start.'
        )
    remove_damaged(path, faults, f'training goes on from checkpoint {step}')
    step = from_first(-1 if step is None else step)
    if step < 0:
        return None
    with _told(path, step):
        saved_format, _ = _read_about(path / str(step))
        target = _part_that_is_there(path / str(step) / 'state', state) if saved_format > OLDEST_FORMAT else None
        restored = _restore(path / str(step), state=args.StandardRestore(target), progress=args.JsonRestore())
        if saved_format > OLDEST_FORMAT:
            return restored['state'], restored['progress']
        return in_structure_of(state, state_of_format_2(restored['state'])), restored['progress']


def _part_that_is_there(path: epath.Path, state: Any) -> Any:
    """The state on the host; a part of it that is not saved there is None, if it is a named tuple."""
    there = ocp.PyTreeCheckpointHandler().metadata(path).tree
    missing = [name for name in getattr(state, '_fields', ()) if not there.get(name)]
    return jax.device_get(state._replace(**dict.fromkeys(missing)) if missing else state)


def progress_of(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The progress at the latest step, read alone; None where nothing whole was saved."""
    path = absolute(folder)
    step, faults = latest_good(path)
    if step is None or faults:
        return None
    with _told(path, step):
        return _restore(path / str(step), progress=args.JsonRestore())['progress']


def in_structure_of(target: Any, saved: Any) -> Any:
    """Nested dicts and lists as the nested named tuples, dicts and tuples of `target`.

    A field that is None may be missing, for an earlier version did not know it. Raises InputError where any other is.
    """
    if hasattr(target, '_fields'):
        fields = {name: each for name, each in target._asdict().items() if each is not None}
        if missing := [name for name in fields if name not in saved]:
            raise InputError(
                f'the checkpoint lacks {listed(missing)}, which this version of the model has; train again, in another '
                'workdir.'
            )
        return target._replace(**{name: in_structure_of(each, saved[name]) for name, each in fields.items()})
    if isinstance(target, Mapping):
        return {name: in_structure_of(target[name], saved[name]) for name in target}
    if isinstance(target, tuple):
        return tuple(in_structure_of(each, part) for each, part in zip(target, saved or (), strict=True))
    return None if target is None else saved


def is_saved(folder: str | os.PathLike) -> bool:
    """Whether the folder holds a whole checkpoint; a damaged one is told and removed."""
    path = absolute(folder)
    step, faults = latest_good(path)
    remove_damaged(path, faults, 'it is made again' if step is None else f'checkpoint {step} takes its place')
    return step is not None


def read(folder: str | os.PathLike, target: Any = None, part: bool = False) -> Checkpoint:
    """The latest checkpoint of a folder; training may go on saving there.

    Args:
      folder: as written by a run, `WORKDIR/checkpoints/MODEL/SPLIT_SEED`.
      target: params of the structure to return; without it, nested dicts of numpy arrays.
      part: only what `target`, nested dicts, names is read from disk, as far as it is there; its
        arrays may be of any shape.

    Raises:
      InputError: there is no checkpoint, or it cannot be read: damaged, too old or of a newer version.
    """
    return _of_latest(absolute(folder), lambda path: _read(path, target, part))


def param_names(folder: str | os.PathLike) -> Mapping[str, Any]:
    """The nested names of the latest checkpoint's params, without reading them; raises InputError as `read` does."""
    tree = _of_latest(absolute(folder), lambda path: ocp.PyTreeCheckpointHandler().metadata(path / 'params').tree)
    return tree if isinstance(tree, Mapping) else {}


def _of_latest(path: epath.Path, read_step: Callable[[epath.Path], Any]) -> Any:
    """What `read_step` makes of the latest step, once it is verified; a later one, where it is removed meanwhile."""
    while True:
        step = _latest(path)
        try:
            with _told(path, step):
                wrong = manifest.fault(path / str(step))
                if wrong:
                    raise InputError(f'{path}: checkpoint {step} is damaged ({wrong}); {_mend(path, step)}')
                return read_step(path / str(step))
        except InputError:
            if _latest(path) == step:
                raise


def _latest(path: epath.Path) -> int:
    if not path.is_dir():
        raise InputError(
            f'{path}: no checkpoint is there; train first, or give the folder WORKDIR/checkpoints/MODEL/SEED.'
        )
    found = steps(path)
    if not found:
        raise InputError(
            f'{path}: it holds no finished checkpoint; train again, or give WORKDIR/checkpoints/MODEL/SEED.'
        )
    return found[-1]


def _mend(path: epath.Path, step: int) -> str:
    earlier = [each for each in steps(path) if each < step and not manifest.fault(path / str(each))]
    if earlier:
        return f'--mode=train goes on from checkpoint {earlier[-1]}.'
    return 'remove the folder and train again.'


@contextlib.contextmanager
def _told(path: epath.Path, step: int) -> Iterator[None]:
    """Turns what Orbax and JSON raise on a checkpoint that cannot be read into an InputError."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise InputError(f'{path}: checkpoint {step} cannot be read ({reason(error)}).') from error


def absolute(folder: str | os.PathLike) -> epath.Path:
    """The folder as an absolute path, as Orbax wants it; raises InputError where there can be none of that name."""
    return epath.Path(paths.absolute(folder))


def _read(path: epath.Path, target: Any, part: bool) -> Checkpoint:
    """The step in the folder `path`; see `read`."""
    saved_format, about = _read_about(path)
    is_old = saved_format == OLDEST_FORMAT
    if part and is_old:
        target = wanted_of_format_2(target)
    params = _read_params(path, target, part)
    return Checkpoint(params_of_format_2(params) if is_old else params, about)


def _restore(path: epath.Path, **items: Any) -> Any:
    return _checkpointer().restore(path, args=args.Composite(**items))


def _read_about(path: epath.Path) -> tuple[int, About]:
    """The layout version and what the checkpoint says of itself, with the present names of settings."""
    restored = _restore(path, **{item: args.JsonRestore() for item in ('vocabulary', 'config', 'split')})
    names, saved_format = restored['vocabulary'], restored['vocabulary'].get('format', 1)
    if saved_format > FORMAT:
        raise InputError(
            f'{path.parent}: the checkpoint has format {saved_format}, and this version of perturbjax reads up to '
            f'{FORMAT}; update perturbjax.'
        )
    if saved_format < OLDEST_FORMAT:
        raise InputError(
            f'{path.parent}: the checkpoint has format {saved_format}, which does not tell which epoch was the best; '
            'train again, in another workdir.'
        )
    config = with_new_names(restored['config'], quiet=True)
    if 'screens' not in names:
        config = with_released_lpm(config)
    vocabulary = Vocabulary.from_json(json.dumps(names))
    label, screens = names.get('label', ''), tuple(names.get('screens', ()))
    return saved_format, About(vocabulary, config, restored['split'], label, screens)


def _read_params(path: epath.Path, target: Any, part: bool) -> Any:
    """All params in the structure of `target`, or, where a part is wanted, only what it names."""
    if not part:
        wanted = args.StandardRestore() if target is None else args.StandardRestore(jax.device_get(target))
    else:
        there = _shared(ocp.PyTreeCheckpointHandler().metadata(path / 'params').tree, target)
        if not there:  # Orbax takes nothing for everything
            return {}
        wanted = args.PyTreeRestore(there, partial_restore=True)
    return _restore(path, params=wanted)['params']


def _shared(tree: Any, target: Any) -> Any:
    """The part of the nested dicts `target` that is in the tree."""
    if not isinstance(target, Mapping):
        return target
    there = {name: _shared(tree[name], target[name]) for name in target if isinstance(tree, Mapping) and name in tree}
    return {name: each for name, each in there.items() if not isinstance(each, Mapping) or each}
