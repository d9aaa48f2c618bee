"""AnnData's h5ad files, of anndata 0.5 to 0.13; only the parts that are needed are read."""

import contextlib
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse
from anndata.io import read_elem

from perturbjax.errors import InputError, listed
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.readers.fields import Fields, label_rows, readout_names, select
from perturbjax.screens.readers.table import finite, screen_name


def read_h5ad(path: str, fields: Fields, layer: str = '') -> Measurements:
    """The rows of an h5ad file that `fields` choose; a sparse block stays sparse, as CSR.

    Args:
      path: the file.
      fields: which column of obs and var says what.
      layer: `''` for X, `'raw'` for raw.X with its own var, else the layer of that name.

    Raises:
      InputError: it is no h5ad file, or lacks the layer or a column; values that are no numbers.
    """
    with open_hdf5(path, 'h5ad') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore', anndata.OldFormatWarning)
        values, var = _places(file, path, layer)
        obs_table, var_table = _read_table(file, 'obs', path), _read_table(file, var, path)
        rows = select(obs_table, fields.where, path, 'data.fields.where')
        columns = select(var_table, fields.readout_where, path, 'data.fields.readout_where')
        contexts, perturbations = label_rows(obs_table.iloc[rows], fields, path)
        names = readout_names(var_table.iloc[columns], fields, path)
        block = _read_block(file, values, (len(obs_table), len(var_table)), path)
    return Measurements(screen_name(path), finite(_take(block, rows, columns), path), contexts, perturbations, names)


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


def _places(file: h5py.File, path: str, layer: str) -> tuple[str, str]:
    """Where the values stand, and the table of their readouts; anndata 0.5 wrote raw/X as `raw.X`."""
    if 'obs' not in file or 'var' not in file:
        raise InputError(f'{path}: is no h5ad file, it has no obs and var; there are {listed(file)}.')
    candidates = [(f'layers/{layer}', 'var')] if layer else [('X', 'var')]
    if layer == 'raw':
        candidates = [('raw/X', 'raw/var'), ('raw.X', 'raw.var'), *candidates]
    for values, table in candidates:
        if values in file:
            return values, table
    raws = ['raw'] if 'raw' in file or 'raw.X' in file else []
    there = listed([*file.get('layers', ()), *raws])
    raise InputError(f'{path}: data.layer: there is no {layer or "X"}; layers there are {there}.')


def _read_element(file: h5py.File, key: str, path: str) -> Any:
    try:
        return read_elem(file[key])
    except Exception as error:  # anndata's own errors have no public base class
        reason = str(error).partition('\n')[0]
        raise InputError(f'{path}: anndata cannot read {key} ({reason}).') from error


def _read_table(file: h5py.File, key: str, path: str) -> pd.DataFrame:
    """obs or var; anndata 0.5 wrote them as records, with the categories in uns."""
    if isinstance(file[key], h5py.Group):
        return _read_element(file, key, path)
    table = pd.DataFrame.from_records(file[key][:])
    table = table.set_index(table.columns[0])
    for name in table.columns:
        categories = file.get(f'uns/{name}_categories')
        if categories is not None:
            table[name] = pd.Categorical.from_codes(table[name], categories[:])
    return table


def _read_block(file: h5py.File, key: str, shape: tuple[int, int], path: str) -> np.ndarray | scipy.sparse.csr_matrix:
    block = _read_element(file, key, path)
    if block is None or block.shape != shape:
        there = 'nothing' if block is None else f'an array of shape {block.shape}'
        raise InputError(f'{path}: {key} holds {there}, but obs and var have {shape[0]} and {shape[1]} rows.')
    if scipy.sparse.issparse(block):
        return scipy.sparse.csr_matrix(block)
    if np.asarray(block).dtype.kind not in 'biuf':
        raise InputError(f'{path}: {key} holds {block.dtype} values, not numbers; choose another in data.layer.')
    return np.asarray(block)


def _take(block: np.ndarray | scipy.sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray):
    """The chosen rows and columns; no copy where that is all of them."""
    block = block if len(rows) == block.shape[0] else block[rows]
    return block if len(columns) == block.shape[1] else block[:, columns]
