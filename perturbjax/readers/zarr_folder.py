"""AnnData in a zarr folder (zarr version 2 or 3), which is read as an HDF5 file is."""

import contextlib
import importlib
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

from perturbjax.errors import InputError
from perturbjax.readers.declared_sizes import refuse_unheld_zarr

# Each zarr folder has one of these: version 3 has the first, version 2 one of the others.
_MARKS = ('zarr.json', '.zgroup', '.zattrs')


def is_zarr(path: str) -> bool:
    """Whether the path is a zarr folder."""
    return any((pathlib.Path(path) / mark).is_file() for mark in _MARKS)


@contextlib.contextmanager
def open_zarr(path: str, kind: str) -> Iterator[Any]:
    """Opens a zarr folder as a group; an error of zarr, on opening or later, becomes an InputError."""
    zarr = importlib.import_module('zarr')  # anndata needs it too, so it is there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # zarr warns of folders that other versions wrote
            group = zarr.open_group(path, mode='r')
            refuse_unheld_zarr(group, path)
            yield group
    except InputError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).partition('\n')[0]
        raise InputError(f'{path}: cannot be read as {kind} in a zarr folder, it is damaged ({reason}).') from error
