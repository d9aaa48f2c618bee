"""Files that declare far more than they hold, or that take their values from another file.

An array may have 1 GiB whatever the file holds, and above that 10,000 times the size of the file.
"""

import contextlib
import functools
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

from perturbjax.errors import InputError
from perturbjax.paths import refuse_endless

# So many bytes may be declared in any file, and in a larger one so many times its size.
ALWAYS, TIMES = 2**30, 10_000


def refuse_unheld(file: h5py.File, path: str) -> None:
    """Raises InputError on an array that could not come from a file of this size, before anything is read.

    Args:
      file: as it is open; where it was compressed, this is the unpacked copy.
      path: the file as the user named it, whose size counts.
    """
    size = os.path.getsize(path)

    def check(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group):
            for each in node:
                if isinstance(node.get(each, getlink=True), h5py.ExternalLink):
                    raise _elsewhere(f'{name}/{each}'.lstrip('/'), path)
        elif isinstance(node, h5py.Dataset):
            if node.external or node.is_virtual:
                raise _elsewhere(name, path)
            if node.size is not None:
                check_declared(f'{name} declares the shape {node.shape}', node.size * node.dtype.itemsize, size, path)

    check('', file)
    file.visititems(check)


def refuse_unheld_zarr(group: Any, path: str) -> None:
    """Raises InputError on an array that no folder of this size holds, or whose values are a pickle.

    Args:
      group: the open folder; of it only what describes the arrays is read.
      path: of the folder.
    """
    size = _folder_size(path)
    for array in _arrays(group):
        name = array.name.lstrip('/')
        compressors = array.compressors if hasattr(array, 'compressors') else [array.compressor]  # in zarr before 3
        codecs = [*(array.filters or ()), *compressors]
        if any(getattr(codec, 'codec_id', '') == 'pickle' for codec in codecs):
            raise InputError(f'{path}: {name} is a pickle, reading which could run code; save it without.')
        check_declared(f'{name} declares the shape {array.shape}', array.size * array.dtype.itemsize, size, path)


def refuse_unheld_parquet(path: str) -> None:
    """Raises InputError where a parquet file declares more lines than a file of its size can hold."""
    import pyarrow.parquet  # an extra

    about = pyarrow.parquet.read_metadata(path)
    what = f'it declares {about.num_rows} lines of {about.num_columns} columns'
    check_declared(what, 8 * about.num_rows * about.num_columns, os.path.getsize(path), path)


def refuse_unheld_excel(path: str) -> None:
    """Raises InputError where cells of a workbook stand so far apart that all cells between them fill the memory."""
    with zipfile.ZipFile(path) as workbook:
        for name in workbook.namelist():
            if name.startswith('xl/worksheets/'):
                rows, columns = _extent(workbook.read(name))
                what = f'{name} declares {rows} lines of {columns} columns'
                check_declared(what, 8 * rows * columns, os.path.getsize(path), path)


def _extent(sheet: bytes) -> tuple[int, int]:
    """The last line and the last column that rows (`r="7"`) and cells (`r="AB7"`) of a sheet name."""
    rows, widest = 0, b''
    for letters, row in re.findall(rb'\sr=["\']([A-Z]*)([0-9]+)["\']', sheet):
        rows, widest = max(rows, int(row)), max(widest, letters, key=lambda each: (len(each), each))
    return rows, functools.reduce(lambda number, letter: 26 * number + letter - ord('A') + 1, widest, 0)


def check_declared(what: str, declared: int, size: int, path: str) -> None:
    """Raises InputError where so many bytes are declared that a file of `size` bytes cannot hold them."""
    if declared > max(ALWAYS, TIMES * size):
        raise InputError(
            f'{path}: {what}, of which a file of {size} bytes can hold next to nothing; it is damaged or made to fill '
            'the memory.'
        )


def _elsewhere(name: str, path: str) -> InputError:
    return InputError(f'{path}: {name} takes its values from another file; save it with its values.')


def _folder_size(path: str) -> int:
    """The bytes in all files of a folder; raises InputError on a pipe or a device, which may never end."""
    size = 0
    for each in pathlib.Path(path).rglob('*'):
        refuse_endless(each)
        size += each.stat().st_size
    return size


def _arrays(group: Any) -> Iterator[Any]:
    """The arrays at any depth of a zarr group; what zarr cannot open is left out, for it cannot be read later."""
    for name in group:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            node = group[name]
            if hasattr(node, 'shape'):
                yield node
            else:
                yield from _arrays(node)
