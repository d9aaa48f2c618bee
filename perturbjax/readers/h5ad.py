"""Reader of AnnData in h5ad files and zarr folders, as anndata 0.5 to 0.13 writes them, and of MuData in h5mu files.

Only the parts that are needed are read.
"""

import warnings
from typing import Any, TypeAlias

import anndata
import numpy as np
import pandas as pd
from anndata.io import read_elem

from perturbjax.errors import InputError, listed
from perturbjax.readers.hdf5 import choose, compression, open_store, shape, unreadable
from perturbjax.readers.naming.fields import Fields, readout_names, select
from perturbjax.readers.naming.rows import label_rows
from perturbjax.readers.table import screen_name
from perturbjax.screens.blocks import Values
from perturbjax.screens.measurements import Measurements

# A file or a group of h5py or of zarr.
Group: TypeAlias = Any


def read_h5ad_screen(path: str, fields: Fields, layer: str = '', modality: str = '') -> Measurements:
    """The rows of an h5ad file, or of one modality of an h5mu file, that `fields` choose.

    Sparse values stay sparse, and large values stay in the file until they are averaged.

    Args:
      path: the file, or a zarr folder.
      fields: which columns of obs and var give the names.
      modality: in MuData, the name of the one to be read; where there is only one it need not be named.
      layer: `''` for X, `'raw'` for raw.X with its own var, or the name of a layer.

    Raises:
      InputError: the file is not h5ad, it lacks the layer or a column, or the values are not numbers.
    """
    with open_store(path, 'h5ad') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore', anndata.OldFormatWarning)
        group = _modality(file, modality, path)
        values, var = _keys(group, path, layer)
        obs_table, var_table = _read_table(group, 'obs', path), _read_table(group, var, path)
        if group is not file:
            obs_table = _with_shared_columns(obs_table, _read_table(file, 'obs', path))
        rows = select(obs_table, fields.where, path, 'data.fields.where')
        columns = select(var_table, fields.readout_where, path, 'data.fields.readout_where')
        contexts, perturbations = label_rows(obs_table.iloc[rows], fields, path)
        names = readout_names(var_table.iloc[columns], fields, path)
        _check_block(group[values], (len(obs_table), len(var_table)), path)
        return Measurements(
            screen_name(path), choose(group[values], path, 'h5ad', rows, columns), contexts, perturbations, names
        )


def read_obsm(path: str, key: str, fields: Fields) -> tuple[Values, np.ndarray]:
    """The embeddings of cells `[N, D]` under that key of obsm, and the perturbation `[N]` of each.

    Only the rows that `fields` choose; a large array stays in the file. Raises InputError where obsm has no
    array of numbers under that key, or a column is missing.
    """
    with open_store(path, 'h5ad') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore', anndata.OldFormatWarning)
        there = file.get('obsm', {})
        if key not in there:
            raise InputError(f'{path}: there is no {key!r} in obsm; keys there are {listed(there)}.')
        group, obs_table = there[key], _read_table(file, 'obs', path)
        dimensions = shape(group)
        cells = len(obs_table)
        if len(dimensions) != 2 or not all(dimensions) or dimensions[0] != cells or not _is_numeric(group):
            raise InputError(f'{path}: obsm[{key!r}] is not an array of numbers, a row for each of {cells} cells.')
        rows = select(obs_table, fields.where, path, 'data.fields.where')
        _, perturbations = label_rows(obs_table.iloc[rows], fields, path)
        return choose(group, path, 'h5ad', rows, np.arange(dimensions[1])), perturbations


def read_var(path: str) -> pd.DataFrame:
    """The table of an h5ad file's readouts; raises InputError where it has none."""
    return _read_alone('var', path)


def read_obs(path: str) -> pd.DataFrame:
    """The table of an h5ad file's rows; raises InputError where it has none."""
    return _read_alone('obs', path)


def _read_alone(key: str, path: str) -> pd.DataFrame:
    with open_store(path, 'h5ad') as file, warnings.catch_warnings():
        warnings.simplefilter('ignore', anndata.OldFormatWarning)
        if key not in file:
            raise InputError(f'{path}: this is not an h5ad file; it has no {key}, but {listed(file)}.')
        return _read_table(file, key, path)


def _modality(file: Group, modality: str, path: str) -> Group:
    """The group that holds the AnnData: of MuData, that of the modality."""
    if 'mod' not in file or 'X' in file:
        if modality:
            raise InputError(f'{path}: data.modality: this is not MuData, so it has no modality {modality!r}.')
        return file
    there = list(file['mod'])
    chosen = modality or (there[0] if len(there) == 1 else '')
    if chosen not in there:
        raise InputError(f'{path}: data.modality: this is MuData; choose one of its modalities, {listed(there)}.')
    return file['mod'][chosen]


def _with_shared_columns(own: pd.DataFrame, shared: pd.DataFrame) -> pd.DataFrame:
    """The obs of a modality, with the columns that only the obs of the whole MuData has."""
    return own.join(shared[[name for name in shared.columns if name not in own.columns]])


def _keys(file: Group, path: str, layer: str) -> tuple[str, str]:
    """The keys of the values and of the table of their readouts in the file; anndata 0.5 wrote raw/X as `raw.X`."""
    if 'matrix/barcodes' in file:
        raise InputError(
            f'{path}: this is a file of 10x Cell Ranger, which does not say how cells were perturbed; read it with '
            'scanpy.read_10x_h5, add the perturbations to obs, and save it as h5ad.'
        )
    if 'obs' not in file or 'var' not in file:
        raise InputError(f'{path}: this is not an h5ad file; it has no obs and var, but {listed(file)}.')
    candidates = [(f'layers/{layer}', 'var')] if layer else [('X', 'var')]
    if layer == 'raw':
        candidates = [('raw/X', 'raw/var'), ('raw.X', 'raw.var'), *candidates]
    for values, table in candidates:
        if values in file:
            return values, table
    raws = ['raw'] if 'raw/X' in file or 'raw.X' in file else []
    there = listed([*file.get('layers', ()), *raws])
    raise InputError(f'{path}: data.layer: there is no {layer or "X"}; layers there are {there}.')


def _read_element(file: Group, key: str, path: str) -> Any:
    try:
        return read_elem(file[key])
    except Exception as error:  # anndata's own errors have no public base class
        raise unreadable(path, f'anndata cannot read {key}', error) from error


def _read_table(file: Group, key: str, path: str) -> pd.DataFrame:
    """The table obs or var; anndata 0.5 wrote them as records, with the categories in uns."""
    if not hasattr(file[key], 'dtype'):
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


def _check_block(values: Any, expected: tuple[int, int], path: str) -> None:
    key, there = values.name.lstrip('/'), shape(values)
    if there != expected:
        what = f'an array of shape {there}' if there else 'nothing'
        raise InputError(f'{path}: {key} holds {what}, but obs and var have {expected[0]} and {expected[1]} rows.')
    if not all(expected):
        raise InputError(f'{path}: no values: {expected[0]} rows x {expected[1]} readouts.')
    if not _is_numeric(values):
        raise InputError(f'{path}: {key} holds {_dtype(values)} values, not numbers; choose another in data.layer.')


def _is_numeric(values: Any) -> bool:
    return _dtype(values).kind in 'biuf'


def _dtype(values: Any) -> np.dtype:
    return (values['data'] if compression(values) else values).dtype
