"""Values in HDF5 files, dense or compressed sparse: only what is chosen is read, a block at a time."""

import contextlib
import functools
import itertools
import pathlib
from collections.abc import Iterator

import h5py
import numpy as np
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError
from perturbjax.readers.naming.columns import text
from perturbjax.readers.table import finite, screen_name
from perturbjax.screens.blocks import ENTRIES, Block, Stored, Values, edges, whole

# What takes less memory is read at once, in bytes; all else stays in its file.
AT_ONCE = 2**28
# Values of a dense matrix that are read to choose from, at most.
_SLAB = 2**25
_BY_ROWS, _BY_COLUMNS = 'csr', 'csc'


@contextlib.contextmanager
def open_hdf5(path: str, kind: str) -> Iterator[h5py.File]:
    """The open HDF5 file; what h5py has to complain of, then or later, becomes an InputError."""
    if not pathlib.Path(path).is_file():
        raise InputError(f'{path}: there is no such file.')
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        reason = str(error).partition('\n')[0]
        raise InputError(f'{path}: cannot be read as {kind}, it is of another format or damaged ({reason}).') from error


def compression(values: h5py.Dataset | h5py.Group) -> str:
    """`csr` or `csc` where the values are sparse, as anndata writes them since 0.5; `''` for all else."""
    encoding = values.attrs.get('h5sparse_format', values.attrs.get('encoding-type', ''))
    form = text(encoding).removesuffix('_matrix')
    return form if isinstance(values, h5py.Group) and form in (_BY_ROWS, _BY_COLUMNS) else ''


def shape(values: h5py.Dataset | h5py.Group) -> tuple[int, ...]:
    """The shape of a data set or of a compressed sparse matrix; `()` for all else."""
    if compression(values):
        return tuple(map(int, values.attrs.get('h5sparse_shape', values.attrs.get('shape', ()))))
    return getattr(values, 'shape', None) or ()


def choose(values: h5py.Dataset | h5py.Group, path: str, kind: str, rows: np.ndarray, columns: np.ndarray) -> Values:
    """`values[rows][:, columns]` as float32, for sorted positions: in memory, or where that is much, `Stored`.

    Infinities of a dense block are taken as not measured, with a warning. Raises InputError, when the
    values are read, where a sparse block holds NaN or an infinity.
    """
    read = functools.partial(_read, path, kind, values.name, rows, columns)
    stored = Stored((len(rows), len(columns)), read, compression(values) == _BY_COLUMNS)
    return whole(stored, screen_name(path)) if _size(values, rows, columns) < AT_ONCE else stored


def _size(values: h5py.Dataset | h5py.Group, rows: np.ndarray, columns: np.ndarray) -> int:
    """Memory for what is chosen, in bytes, at most."""
    if not compression(values):
        return 4 * len(rows) * len(columns)
    chosen = columns if compression(values) == _BY_COLUMNS else rows
    return 8 * int(np.diff(values['indptr'][:])[chosen].sum())


def _read(path: str, kind: str, key: str, rows: np.ndarray, columns: np.ndarray) -> Iterator[Block]:
    infinite = 0
    with open_hdf5(path, kind) as file:
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
    """Blocks of rows, read from the first chosen column to the last."""
    left, right = int(columns[0]), int(columns[-1]) + 1
    step = _step(matrix, len(columns), right - left)
    for place, start, stop in _spans(rows, np.arange(0, matrix.shape[0] + step, step)):
        slab = matrix[start:stop, left:right]
        yield Block(place, slice(0, len(columns)), slab[np.ix_(rows[place] - start, columns - left)])


def _step(matrix: h5py.Dataset, chosen: int, width: int) -> int:
    """The rows of a block; whole chunks if they fit in memory, for each part of a chunk costs as much as all of it."""
    chunk = matrix.chunks[0] if matrix.chunks else 1
    step = max(1, min(ENTRIES // chosen, _SLAB // width))
    return step - step % chunk if step > chunk else chunk if chunk * width <= _SLAB else step


def _sparse(group: h5py.Group, rows: np.ndarray, columns: np.ndarray) -> Iterator[Block]:
    """Blocks of rows of CSR, or of columns of CSC, which is the CSR of the transposed matrix."""
    by_columns, indptr = compression(group) == _BY_COLUMNS, group['indptr'][:]
    rises = len(indptr) and indptr[0] == 0 and (np.diff(indptr) >= 0).all()
    if not rises or not indptr[-1] == len(group['data']) == len(group['indices']):
        raise OSError(f'{group.name}: the parts of the sparse block do not fit')
    major, minor = (columns, rows) if by_columns else (rows, columns)
    width = shape(group)[0 if by_columns else 1]
    for place, start, stop in _spans(major, edges(indptr)):
        first, last = indptr[start], indptr[stop]
        arrays = group['data'][first:last], group['indices'][first:last], indptr[start : stop + 1] - first
        try:
            block = scipy.sparse.csr_matrix(arrays, shape=(stop - start, width))
            block.check_format(full_check=True)  # scipy's own code would read and write outside its arrays
        except ValueError as error:
            raise OSError(error) from error  # the arrays do not fit together: damage, as h5py would call it
        block = block if len(minor) == width else block[:, minor]
        block = block[major[place] - start] if place.stop - place.start < stop - start else block
        whole_minor = slice(0, len(minor))
        yield Block(whole_minor, place, block.T) if by_columns else Block(place, whole_minor, block)


def _spans(chosen: np.ndarray, cuts: np.ndarray) -> Iterator[tuple[slice, int, int]]:
    """Between each two cuts: which of the sorted `chosen` positions lie there, and from where to where they reach."""
    places = np.searchsorted(chosen, cuts)
    for first, last in itertools.pairwise(places):
        if first < last:
            yield slice(int(first), int(last)), int(chosen[first]), int(chosen[last - 1]) + 1
