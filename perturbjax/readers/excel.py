"""Tables in the first sheet of an Excel file."""

from collections.abc import Collection, Sequence

import pandas as pd
from absl import logging

from perturbjax.errors import InputError, listed


def read_excel(path: str, columns: Collection[str] = ()) -> pd.DataFrame:
    """The table in the first sheet; if `columns` are given, only they are kept.

    A first column without a name becomes the index. Raises InputError where a column is named twice or
    one of `columns` is missing; ImportError where openpyxl is not installed.
    """
    with pd.ExcelFile(path) as file:
        if len(file.sheet_names) > 1:
            left_out = listed(map(str, file.sheet_names[1:]))
            logging.warning('%s: only the first sheet, %r, is read, and not %s.', path, file.sheet_names[0], left_out)
        header = _header(file, path)
        check_columns(header, columns, path)
        table = file.parse(0, header=None, skiprows=1)
    table = table.set_axis(header[: table.shape[1]], axis=1)
    table = table[list(columns)] if columns else table
    return table if table.columns[0] else table.set_index(table.columns[0]).rename_axis(None)


def excel_header(path: str) -> list[str]:
    """The names of the columns in the first sheet; raises as `read_excel` does."""
    with pd.ExcelFile(path) as file:
        return _header(file, path)


def _header(file: pd.ExcelFile, path: str) -> list[str]:
    first = file.parse(0, header=None, nrows=1, dtype=str).fillna('')
    header = list(first.iloc[0]) if len(first) else []
    check_header(header, path)
    return header


def check_header(header: Sequence[str], path: str) -> None:
    """Raises InputError where two columns have one name."""
    twice = [name for name in dict.fromkeys(header) if list(header).count(name) > 1]
    if twice:
        raise InputError(f'{path}: columns are named twice: {listed(twice)}; rename one of them.')


def check_columns(header: Sequence[str], columns: Collection[str], path: str) -> None:
    """Raises InputError where the header lacks one of the columns."""
    missing = [name for name in columns if name not in set(header)]
    if missing:
        raise InputError(f'{path}: there is no column {listed(missing)}; there are {listed(header, most=40)}.')
