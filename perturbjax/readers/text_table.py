"""Tables in text files: what separates their columns, comments at their top, and their numbers."""

import io
import itertools
import warnings
from collections.abc import Collection
from typing import Any

import pandas as pd
from absl import logging

from perturbjax.readers.compressed import is_compressed, open_binary, open_text
from perturbjax.readers.excel import check_columns, check_header

# It separates columns where spreadsheets write decimals with a comma.
_SEMICOLON = ';'

# From 3.1 on pandas reads every digit of a number without being asked to.
_OLD_PANDAS = tuple(map(int, pd.__version__.split('.')[:2])) < (3, 1)
_EXACT: dict[str, Any] = {'float_precision': 'round_trip'} if _OLD_PANDAS else {}


def read_text_table(path: str, usual: str, columns: Collection[str], decimal: str) -> pd.DataFrame:
    """The table in a text file.

    Args:
      path: the file, which may be compressed.
      usual: what separates the columns, unless the header has semicolons.
      columns: if there are any, only they are read.
      decimal: what stands before the decimals of numbers.

    Raises:
      InputError: two columns have one name, or one of `columns` is missing.
      Exception: pandas cannot read the file; its errors have no other base class.
    """
    header, separator, comments = _header(path, usual)
    if comments:
        logging.warning('%s: %d lines of comment at the top are skipped.', path, comments)
    check_columns(header, columns, path)
    options: dict[str, Any] = {'sep': separator, 'skiprows': comments, 'decimal': decimal, **_EXACT}
    with open_binary(path) as file, warnings.catch_warnings():
        warnings.simplefilter('error', pd.errors.ParserWarning)  # raised where lines are longer than the header
        table = pd.read_csv(file, usecols=list(columns) or None, index_col=False, low_memory=False, **options)
    if not is_compressed(path) and not _ends_in_newline(path):
        logging.warning('%s: the last line has no line end; if the file was cut short, its last value is wrong.', path)
    return table if header[0] else table.set_index(table.columns[0]).rename_axis(None)


def text_header(path: str, usual: str) -> list[str]:
    """The names of the columns; raises as `read_text_table` does."""
    return _header(path, usual)[0]


def _header(path: str, usual: str) -> tuple[list[str], str, int]:
    """The names of the columns, what separates them, and how many lines of comment stand above them."""
    separator = _separator(path, usual)
    comments = _comments(path, separator)
    # pandas renames repeated columns silently, so the header is read separately.
    with open_binary(path) as file:
        first = pd.read_csv(
            file, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False, skiprows=comments
        ).iloc[0]
    check_header(list(first), path)
    return list(first), separator, comments


def _separator(path: str, usual: str) -> str:
    """The usual separator, or a semicolon where that gives the first line which is no comment more columns."""
    with open_text(path) as file:
        line = next((line for line in file if line.strip() and not line.startswith('#')), '')
    if _SEMICOLON not in line.split(usual)[0]:
        return usual
    columns = {each: pd.read_csv(io.StringIO(line), sep=each, header=None).shape[1] for each in (usual, _SEMICOLON)}
    return max(columns, key=columns.__getitem__)


def _comments(path: str, separator: str) -> int:
    """How many lines at the top are comments: they begin with `#` and have one column only."""
    with open_text(path) as file:
        return sum(1 for _ in itertools.takewhile(lambda line: line.startswith('#') and separator not in line, file))


def _ends_in_newline(path: str) -> bool:
    with open(path, 'rb') as file:
        file.seek(-1, 2)
        return file.read() in (b'\n', b'\r')
