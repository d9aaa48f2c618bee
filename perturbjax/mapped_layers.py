"""Arrays that lie on disk, such as the layers of an h5ad file, so that memory does not grow with their number."""

import contextlib
import os
import tempfile

import anndata
import h5py
import numpy as np

_PARTS = ('X', 'obs', 'var', 'uns', 'obsm', 'varm', 'obsp', 'varp')
_LARGE = 2**25  # values; smaller arrays stay in memory
_VALUES = 2**22  # copied at a time


def read_mapped(path: str, folder: str | None = None) -> anndata.AnnData:
    """Reads an h5ad file whose layers stay on disk.

    They may be changed: they are copies, in files without a name that end with the arrays. The system keeps in memory
    what is used of them, and lets it go where memory is short.

    Args:
      path: of the file.
      folder: where the copies are made, if it has room; else in the system's folder for temporary files, or, without
        room there, in memory.

    Raises:
      OSError, ValueError, KeyError: it is damaged.
    """
    with h5py.File(path) as file:
        parts = {name: anndata.io.read_elem(file[name]) for name in _PARTS if name in file}
        layers = {name: _mapped(each, folder) for name, each in file.get('layers', {}).items()}
    return anndata.AnnData(layers=layers, **parts)


def not_known(shape: tuple[int, int], dtype: np.dtype | type = np.float32) -> np.ndarray:
    """An array of NaN, to be written into; a large one lies on disk."""
    if shape[0] * shape[1] < _LARGE:
        return np.full(shape, np.nan, dtype)
    array = _on_disk(shape, np.dtype(dtype), None)
    for row in array:
        row[:] = np.nan
    return array


def _mapped(layer: h5py.Dataset | h5py.Group, folder: str | None) -> np.ndarray:
    """A dense layer on disk; a sparse or an empty one in memory."""
    if not isinstance(layer, h5py.Dataset) or not layer.size:
        return anndata.io.read_elem(layer)
    array = _on_disk(layer.shape, layer.dtype, folder)
    chunk = (layer.chunks or (1,))[0]
    rows = max(_VALUES // layer.shape[1] // chunk, 1) * chunk  # whole chunks, so that none is read twice
    for first in range(0, len(layer), rows):
        array[first : first + rows] = layer[first : first + rows]
    return array


def _on_disk(shape: tuple[int, ...], dtype: np.dtype, folder: str | None) -> np.ndarray:
    """An array in a file of the folder, or of the system's for temporary files; in memory where neither has room."""
    for each in dict.fromkeys([folder, None]):
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=each) as file:
            # A file without room for all of it would end the process where it is written to.
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * dtype.itemsize)
            return np.memmap(file, dtype, 'r+', shape=shape)  # outlives the name of the file
    return np.empty(shape, dtype)
