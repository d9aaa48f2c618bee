"""Checkpoints by Orbax: params with the vocabulary, config and split they belong to, and the state to resume from.

A folder holds the latest checkpoint and the best by validation. Arrays are saved as numpy from
one process, so that any number of devices reads them.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import args
from orbax.checkpoint import checkpoint_managers as policies

from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import Vocabulary

METRIC = 'validation_rmse'


class About(NamedTuple):
    """What a checkpoint says of itself: names on every axis, the run's config, and its split as JSON."""

    vocabulary: Vocabulary
    config: Mapping[str, Any]
    split: Mapping[str, Any]


class Checkpoint(NamedTuple):
    """A checkpoint as read: params as nested dicts of numpy arrays, and what it is about."""

    params: Any
    about: About


def open_folder(folder: str | epath.Path, best: bool = False) -> ocp.CheckpointManager:
    """A manager to be used as a context (saves are asynchronous).

    It keeps the latest checkpoint and, with `best`, the one with the lowest validation error:
    each by its own rule, so that the best never costs the latest and resuming never goes back.
    """
    keep: list[Any] = [policies.LatestN(1)]
    if best:
        keep.append(policies.BestN(get_metric_fn=_metric, reverse=True, n=1, keep_checkpoints_without_metrics=False))
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(keep),
        best_fn=_metric if best else None,
        best_mode='min',
    )
    return ocp.CheckpointManager(epath.Path(folder), options=options)


def _metric(metrics: Mapping[str, float]) -> float:
    return metrics[METRIC]


def save(
    manager: ocp.CheckpointManager,
    step: int,
    params: Any,
    about: About,
    state: Any = None,
    progress: Mapping[str, Any] | None = None,
) -> None:
    """Saves a checkpoint; `state` and `progress` are what resuming needs."""
    items = {
        'params': args.StandardSave(jax.device_get(params)),
        'vocabulary': args.JsonSave(json.loads(about.vocabulary.to_json())),
        'config': args.JsonSave(dict(about.config)),
        'split': args.JsonSave(dict(about.split)),
    }
    if state is not None:
        items['state'] = args.StandardSave(jax.device_get(state))
        items['progress'] = args.JsonSave(dict(progress or {}))
    metrics = {METRIC: progress['rmse']} if progress and progress.get('rmse') is not None else None
    manager.save(step, args=args.Composite(**items), metrics=metrics, force=True)


def resume(manager: ocp.CheckpointManager, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """The latest state, in the structure of `state`, and its progress; None where nothing was saved."""
    step = manager.latest_step()
    if step is None:
        return None
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


def read(folder: str | epath.Path, target: Any = None) -> Checkpoint:
    """The best checkpoint of a folder (the latest, where nothing was validated).

    Args:
      folder: as written by a run, `WORKDIR/checkpoints/MODEL/SPLIT_SEED`.
      target: params of the structure to return; without it, nested dicts of numpy arrays.

    Raises:
      InputError: there is no checkpoint, or it cannot be read.
    """
    folder = epath.Path(folder)
    if not folder.is_dir():
        raise InputError(
            f'{folder}: no checkpoint is there; train first, or give the folder WORKDIR/checkpoints/MODEL/SEED.'
        )
    with open_folder(folder, best=True) as manager:
        step = manager.best_step()
        step = manager.latest_step() if step is None else step
        if step is None:
            raise InputError(f'{folder}: it holds no finished checkpoint; train again.')
        try:
            restored = manager.restore(step, args=_restore_args(target))
            vocabulary = Vocabulary.from_json(json.dumps(restored['vocabulary']))
        except (ValueError, KeyError, TypeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f'{folder}: checkpoint {step} cannot be read ({reason}).') from error
    return Checkpoint(restored['params'], About(vocabulary, restored['config'], restored['split']))


def _restore_args(target: Any) -> args.Composite:
    params = args.StandardRestore() if target is None else args.StandardRestore(jax.device_get(target))
    return args.Composite(params=params, **{item: args.JsonRestore() for item in ('vocabulary', 'config', 'split')})
