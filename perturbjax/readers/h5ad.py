"""Reader of AnnData's h5ad files, as anndata 0.5 to 0.13 writes them; only the parts that are needed are read."""

import warnings
from typing import Any

import anndata
import h5py
import pandas as pd
from anndata.io import read_elem

from perturbjax.errors import InputError, listed
from perturbjax.readers.hdf5 import choose, compression, open_hdf5, shape
from perturbjax.readers.naming.fields import Fields, label_rows, readout_names, select
from perturbjax.readers.table import screen_name
from perturbjax.screens.measurements import Measurements


def read_h5ad_screen(path: str, fields: Fields, layer: str = '') -> Measurements:
    """The rows of an h5ad file that `fields` choose.

    Sparse values stay sparse, and large values stay in the file until they are averaged.

    Args:
      path: the file.
      fields: which columns of obs and var give the names.
      layer: `''` for X, `'raw'` for raw.X with its own var, or the name of a layer.

    Raises:
      InputError: the file is not h5ad, it lacks the layer or a column, or the values are not numbers.
    """
    with open_hdf5(path, 'h5ad') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore', anndata.OldFormatWarning)
        values, var = _keys(file, path, layer)
        obs_table, var_table = _read_table(file, 'obs', path), _read_table(file, var, path)
        rows = select(obs_table, fields.where, path, 'data.fields.where')
        columns = select(var_table, fields.readout_where, path, 'data.fields.readout_where')
        contexts, perturbations = label_rows(obs_table.iloc[rows], fields, path)
        names = readout_names(var_table.iloc[columns], fields, path)
        _check_block(file[values], (len(obs_table), len(var_table)), path)
        return Measurements(
            screen_name(path), choose(file[values], path, 'h5ad', rows, columns), contexts, perturbations, names
        )


def read_var(path: str) -> pd.DataFrame:
    """The table of an h5ad file's readouts; raises InputError where it has none."""
    with open_hdf5(path, 'h5ad') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore', anndata.OldFormatWarning)
        return _read_table(file, 'var', path)


def _keys(file: h5py.File, path: str, layer: str) -> tuple[str, str]:
    """The keys of the values and of the table of their readouts in the file; anndata 0.5 wrote raw/X as `raw.X`."""
    if 'obs' not in file or 'var' not in file:
        raise InputError(f'{path}: this is not an h5ad file; it has no obs and var, but {listed(file)}.')
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
    """The table obs or var; anndata 0.5 wrote them as records, with the categories in uns."""
    if isinstance(file[key], h5py.Group):
        return _read_element(file, key, path)
    if file[key].dtype.names is None:
        raise InputError(f'{path}: {key} should be a table in an h5ad file, but has {file[key].dtype} values.')
    table = pd.DataFrame.from_records(file[key][:])
    table = table.set_index(table.columns[0])
    for name in table.columns:
        categories = file.get(f'uns/{name}_categories')
        if categories is not None:
            table[name] = pd.Categorical.from_codes(table[name], categories[:])
    return table


def _check_block(values: h5py.Dataset | h5py.Group, expected: tuple[int, int], path: str) -> None:
    key, there = values.name.lstrip('/'), shape(values)
    if there != expected:
        what = f'an array of shape {there}' if there else 'nothing'
        raise InputError(f'{path}: {key} holds {what}, but obs and var have {expected[0]} and {expected[1]} rows.')
    if not all(expected):
        raise InputError(f'{path}: no values: {expected[0]} rows x {expected[1]} readouts.')
    dtype = (values['data'] if compression(values) else values).dtype
    if dtype.kind not in 'biuf':
        raise InputError(f'{path}: {key} holds {dtype} values, not numbers; choose another in data.layer.')
