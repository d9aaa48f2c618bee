"""Values in HDF5 files and zarr folders, dense or compressed sparse; only what is chosen is read, block by block."""

import contextlib
import functools
import importlib
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError
from perturbjax.paths import absolute
from perturbjax.readers.compressed import unpacked
from perturbjax.readers.declared_sizes import refuse_unheld
from perturbjax.readers.naming.columns import text
from perturbjax.readers.table import finite, screen_name
from perturbjax.readers.zarr_folder import is_zarr, open_zarr
from perturbjax.screens.blocks import ENTRIES, Block, Stored, Values, edges, whole

# Values that need less memory than this, in bytes, are read at once; others stay in their file.
AT_ONCE = 2**28
# How many values of a dense matrix are read at most, before the chosen ones are taken from them.
_SLAB = 2**25
_BY_ROWS, _BY_COLUMNS = 'csr', 'csc'


@contextlib.contextmanager
def open_hdf5(path: str, kind: str) -> Iterator[h5py.File]:
    """Opens an HDF5 file; an error of h5py, on opening or later, becomes an InputError that names the format `kind`.

    A file that is compressed as a whole (.h5ad.gz) is unpacked into a temporary one first. Filters that
    h5py lacks are those of hdf5plugin, where it is installed.
    """
    path = absolute(path)
    if not pathlib.Path(path).is_file():
        raise InputError(f'{path}: there is no such file.')
    with contextlib.suppress(ImportError):
        importlib.import_module('hdf5plugin')
    try:
        with unpacked(path) as plain, h5py.File(plain) as file:
            refuse_unheld(file, path)
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise unreadable(path, f'cannot be read as {kind}, it is of another format or damaged', error) from error


def unreadable(path: str, what: str, error: Exception) -> InputError:
    """The error in a sentence; where only a filter of HDF5 is missing, the sentence says so."""
    reason = str(error).partition('\n')[0]
    if any(word in reason.lower() for word in ('filter', 'plugin')):
        return InputError(
            f'{path}: it is compressed by a filter that h5py lacks ({reason}); '
            "pip install 'perturbjax[formats]' adds hdf5plugin, which has the usual filters."
        )
    return InputError(f'{path}: {what} ({reason}).')


def open_store(path: str, kind: str) -> contextlib.AbstractContextManager[Any]:
    """Opens an HDF5 file or a zarr folder, see `open_hdf5` and `open_zarr`."""
    return open_zarr(path, kind) if is_zarr(path) else open_hdf5(path, kind)


def compression(values: h5py.Dataset | h5py.Group) -> str:
    """`csr` or `csc` where the values are sparse, as anndata has written them since 0.5; `''` for anything else."""
    encoding = values.attrs.get('h5sparse_format', values.attrs.get('encoding-type', ''))
    form = text(encoding).removesuffix('_matrix')
    return form if not hasattr(values, 'dtype') and form in (_BY_ROWS, _BY_COLUMNS) else ''


def shape(values: h5py.Dataset | h5py.Group) -> tuple[int, ...]:
    """The shape of a data set or of a compressed sparse matrix; `()` for anything else."""
    if compression(values):
        return tuple(map(int, values.attrs.get('h5sparse_shape', values.attrs.get('shape', ()))))
    return getattr(values, 'shape', None) or ()


def choose(values: h5py.Dataset | h5py.Group, path: str, kind: str, rows: np.ndarray, columns: np.ndarray) -> Values:
    """`values[rows][:, columns]` as float32, in memory, or as `Stored` where they are large.

    Infinite values of a dense block are taken as not measured, with a warning. When the values are read,
    NaN or infinite values in a sparse block raise InputError.

    Args:
      values: an array or a compressed sparse matrix in a file.
      path, kind: of the file and its format.
      rows, columns: sorted positions.
    """
    read = functools.partial(_read, path, kind, values.name, rows, columns)
    stored = Stored((len(rows), len(columns)), read, compression(values) == _BY_COLUMNS)
    return whole(stored, screen_name(path)) if _size(values, rows, columns) < AT_ONCE else stored


def _size(values: h5py.Dataset | h5py.Group, rows: np.ndarray, columns: np.ndarray) -> int:
    """An upper bound of the memory for what is chosen, in bytes."""
    if not compression(values):
        return 4 * len(rows) * len(columns)
    chosen = columns if compression(values) == _BY_COLUMNS else rows
    return 8 * int(np.diff(values['indptr'][:])[chosen].sum())


def _read(path: str, kind: str, key: str, rows: np.ndarray, columns: np.ndarray) -> Iterator[Block]:
    infinite = 0
    with open_store(path, kind) as file:
        for block in _sparse(file[key], rows, columns) if compression(file[key]) else _dense(file[key], rows, columns):
            with np.errstate(over='ignore'):
                values = block.values.astype(np.float32)
            if not scipy.sparse.issparse(values):
                wrong = np.isinf(values)
                infinite += wrong.sum()
                values[wrong] = np.nan
            yield block._replace(values=finite(values, path))
    if infinite:
        logging.warning('%s: %d infinite values are taken as not measured.', path, infinite)


def _dense(matrix: h5py.Dataset, rows: np.ndarray, columns: np.ndarray) -> Iterator[Block]:
    """Blocks of rows; all columns from the first chosen one to the last are read."""
    left, right = int(columns[0]), int(columns[-1]) + 1
    step = _step(matrix, len(columns), right - left)
    for chosen, start, stop in _spans(rows, np.arange(0, matrix.shape[0] + step, step)):
        slab = matrix[start:stop, left:right]
        yield Block(chosen, slice(0, len(columns)), slab[np.ix_(rows[chosen] - start, columns - left)])


def _step(matrix: h5py.Dataset, chosen: int, width: int) -> int:
    """How many rows a block has. They make whole chunks if those fit in memory, because a part costs as much."""
    chunk = matrix.chunks[0] if matrix.chunks else 1
    step = max(1, min(ENTRIES // chosen, _SLAB // width))
    return step - step % chunk if step > chunk else chunk if chunk * width <= _SLAB else step


def _sparse(group: h5py.Group, rows: np.ndarray, columns: np.ndarray) -> Iterator[Block]:
    """Blocks of rows of CSR, or of columns of CSC, which is CSR of the transposed matrix."""
    by_columns, indptr = compression(group) == _BY_COLUMNS, group['indptr'][:]
    rises = len(indptr) and indptr[0] == 0 and (np.diff(indptr) >= 0).all()
    if not rises or not indptr[-1] == group['data'].shape[0] == group['indices'].shape[0]:
        raise OSError(f'{group.name}: the parts of the sparse block do not fit')
    major, minor = (columns, rows) if by_columns else (rows, columns)
    width = shape(group)[0 if by_columns else 1]
    for chosen, start, stop in _spans(major, edges(indptr)):
        first, last = indptr[start], indptr[stop]
        arrays = group['data'][first:last], group['indices'][first:last], indptr[start : stop + 1] - first
        try:
            block = scipy.sparse.csr_matrix(arrays, shape=(stop - start, width))
            block.check_format(full_check=True)  # without it scipy would read and write outside its arrays
        except ValueError as error:
            raise OSError(error) from error  # the arrays do not fit together: the file is damaged, as h5py reports it
        block = block if len(minor) == width else block[:, minor]
        block = block[major[chosen] - start] if chosen.stop - chosen.start < stop - start else block
        whole_minor = slice(0, len(minor))
        yield Block(whole_minor, chosen, block.T) if by_columns else Block(chosen, whole_minor, block)


def _spans(chosen: np.ndarray, cuts: np.ndarray) -> Iterator[tuple[slice, int, int]]:
    """For each two neighbouring cuts that have chosen positions between them, those positions.

    Yields the slice of `chosen` that lies there, its first position, and its last position + 1.
    """
    for first, last in itertools.pairwise(np.searchsorted(chosen, cuts)):
        if first < last:
            yield slice(int(first), int(last)), int(chosen[first]), int(chosen[last - 1]) + 1
