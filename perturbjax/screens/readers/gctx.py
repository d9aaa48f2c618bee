"""GCTX files: GCT in HDF5, as LINCS publishes its signatures; only what is chosen is read.

The format: https://clue.io/connectopedia/gctx_format. The matrix is stored `[profiles, readouts]`.
"""

from collections.abc import Sequence

import h5py
import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.readers.columns import texts
from perturbjax.screens.readers.fields import Fields, label_rows, readout_columns, readout_names, row_columns, select
from perturbjax.screens.readers.gct import typed
from perturbjax.screens.readers.hdf5 import choose, open_hdf5
from perturbjax.screens.readers.table import read_matrix, screen_name

_MATRIX, _PROFILES, _READOUTS = '0/DATA/0/matrix', '0/META/COL', '0/META/ROW'


def read_gctx(path: str, fields: Fields, siginfo: str = '', geneinfo: str = '') -> Measurements:
    """The profiles of a GCTX file that `fields` choose, from metadata read before any value; large ones stay there.

    Args:
      path: the file.
      fields: which column of the metadata says what.
      siginfo: a table of the profiles, by `sig_id`, instead of the file's own metadata.
      geneinfo: a table of the readouts, by `gene_id`, likewise.

    Raises:
      InputError: it is no GCTX file, lacks a column, or has ids that siginfo or geneinfo lacks.
    """
    with open_hdf5(path, 'GCTX') as file:
        if not all(place in file for place in (_MATRIX, f'{_PROFILES}/id', f'{_READOUTS}/id')):
            raise InputError(f'{path}: is no GCTX file, it has no /{_MATRIX} with ids; there are {listed(file)}.')
        profiles = _metadata(file[_PROFILES], row_columns(fields), siginfo, 'sig_id', path)
        readouts = _metadata(file[_READOUTS], readout_columns(fields), geneinfo, 'gene_id', path)
        matrix = file[_MATRIX]
        if not matrix.size or matrix.shape != (len(profiles), len(readouts)):
            ids = f'{len(profiles)} ids of profiles and {len(readouts)} of readouts'
            raise InputError(f'{path}: the matrix is {matrix.shape}, but there are {ids}; is it cut short?')
        rows = select(profiles, fields.where, path, 'data.fields.where')
        columns = select(readouts, fields.readout_where, path, 'data.fields.readout_where')
        contexts, perturbations = label_rows(profiles.iloc[rows], fields, path)
        names = readout_names(readouts.iloc[columns], fields, path)
        values = choose(matrix, path, 'GCTX', rows, columns)
    return Measurements(screen_name(path), values, contexts, perturbations, names)


def _metadata(group: h5py.Group, used: Sequence[str], info: str, key: str, path: str) -> pd.DataFrame:
    """The used columns on each of the file's ids, from the file or the table `info`."""
    ids = texts(pd.Index(group['id'][:]))
    if info:
        return _look_up(ids, [name for name in used if name not in ('index', key)], info, key, path)
    missing = [name for name in used if name != 'index' and name not in group]
    if missing:
        raise InputError(f'{path}: there is no column {listed(missing)}; there are {listed(group, most=40)}.')
    return typed(pd.DataFrame({name: group[name][:] for name in used if name in group}, index=ids))


def _look_up(ids: np.ndarray, used: Sequence[str], info: str, key: str, path: str) -> pd.DataFrame:
    table = read_matrix(info, [key, *used])
    table = table.set_index(texts(table[key]))[list(used)]
    table = table[table.index.isin(ids)].rename_axis(key)
    twice, missing = table.index[table.index.duplicated()], pd.Index(ids).difference(table.index)
    if len(twice):
        raise InputError(f'{info}: {key} is there twice: {listed(twice)}; keep one line of each.')
    if len(missing):
        raise InputError(
            f'{info}: {len(missing)} of the {len(ids)} ids of {path} are not in the column {key}, such as '
            f'{listed(missing, most=3)}; give the table of the same release.'
        )
    return typed(table.loc[ids])
