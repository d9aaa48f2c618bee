"""Checkpoints by Orbax: params with the vocabulary, config and split they belong to, and the state to resume from.

A folder holds the latest checkpoint, whose params are those with the lowest validation error so far.
Arrays are saved as numpy from one process, so that any number of devices can read them.
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
from perturbjax.renames import with_new_names
from perturbjax.screens.vocabulary import Vocabulary
from perturbjax.training.old_checkpoints import (
    OLDEST_FORMAT,
    params_of_format_2,
    state_of_format_2,
    wanted_of_format_2,
)

FORMAT = 3  # Checkpoint layout version; increase it when older code can no longer read what is saved.


class About(NamedTuple):
    """What a checkpoint says of itself.

    Attributes:
      vocabulary: the names on every axis.
      config: of the run, as plain values.
      split: the held-out profiles, as `Split.describe` gives them.
      label: of the model in the run; empty in checkpoints that do not say.
    """

    vocabulary: Vocabulary
    config: Mapping[str, Any]
    split: Mapping[str, Any]
    label: str = ''


class Checkpoint(NamedTuple):
    """A checkpoint as read: its params, nested dicts of numpy arrays unless a target was given, and its description."""

    params: Any
    about: About


def open_folder(folder: str | epath.Path) -> ocp.CheckpointManager:
    """A manager that keeps the latest checkpoint; use it as a context, for saves are asynchronous.

    Each of several hosts has its own manager and waits for no other: the first host saves, all may read.
    """
    host = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=host, active_processes={host}, barrier_sync_key_prefix=f'host{host}'
    )
    path = absolute(folder)
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
        'vocabulary': args.JsonSave({'format': FORMAT, 'label': about.label, **json.loads(about.vocabulary.to_json())}),
        'config': args.JsonSave(dict(about.config)),
        'split': args.JsonSave(dict(about.split)),
    }
    if state is not None:
        items['state'] = args.StandardSave(jax.device_get(state))
        items['progress'] = args.JsonSave(dict(progress or {}))
    manager.save(step, args=args.Composite(**items), force=True)


def resume(manager: ocp.CheckpointManager, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """The latest state, in the structure of `state`, and its progress; None where nothing was saved.

    Raises InputError where its format cannot be read.
    """
    step = manager.latest_step()
    if step is None:
        return None
    saved_format, _ = _read_about(manager, step, epath.Path(manager.directory))
    target = args.StandardRestore(jax.device_get(state) if saved_format == FORMAT else None)
    restored = manager.restore(step, args=args.Composite(state=target, progress=args.JsonRestore()))
    if saved_format == FORMAT:
        return restored['state'], restored['progress']
    return _in_structure_of(state, state_of_format_2(restored['state'])), restored['progress']


def _in_structure_of(target: Any, saved: Any) -> Any:
    """Nested dicts as the nested named tuples and dicts of `target`."""
    if hasattr(target, '_fields'):
        return type(target)(*(_in_structure_of(getattr(target, name), saved[name]) for name in target._fields))
    if isinstance(target, Mapping):
        return {name: _in_structure_of(target[name], saved[name]) for name in target}
    return saved


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
      InputError: there is no checkpoint, or it cannot be read: damaged, too old or of a newer version.
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
            saved_format, about = _read_about(manager, step, path)
            is_old = saved_format < FORMAT
            if part and is_old:
                target = wanted_of_format_2(target)
            params = _read_params(manager, step, target, path / str(step) if part else None)
            if is_old:
                params = params_of_format_2(params)
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f'{path}: checkpoint {step} cannot be read ({reason}).') from error
    return Checkpoint(params, about)


def param_names(folder: str | os.PathLike) -> Mapping[str, Any]:
    """The nested names of the latest checkpoint's params, without reading them; empty where nothing can be told."""
    path = absolute(folder)
    if not is_saved(path):
        return {}
    with open_folder(path) as manager:
        params = path / str(manager.latest_step()) / 'params'
        try:
            tree = ocp.PyTreeCheckpointHandler().metadata(params).tree
        except (ValueError, KeyError, TypeError, OSError):  # a damaged checkpoint, which reading tells in a sentence
            return {}
    return tree if isinstance(tree, Mapping) else {}


def absolute(folder: str | os.PathLike) -> epath.Path:
    """The folder as an absolute path, as Orbax wants it; one with `://` already is."""
    path = os.fspath(folder)
    return epath.Path(path if '://' in path else os.path.abspath(path))


def _read_about(manager: ocp.CheckpointManager, step: int, path: epath.Path) -> tuple[int, About]:
    """The layout version and what the checkpoint says of itself, with the present names of settings."""
    items = {item: args.JsonRestore() for item in ('vocabulary', 'config', 'split')}
    restored = manager.restore(step, args=args.Composite(**items))
    names, saved_format = restored['vocabulary'], restored['vocabulary'].get('format', 1)
    if saved_format > FORMAT:
        raise InputError(
            f'{path}: the checkpoint has format {saved_format}, and this version of perturbjax reads up to {FORMAT}; '
            'update perturbjax.'
        )
    if saved_format < OLDEST_FORMAT:
        raise InputError(
            f'{path}: the checkpoint has format {saved_format}, which does not tell which epoch was the best; '
            'train again, in another workdir.'
        )
    config = with_new_names(restored['config'], quiet=True)
    vocabulary = Vocabulary.from_json(json.dumps(names))
    return saved_format, About(vocabulary, config, restored['split'], names.get('label', ''))


def _read_params(manager: ocp.CheckpointManager, step: int, target: Any, part_of: epath.Path | None) -> Any:
    """All params in the structure of `target`, or, of the checkpoint in the folder `part_of`, only what it names."""
    if part_of is None:
        wanted = args.StandardRestore() if target is None else args.StandardRestore(jax.device_get(target))
    else:
        there = _shared(ocp.PyTreeCheckpointHandler().metadata(part_of / 'params').tree, target)
        if not there:  # Orbax takes nothing for everything
            return {}
        wanted = args.PyTreeRestore(there, partial_restore=True)
    return manager.restore(step, args=args.Composite(params=wanted))['params']


def _shared(tree: Any, target: Any) -> Any:
    """The part of the nested dicts `target` that is in the tree."""
    if not isinstance(target, Mapping):
        return target
    there = {name: _shared(tree[name], target[name]) for name in target if isinstance(tree, Mapping) and name in tree}
    return {name: each for name, each in there.items() if not isinstance(each, Mapping) or each}
