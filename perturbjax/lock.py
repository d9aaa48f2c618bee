"""One launch at a time writes to a workdir.

The operating system holds the lock (flock) and lets go of it when the process ends, however it ends, and when
the host restarts; so no lock is ever left behind, and the file that says who holds it may stay. Of several hosts
of one launch the first one holds it. Buckets and file systems that know no locks are not protected.
"""

import contextlib
import datetime
import errno
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import IO

from absl import logging

from perturbjax.errors import InputError

# What a file system says that knows no locks.
_UNKNOWN = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


@contextlib.contextmanager
def locked(folder: str | os.PathLike, purpose: str, waits: bool = False) -> Iterator[None]:
    """Holds the lock of a folder for a purpose, such as `training`; a folder that is not there needs none.

    Args:
      folder: the workdir.
      purpose: names the lock; another purpose is another lock.
      waits: wait for the process that holds it; otherwise that is an error.

    Raises:
      InputError: another process holds it; the message names the process and its host.
    """
    path = pathlib.Path(folder) / f'.{purpose}.lock'
    if '://' in os.fspath(folder) or not path.parent.is_dir():
        yield
        return
    with path.open('a+') as file:
        is_taken = _take(file)
        if not is_taken and not waits:
            raise _refused(folder, purpose, file)
        if not is_taken:
            logging.warning('%s: waiting for another launch (%s).', folder, _holder(file))
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        now = datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC')
        file.write(f'process {os.getpid()} on {socket.gethostname()}, since {now}')
        file.flush()
        yield


def refuse_locked(folder: str | os.PathLike, purpose: str) -> None:
    """Raises InputError where another process holds the lock; changes nothing, and is for before the data are read."""
    path = pathlib.Path(folder) / f'.{purpose}.lock'
    if '://' in os.fspath(folder) or not path.exists():
        return
    with path.open() as file:
        if not _take(file):
            raise _refused(folder, purpose, file)


def _take(file: IO[str]) -> bool:
    """Takes the lock, which the file holds until it is closed; False where another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        logging.warning('%s: this file system knows no locks; see that no second launch writes here.', file.name)
    return True


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read() or 'another process, which has just started'


def _refused(folder: str | os.PathLike, purpose: str, file: IO[str]) -> InputError:
    return InputError(
        f'{folder}: another launch is using it for {purpose} ({_holder(file)}); wait for it, stop it, or give another '
        '--workdir.'
    )
