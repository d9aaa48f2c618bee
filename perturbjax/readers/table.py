"""Tables of text or parquet: long, wide, and embeddings."""

import contextlib
import pathlib
import re
import warnings
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.columns import filled, find_column
from perturbjax.readers.naming.fields import Fields, label_rows, readout_names, row_columns, select
from perturbjax.screens.measurements import Measurements

_SEPARATORS = {'.csv': ',', '.tsv': '\t', '.txt': '\t'}
TABLES = (*_SEPARATORS, '.parquet')
_ENDINGS = re.compile(r'(\.(h5ad|gctx?|csv|tsv|txt|parquet))?(\.gz)?$', re.IGNORECASE)

# pandas reads every digit by itself from 3.1 on.
_OLD_PANDAS = tuple(map(int, pd.__version__.split('.')[:2])) < (3, 1)
_EXACT: dict[str, Any] = {'float_precision': 'round_trip'} if _OLD_PANDAS else {}


def read_long(path: str, fields: Fields, value: str = 'value') -> Measurements:
    """A long table, or a folder of its shards: one value per (context, perturbation, readout).

    The readout is named in the column `fields.readout`, or `readout`. What is named more than
    once becomes as many rows (replicates); what is not named is not measured. `where` and
    `readout_where` both choose lines of the table.

    Raises InputError where a column is missing, or holds no number in `value`, no name elsewhere.
    """
    return arrange(read_shards(path), fields, value, path)


def arrange(table: pd.DataFrame, fields: Fields, value: str, path: str) -> Measurements:
    """The lines of a long table as rows of a screen; see `read_long`."""
    for field in ('where', 'readout_where'):
        places = select(table, getattr(fields, field), path, f'data.fields.{field}')
        table = table if len(places) == len(table) else table.iloc[places]
    contexts, perturbations = label_rows(table, fields, path)
    readout, names = pd.factorize(filled(table, fields.readout or 'readout', path, 'data.fields.readout'))
    column = find_column(table, value, path, 'data.value')
    numbers = _numbers(column.to_frame(), path, 'mend it, or name the column of the numbers in data.value')
    profile, _ = pd.factorize(pd.factorize(contexts)[0] * len(table) + pd.factorize(perturbations)[0])
    entry = profile * len(names) + readout
    replicate = pd.Series(entry).groupby(entry).cumcount().to_numpy()
    row, _ = pd.factorize(profile * (replicate.max() + 1) + replicate)
    first = np.unique(row, return_index=True)[1]
    values = np.full((len(first), len(names)), np.nan)
    values[row, readout] = numbers[:, 0]
    return Measurements(screen_name(path), finite(values, path), contexts[first], perturbations[first], names)


def read_wide(path: str, fields: Fields) -> Measurements:
    """A wide table: one row per profile; every column that no field uses is a readout.

    The readouts' table has the columns' names as its `index` and nothing else, so
    `readout_where={'index': [...]}` keeps only those columns.

    Raises InputError where a readout's column holds text.
    """
    table = read_matrix(path)
    table = table.iloc[select(table, fields.where, path, 'data.fields.where')]
    contexts, perturbations = label_rows(table, fields, path)
    used = {name for names in row_columns(fields) for name in (names, *names.split('|'))}
    readouts = pd.DataFrame(index=table.columns.drop(used.intersection(table.columns)))
    readouts = readouts.iloc[select(readouts, fields.readout_where, path, 'data.fields.readout_where')]
    mend = "a column that no field uses is a readout, so take it out or set data.fields.readout_where={'index': [...]}"
    values = finite(_numbers(table[readouts.index], path, mend), path)
    return Measurements(screen_name(path), values, contexts, perturbations, readout_names(readouts, fields, path))


def read_embedding(path: str) -> tuple[list[str], np.ndarray]:
    """Names and vectors `[n, D]` of an embedding file: one column per gene or perturbation, D lines.

    The form of Ahlmann-Eltze et al.; a first column without a name is left out.
    Raises InputError where a value is no finite number.
    """
    table = read_matrix(path)
    vectors = _numbers(table, path, 'an embedding file has one column of numbers for each name').T
    if not np.isfinite(vectors).all():
        wrong = table.columns[~np.isfinite(vectors).all(axis=1)]
        raise InputError(f'{path}: the vectors of {listed(wrong)} are not complete; mend them or take them out.')
    return list(table.columns), vectors


def read_matrix(path: str, columns: Collection[str] = ()) -> pd.DataFrame:
    """The table in a .csv, .tsv or .txt (tab separated, these also .gz) or .parquet file.

    A first column without a name is the index. Only `columns` are read, where given.
    Raises InputError where it cannot be read, has no lines, or names a column twice.
    """
    with _reading(path) as ending:
        if ending == '.parquet':
            table = pd.read_parquet(path, columns=list(columns) or None)
            # Text that is no UTF-8 shows only when it becomes Python's.
            table = table.astype(dict.fromkeys(table.select_dtypes('string').columns, object))
        else:
            table = _read_text(path, _SEPARATORS[ending], columns)
    if table.empty:
        raise InputError(f'{path}: the table has {len(table)} lines and {len(table.columns)} columns, so no values.')
    return table


def column_names(path: str) -> list[str]:
    """The names of a table's columns, from the head of the file. Raises InputError as `read_matrix`."""
    with _reading(path) as ending:
        if ending == '.parquet':
            return list(pd.read_parquet(path).columns)
        return _header(path, _SEPARATORS[ending])


@contextlib.contextmanager
def _reading(path: str) -> Iterator[str]:
    """The ending of a table; what a library has to complain of while it is read becomes an InputError."""
    ending = _ending(path)
    if ending not in TABLES:
        raise InputError(f'{path}: is no table by its name, which should end in {listed(TABLES)}.')
    try:
        yield ending
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f'{path}: there is no such file.') from error
    except ImportError as error:
        raise InputError(f"{path}: parquet needs pyarrow; pip install 'perturbjax[parquet]'.") from error
    except Exception as error:  # those of pandas, pyarrow and zlib have no other class in common
        reason = str(error).strip().partition('\n')[0]
        mend = '; save it as UTF-8' if isinstance(error, UnicodeError) else ''
        raise InputError(f'{path}: cannot be read as a {ending} table ({reason}){mend}.') from error


def finite(values: np.ndarray | scipy.sparse.csr_matrix, path: str) -> np.ndarray | scipy.sparse.csr_matrix:
    """The values as float32 `[N, M]`; infinities of a dense block become missing, with a warning.

    Raises InputError where a sparse block holds NaN or an infinity: nothing can be missing there.
    """
    with np.errstate(over='ignore'):
        values = values.astype(np.float32, copy=False)
    if scipy.sparse.issparse(values):
        wrong = np.count_nonzero(~np.isfinite(values.data))
        if wrong:
            raise InputError(f'{path}: {wrong} values of a sparse block are NaN or infinite; store it dense.')
        return values
    infinite = np.isinf(values)
    if infinite.any():
        logging.warning('%s: %d infinite values are taken as not measured.', path, np.count_nonzero(infinite))
        values[infinite] = np.nan
    return values


def screen_name(path: str) -> str:
    """The name of a screen: that of its file, without the endings."""
    return _ENDINGS.sub('', pathlib.Path(path).name)


def _ending(path: str) -> str:
    return pathlib.Path(str(path).lower().removesuffix('.gz')).suffix


def _header(path: str, separator: str) -> list[str]:
    # pandas renames repeated columns without a word, so the header is read by itself.
    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
    if header.duplicated().any():
        raise InputError(f'{path}: columns are named twice: {listed(header[header.duplicated()])}; rename one of them.')
    return list(header)


def _read_text(path: str, separator: str, columns: Collection[str]) -> pd.DataFrame:
    header = _header(path, separator)
    missing = [name for name in columns if name not in set(header)]
    if missing:
        raise InputError(f'{path}: there is no column {listed(missing)}; there are {listed(header, most=40)}.')
    with warnings.catch_warnings():
        warnings.simplefilter('error', pd.errors.ParserWarning)  # lines longer than the header
        usecols = list(columns) or None
        table = pd.read_csv(path, sep=separator, usecols=usecols, index_col=False, low_memory=False, **_EXACT)
    if not str(path).lower().endswith('.gz') and not _ends_in_newline(path):
        logging.warning('%s: the last line has no end; if the file was cut short, its last value is wrong.', path)
    return table if header[0] else table.set_index(table.columns[0]).rename_axis(None)


def _ends_in_newline(path: str) -> bool:
    with open(path, 'rb') as file:
        file.seek(-1, 2)
        return file.read() in (b'\n', b'\r')


def read_shards(path: str, pattern: str = '*') -> pd.DataFrame:
    """The table, or all tables of the folder whose names fit the pattern, one after the other."""
    folder = pathlib.Path(path)
    if not folder.is_dir():
        return read_matrix(path)
    visible = [file for file in sorted(folder.glob(pattern)) if not file.name.startswith('.')]
    files = [str(file) for file in visible if _ending(file.name) in TABLES]
    if not files:
        raise InputError(f'{path}: the folder has no table in it, no file that ends in {listed(TABLES)}.')
    tables = [read_matrix(file) for file in files]
    for file, table in zip(files, tables, strict=True):
        if set(table.columns) != set(tables[0].columns):
            there, first = listed(table.columns), listed(tables[0].columns)
            raise InputError(f'{file}: the columns are {there}, but in {files[0]} {first}; make them the same.')
    return pd.concat(tables)


def _numbers(table: pd.DataFrame, path: str, mend: str) -> np.ndarray:
    """The columns as float64 `[N, M]`; raises InputError with the mend on the first that holds text."""
    texts = [name for name, dtype in table.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    for name in texts:
        wrong = table[name][pd.to_numeric(table[name], errors='coerce').isna() & table[name].notna()]
        if len(wrong):
            raise InputError(f'{path}: the column {name!r} holds {wrong.iloc[0]!r}, which is no number; {mend}.')
    return table.astype(dict.fromkeys(texts, np.float64)).to_numpy(np.float64, na_value=np.nan)
