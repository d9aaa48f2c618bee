"""Columns of a file's table: find one, read it as text, compare its values."""

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.spelling import clean


def find_column(table: pd.DataFrame, name: str, path: str, field: str) -> pd.Series | pd.Index:
    """The column `[N]` of that name, or of several names joined by `|` the first that the table has.

    `index`, or the name of the index, means the index. Raises InputError where there is no such column,
    or where it holds lists or the like instead of single values.
    """
    for each in [name, *str(name).split('|')]:
        column = table[each] if each in table.columns else table.index if each in ('index', table.index.name) else None
        if column is not None:
            _check_values(column, f'{path}: {field}: the column {each!r}')
            return column
    there = listed([*table.columns, 'index'], most=40)
    raise InputError(f'{path}: {field}: there is no column {name!r}; there are {there}.')


def _check_values(column: pd.Series | pd.Index, what: str) -> None:
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == 'mixed':
        wrong = [value for value in column if not isinstance(value, Hashable)]
        if wrong:
            raise InputError(
                f'{what} holds {type(wrong[0]).__name__} such as {str(wrong[0])[:50]!r}, not one value in each row.'
            )


def text(value: Any) -> str:
    """A value as text for a name, spelled as `clean` says; bytes are decoded, and 10.0 becomes `10`."""
    if isinstance(value, str):  # nearly all names
        return clean(value)
    if isinstance(value, bytes):
        return clean(value.decode('utf-8', 'replace'))
    if isinstance(value, float | np.floating):
        return np.format_float_positional(value, trim='-')
    return clean(str(value))


def texts(column: pd.Series | pd.Index) -> np.ndarray:
    """The values `[N]` as text; `''` where there is none."""
    codes, unique = pd.factorize(column)
    return np.array([*map(text, np.asarray(unique)), ''], object)[codes]


def matches(column: pd.Series | pd.Index, wanted: Iterable) -> np.ndarray:
    """Which values are among the wanted ones, bool `[N]`.

    Values compare by their meaning: `1`, `1.0`, `True`, `'1'`, `' 1'` and `b'1'` are equal, and so are a
    missing value and `''`.
    """
    codes, unique = pd.factorize(column)
    keys = {_key(value) for value in wanted}
    return np.array([*(_key(value) in keys for value in np.asarray(unique)), '' in keys], bool)[codes]


def _key(value: Any) -> str:
    """The form of a value that is compared; text that is a number counts as that number."""
    name = str(int(value)) if isinstance(value, bool | np.bool_) else text(value)
    try:
        return name if '_' in name else text(float(name))  # float() would take 1_0 for 10
    except ValueError:
        return name
