"""The files that `data.path` stands for: files, folders and patterns."""

import glob
import os
from collections.abc import Sequence

from perturbjax.errors import InputError
from perturbjax.paths import absolute, refuse_endless
from perturbjax.readers.zarr_folder import is_zarr


def find_files(path: str | Sequence[str], folders: bool = False) -> list[str]:
    """The files at `path`, in order.

    Args:
      path: a file, a folder, a pattern with `*`, or several of them. A zarr folder counts as a file.
      folders: a folder is given back as it is; otherwise it stands for the files in it.

    Raises:
      InputError: no path is given, or nothing is there.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if not all(isinstance(each, str) for each in paths):
        raise InputError(f'data.path: expected a path or a list of paths, got {path!r}.')
    if not any(paths):
        raise InputError('data.path: no file is named; give it with --config.data.path=FILE.')
    return [file for each in paths for file in _files(each, folders)]


def _files(path: str, folders: bool) -> list[str]:
    path = absolute(path, 'data.path')
    found = [path] if os.path.exists(path) else sorted(glob.glob(path))
    if not folders:
        found = [file for each in found for file in ([each] if _is_one(each) else _visible(each))]
    if not found:
        raise InputError(f'{path}: no such file; see data.path.')
    for each in found:
        refuse_endless(each)
    return found


def _is_one(path: str) -> bool:
    return not os.path.isdir(path) or is_zarr(path)


def _visible(folder: str) -> list[str]:
    files = sorted(entry.path for entry in os.scandir(folder) if _is_one(entry.path))
    return [file for file in files if not os.path.basename(file).startswith('.')]
