"""Reader of GCTX files, which are GCT in HDF5, as LINCS publishes its signatures; only what is chosen is read.

The format: https://clue.io/connectopedia/gctx_format. The matrix is stored `[profiles, readouts]`.
"""

from collections.abc import Sequence

import h5py
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.readers.beside import look_up
from perturbjax.readers.gct import typed
from perturbjax.readers.hdf5 import choose, open_hdf5
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.naming.fields import Fields, readout_columns, readout_names, row_columns, select
from perturbjax.readers.naming.rows import label_rows
from perturbjax.readers.table import screen_name
from perturbjax.screens.measurements import Measurements

_MATRIX, _PROFILES, _READOUTS = '0/DATA/0/matrix', '0/META/COL', '0/META/ROW'


def read_gctx(
    path: str, fields: Fields, siginfo: str | Sequence[str] = '', geneinfo: str | Sequence[str] = ''
) -> Measurements:
    """The profiles of a GCTX file that `fields` choose; large ones stay in the file until they are averaged.

    Args:
      path: the file.
      fields: which columns of the metadata give the names.
      siginfo: tables of the profiles by `sig_id`, one or several, used instead of the file's metadata.
      geneinfo: tables of the readouts by `gene_id` or `pr_gene_id`, likewise.

    Raises:
      InputError: the file is not GCTX, lacks a column, or has ids that siginfo or geneinfo lacks.
    """
    with open_hdf5(path, 'GCTX') as file:
        dimensions = {_MATRIX: 2, f'{_PROFILES}/id': 1, f'{_READOUTS}/id': 1}
        if not all(getattr(file.get(key), 'ndim', 0) == number for key, number in dimensions.items()):
            raise InputError(f'{path}: this is not a GCTX file; it has no /{_MATRIX} with ids, but {listed(file)}.')
        profiles = _metadata(file[_PROFILES], row_columns(fields), siginfo, ('sig_id',), path)
        readouts = _metadata(file[_READOUTS], readout_columns(fields), geneinfo, ('gene_id', 'pr_gene_id'), path)
        matrix = file[_MATRIX]
        if not matrix.size or matrix.shape != (len(profiles), len(readouts)):
            ids = f'{len(profiles)} ids of profiles and {len(readouts)} of readouts'
            raise InputError(f'{path}: the matrix is {matrix.shape}, but there are {ids}; is it cut short?')
        if matrix.dtype.kind not in 'biuf':
            raise InputError(f'{path}: the matrix holds {matrix.dtype} values, not numbers.')
        rows = select(profiles, fields.where, path, 'data.fields.where')
        columns = select(readouts, fields.readout_where, path, 'data.fields.readout_where')
        contexts, perturbations = label_rows(profiles.iloc[rows], fields, path)
        names = readout_names(readouts.iloc[columns], fields, path)
        values = choose(matrix, path, 'GCTX', rows, columns)
    return Measurements(screen_name(path), values, contexts, perturbations, names)


def _metadata(
    group: h5py.Group, used: Sequence[str], tables: str | Sequence[str], keys: Sequence[str], path: str
) -> pd.DataFrame:
    """The columns that are used, a line for each id of the file, from the file itself or from the tables."""
    ids = texts(pd.Index(group['id'][:]))
    if tables:
        return typed(look_up(ids, [name for name in used if name not in ('index', *keys)], tables, keys, path))
    missing = [name for name in used if name != 'index' and name not in group]
    if missing:
        raise InputError(f'{path}: there is no column {listed(missing)}; there are {listed(group, most=40)}.')
    there = {name: group[name] for name in used if name in group}
    wrong = [name for name, column in there.items() if getattr(column, 'shape', None) != ids.shape]
    if wrong:
        raise InputError(f'{path}: {listed(wrong)} should have one value for each of the {len(ids)} ids.')
    return typed(pd.DataFrame({name: column[:] for name, column in there.items()}, index=ids))
