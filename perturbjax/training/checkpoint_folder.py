"""The folder of the checkpoints of one model and split: the last two steps, each whole or not there.

WORKDIR/checkpoints/MODEL/SPLIT_SEED/
  7/   8/      the last two steps
  .9.writing/  a step while it is saved
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from absl import logging
from etils import epath

from perturbjax.errors import InputError, reason
from perturbjax.training import manifest

KEPT = 2
_ROOM = 2**18  # bytes that a step takes beside its arrays: descriptions, and blocks of the disk that are not full
_WRITING = '.writing'  # Orbax writes under a longer name that begins so.


class CheckpointFolder:
    """Saves steps while training goes on; use it as a context, which waits at its end for what is being saved."""

    def __init__(self, path: epath.Path):
        self.path = path
        self._thread, self._saving = ThreadPoolExecutor(1), Future[None]()
        self._saving.set_result(None)

    def __enter__(self) -> 'CheckpointFolder':
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._thread.shutdown()
        if kind is None:
            self.wait()

    def save(self, step: int, write: Callable[[epath.Path], None]) -> None:
        """Starts to save a step by `write`, which is given the folder to make; raises InputError as `wait` does."""
        self.wait()
        self._saving = self._thread.submit(self._save, step, write)

    def wait(self) -> None:
        """Waits until all is saved; raises InputError where that failed, which leaves the steps before it."""
        self._saving.result()

    def _save(self, step: int, write: Callable[[epath.Path], None]) -> None:
        final = self.path / str(step)
        # Nothing in a bucket can be renamed as one. There, too, a step counts only once it has its manifest.
        beside = final if '://' in os.fspath(self.path) else self.path / f'.{step}{_WRITING}'
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _remove_unfinished(self.path)
            write(beside)
            manifest.write(beside)
            if beside != final:
                _take_away(self.path, step)
                beside.rename(final)
            for old in steps(self.path)[:-KEPT]:
                _take_away(self.path, old)
        except (OSError, ValueError, RuntimeError) as error:
            with contextlib.suppress(OSError):
                _remove_unfinished(self.path)
            raise InputError(
                f'{self.path}: checkpoint {step} could not be saved ({reason(error)}); free space or grant the '
                'right to write, and launch again to go on.'
            ) from error


def steps(path: epath.Path) -> list[int]:
    """The steps in a folder in order, damaged ones too; empty where there is no folder."""
    try:
        return sorted(int(each.name) for each in path.iterdir() if re.fullmatch('[0-9]+', each.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def latest_good(path: epath.Path) -> tuple[int | None, dict[int, str]]:
    """The latest step that is not damaged, None without one; and what is wrong with later ones."""
    faults: dict[int, str] = {}
    for step in reversed(steps(path)):
        wrong = manifest.fault(path / str(step))
        if wrong is None:
            return step, faults
        if step not in steps(path):  # a run that is training took it away, and has saved later ones
            return latest_good(path)
        faults[step] = wrong
    return None, faults


def remove_damaged(path: epath.Path, faults: dict[int, str], instead: str) -> None:
    """Removes damaged steps and says so, and what is done instead."""
    for step, wrong in faults.items():
        logging.warning('%s: checkpoint %d is damaged (%s); %s.', path, step, wrong, instead)
        _take_away(path, step)


def check_room(path: epath.Path, size: int) -> None:
    """Raises OSError where a disk has no room for a step with so many bytes of arrays and texts.

    Orbax would find that too, and print the errors of its threads.
    """
    if '://' not in os.fspath(path) and shutil.disk_usage(path).free < size + _ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove(path: epath.Path) -> None:
    if path.exists():
        path.rmtree()


def _take_away(path: epath.Path, step: int) -> None:
    """Removes a step at once, for those who read meanwhile; on a local disk it is renamed first."""
    folder = path / str(step)
    if folder.exists() and '://' not in os.fspath(path):
        hidden = path / f'.{step}{_WRITING}.old'
        _remove(hidden)
        folder = folder.rename(hidden)
    _remove(folder)


def _remove_unfinished(path: epath.Path) -> None:
    """Removes what a save that failed or was killed has left."""
    for each in path.iterdir():
        if each.name.startswith('.') and _WRITING in each.name:
            _remove(each)
