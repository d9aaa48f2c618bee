"""Tables in text or parquet files, which several readers share."""

import contextlib
import pathlib
import re
from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute, refuse_endless
from perturbjax.readers.compressed import ENDINGS, check_zip, plain_name
from perturbjax.readers.decimals import POINT, check_decimal
from perturbjax.readers.declared_sizes import refuse_unheld_excel, refuse_unheld_parquet
from perturbjax.readers.excel import excel_header, read_excel
from perturbjax.readers.naming.spelling import clean
from perturbjax.readers.text_table import read_text_table, text_header

SEPARATORS = {'.csv': ',', '.tsv': '\t', '.txt': '\t'}
_EXCEL = '.xlsx'
TABLES = (*SEPARATORS, '.parquet', _EXCEL)
_COMPRESSED = '|'.join(map(re.escape, ENDINGS))
_ENDINGS = re.compile(rf'(\.(h5ad|h5mu|zarr|gctx?|csv|tsv|txt|parquet|xlsx))?({_COMPRESSED})?$', re.IGNORECASE)


def read_matrix(path: str, columns: Collection[str] = (), decimal: str = POINT) -> pd.DataFrame:
    """The table in a file: .csv, or .tsv and .txt with tabs, each also compressed; .parquet; or .xlsx, its first sheet.

    Where the header of a text file has semicolons instead, these separate its columns. A first column
    without a name becomes the index. Lines of comment at the top of a text file (a `#`, and no separator)
    are skipped, with a warning.

    Args:
      path: the file.
      columns: if they are given, only they are read.
      decimal: what stands before the decimals of numbers in a text file, `.` or `,`.

    Raises:
      InputError: the file cannot be read, has no lines, or has two columns with one name.
    """
    check_decimal(decimal)
    path = absolute(path)
    with reading(path) as ending:
        if ending == '.parquet':
            table = pd.read_parquet(path, columns=list(columns) or None)
            # Text that is not UTF-8 raises only when it becomes Python strings.
            table = table.astype(dict.fromkeys(table.select_dtypes('string').columns, object))
        elif ending == _EXCEL:
            table = read_excel(path, columns)
        else:
            table = read_text_table(path, SEPARATORS[ending], columns, decimal)
    if table.empty:
        raise InputError(
            f'{path}: the table has {len(table)} lines and {len(table.columns)} columns, so it has no values.'
        )
    return table


def column_names(path: str) -> list[str]:
    """The names of a table's columns, read from the head of the file. Raises InputError as `read_matrix` does."""
    path = absolute(path)
    with reading(path) as ending:
        if ending == '.parquet':
            return list(pd.read_parquet(path).columns)
        return excel_header(path) if ending == _EXCEL else text_header(path, SEPARATORS[ending])


@contextlib.contextmanager
def reading(path: str) -> Iterator[str]:
    """Gives the ending of a table's name, and turns errors of the libraries that read it into an InputError."""
    ending = _ending(path)
    if ending not in TABLES:
        raise InputError(f'{path}: this is not a table by its name, which should end in {listed(TABLES)}.')
    try:
        refuse_endless(path)
        if ending == '.parquet':
            refuse_unheld_parquet(path)
        if ending == _EXCEL:
            check_zip(path)
            refuse_unheld_excel(path)
        yield ending
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f'{path}: there is no such file.') from error
    except ImportError as error:
        needed, extra = ('openpyxl', 'formats') if ending == _EXCEL else ('pyarrow', 'parquet')
        raise InputError(f"{path}: {ending} files need {needed}; pip install 'perturbjax[{extra}]'.") from error
    except Exception as error:  # the errors of pandas, pyarrow and zlib have no other base class
        reason = str(error).strip().partition('\n')[0]
        hint = '; save it as UTF-8' if isinstance(error, UnicodeError) else ''
        raise InputError(f'{path}: cannot be read as a {ending} table ({reason}){hint}.') from error


def finite(values: np.ndarray | scipy.sparse.csr_matrix, path: str) -> np.ndarray | scipy.sparse.csr_matrix:
    """The values as float32 `[N, M]`; infinite values of a dense block become missing, with a warning.

    Raises InputError where a sparse block has NaN or infinite values, because it cannot have missing ones.
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
    """The name of a screen, which is the name of its file without the endings."""
    return clean(_ENDINGS.sub('', pathlib.Path(path).name))


def _ending(path: str) -> str:
    return pathlib.Path(plain_name(path)).suffix


def read_shards(path: str, pattern: str = '*', decimal: str = POINT) -> pd.DataFrame:
    """The table, or all tables of the folder whose names match the pattern, one below the other."""
    folder = pathlib.Path(path)
    if not folder.is_dir():
        return read_matrix(path, decimal=decimal)
    visible = [file for file in sorted(folder.glob(pattern)) if not file.name.startswith('.')]
    files = [str(file) for file in visible if _ending(file.name) in TABLES]
    if not files:
        raise InputError(f'{path}: the folder has no table, which is a file that ends in {listed(TABLES)}.')
    tables = [read_matrix(file, decimal=decimal) for file in files]
    for file, table in zip(files, tables, strict=True):
        if set(table.columns) != set(tables[0].columns):
            there, first = listed(table.columns), listed(tables[0].columns)
            raise InputError(
                f'{file}: the columns are {there}, but in {files[0]} they are {first}; make them the same.'
            )
    return pd.concat(tables)
