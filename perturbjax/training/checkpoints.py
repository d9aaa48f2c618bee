"""Checkpoints by Orbax: params with the vocabulary, config and split they belong to, and the state to resume from.

A folder holds the latest checkpoint, whose params are those with the best validation error so far.
Arrays are saved as numpy from one process, so that any number of devices reads them.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import args
from orbax.checkpoint import checkpoint_managers as policies

from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import Vocabulary

FORMAT = 2  # of what is saved; raised where the code before it could no longer read it


class About(NamedTuple):
    """What a checkpoint says of itself: names on every axis, the run's config, and its split as JSON."""

    vocabulary: Vocabulary
    config: Mapping[str, Any]
    split: Mapping[str, Any]


class Checkpoint(NamedTuple):
    """A checkpoint as read: params as nested dicts of numpy arrays, and what it is about."""

    params: Any
    about: About


def open_folder(folder: str | epath.Path) -> ocp.CheckpointManager:
    """A manager that keeps the latest checkpoint, to be used as a context (saves are asynchronous).

    Of several hosts each has its own, and waits for no other: the first saves, all may read.
    """
    host = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=host, active_processes={host}, barrier_sync_key_prefix=f'host{host}'
    )
    path = epath.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.LatestN(1), multiprocessing_options=alone, create=False
    )
    return ocp.CheckpointManager(path, options=options)


def save(
    manager: ocp.CheckpointManager,
    step: int,
    params: Any,
    about: About,
    state: Any = None,
    progress: Mapping[str, Any] | None = None,
) -> None:
    """Saves a checkpoint, on the first host; `state` and `progress` are what resuming needs."""
    if jax.process_index():
        return
    items = {
        'params': args.StandardSave(jax.device_get(params)),
        'vocabulary': args.JsonSave({'format': FORMAT, **json.loads(about.vocabulary.to_json())}),
        'config': args.JsonSave(dict(about.config)),
        'split': args.JsonSave(dict(about.split)),
    }
    if state is not None:
        items['state'] = args.StandardSave(jax.device_get(state))
        items['progress'] = args.JsonSave(dict(progress or {}))
    manager.save(step, args=args.Composite(**items), force=True)


def resume(manager: ocp.CheckpointManager, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """The latest state, in the structure of `state`, and its progress; None where nothing was saved.

    Raises InputError where it is of another format.
    """
    step = manager.latest_step()
    if step is None:
        return None
    _read_about(manager, step, epath.Path(manager.directory))
    restored = manager.restore(
        step, args=args.Composite(state=args.StandardRestore(jax.device_get(state)), progress=args.JsonRestore())
    )
    return restored['state'], restored['progress']


def is_saved(folder: str | epath.Path) -> bool:
    """Whether the folder holds a finished checkpoint; one that a killed run left half-written does not count."""
    if not epath.Path(folder).is_dir():
        return False
    with open_folder(folder) as manager:
        return manager.latest_step() is not None


def read(folder: str | os.PathLike, target: Any = None, part: bool = False) -> Checkpoint:
    """The checkpoint of a folder.

    Args:
      folder: as written by a run, `WORKDIR/checkpoints/MODEL/SPLIT_SEED`.
      target: params of the structure to return; without it, nested dicts of numpy arrays.
      part: only what `target`, nested dicts, names is read from disk, as far as it is there; its
        arrays may be of any shape.

    Raises:
      InputError: there is no checkpoint, it cannot be read, or it is of a newer format.
    """
    path = absolute(folder)
    if not path.is_dir():
        raise InputError(
            f'{path}: no checkpoint is there; train first, or give the folder WORKDIR/checkpoints/MODEL/SEED.'
        )
    with open_folder(path) as manager:
        step = manager.latest_step()
        if step is None:
            raise InputError(
                f'{path}: it holds no finished checkpoint; train again, or give WORKDIR/checkpoints/MODEL/SEED.'
            )
        try:
            about = _read_about(manager, step, path)
            params = _read_params(manager, step, target, path / str(step) if part else None)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f'{path}: checkpoint {step} cannot be read ({reason}).') from error
    return Checkpoint(params, about)


def absolute(folder: str | os.PathLike) -> epath.Path:
    """Orbax wants absolute paths; those with `://` are."""
    path = os.fspath(folder)
    return epath.Path(path if '://' in path else os.path.abspath(path))


def _read_about(manager: ocp.CheckpointManager, step: int, path: epath.Path) -> About:
    items = {item: args.JsonRestore() for item in ('vocabulary', 'config', 'split')}
    restored = manager.restore(step, args=args.Composite(**items))
    found = restored['vocabulary'].get('format', 1)
    if found > FORMAT:
        raise InputError(
            f'{path}: the checkpoint is of format {found}, and this version of perturbjax reads up to {FORMAT}; '
            'update perturbjax.'
        )
    if found < FORMAT:
        raise InputError(
            f'{path}: the checkpoint is of format {found}, of which this version of perturbjax does not know which '
            'epoch was the best; train again, in another workdir.'
        )
    return About(Vocabulary.from_json(json.dumps(restored['vocabulary'])), restored['config'], restored['split'])


def _read_params(manager: ocp.CheckpointManager, step: int, target: Any, part_of: epath.Path | None) -> Any:
    """All params in the structure of `target`, or what it names of the checkpoint in the folder `part_of`."""
    if part_of is None:
        wanted = args.StandardRestore() if target is None else args.StandardRestore(jax.device_get(target))
    else:
        there = _shared(ocp.PyTreeCheckpointHandler().metadata(part_of / 'params').tree, target)
        if not there:  # Orbax takes nothing for everything
            return {}
        wanted = args.PyTreeRestore(there, partial_restore=True)
    return manager.restore(step, args=args.Composite(params=wanted))['params']


def _shared(tree: Any, target: Any) -> Any:
    """What of the nested dicts `target` is in the tree."""
    if not isinstance(target, Mapping):
        return target
    return {name: _shared(tree[name], target[name]) for name in target if isinstance(tree, Mapping) and name in tree}
