"""Columns of a file's table: find one, read it as text, compare its values."""

import re
import string
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed

_PIECE = re.compile(r'\D+[0-9]+')


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
    """A value as text for a name: bytes are decoded, numbers take their shortest form (10.0 becomes `10`)."""
    if isinstance(value, bytes):
        return value.decode('utf-8', 'replace')
    if isinstance(value, float | np.floating):
        return np.format_float_positional(value, trim='-')
    return str(value)


def texts(column: pd.Series | pd.Index, piece: str = '') -> np.ndarray:
    """The values `[N]` as text, or one piece of each (see `template_steps`); `''` where there is none."""
    codes, unique = pd.factorize(column)
    distinct = [_piece(text(value), piece) for value in np.asarray(unique)]
    return np.array([*distinct, ''], object)[codes]


def matches(column: pd.Series | pd.Index, wanted: Iterable) -> np.ndarray:
    """Which values are among the wanted ones, bool `[N]`.

    Values compare by their meaning: `1`, `1.0`, `True`, `'1'` and `b'1'` are equal, and so are a
    missing value and `''`.
    """
    codes, unique = pd.factorize(column)
    keys = {_key(value) for value in wanted}
    return np.array([*(_key(value) in keys for value in np.asarray(unique)), '' in keys], bool)[codes]


def filled(table: pd.DataFrame, template: str, path: str, field: str, needed: np.ndarray | bool = True) -> np.ndarray:
    """The column, or the template filled in, as text `[N]`.

    Args:
      table: of the rows.
      template: a column or a template.
      path, field: the file and the setting, for messages.
      needed: which rows must have a value, bool `[N]`; other rows without one get `''`.

    Raises:
      InputError: a needed row lacks a value, or a column is missing.
    """
    names: Any = ''
    lacking = np.zeros(len(table), bool)
    for before, name, piece in template_steps(template):
        names = names + before if before else names
        if not name:
            continue
        values = texts(find_column(table, name, path, field), piece)
        missing = values == ''
        if (missing & needed).any():
            raise InputError(
                f'{path}: {field}: {(missing & needed).sum()} of {len(table)} rows have no value in the column '
                f'{name!r}; fill them in, or leave out those rows by data.fields.where.'
            )
        names, lacking = values if isinstance(names, str) and not names else names + values, lacking | missing
    names = np.full(len(table), names, object) if isinstance(names, str) else names
    names[lacking] = ''
    return names


def template_steps(template: str) -> list[tuple[str, str, str]]:
    """A column or a template as steps of (text before, column, piece), each `''` where there is none.

    `'{cell}_{time}h'` gives `[('', 'cell', ''), ('_', 'time', ''), ('h', '', '')]`.
    Raises InputError on a template that cannot be read.
    """
    if '{' not in template:
        return [('', template, '')]
    try:
        steps = [(before, name or '', piece or '') for before, name, piece, _ in string.Formatter().parse(template)]
    except ValueError as error:
        raise InputError(f'data.fields: the template {template!r} cannot be read ({error}).') from error
    for _, _, piece in steps:
        if piece and not _PIECE.fullmatch(piece):
            raise InputError(f'data.fields: {piece!r} in {template!r} must be a separator and a number, such as _1.')
    return steps


def _piece(value: str, piece: str) -> str:
    """`_piece('0_A1BG_P1', '_1')` is `A1BG`."""
    if not piece:
        return value
    separator = piece.rstrip('0123456789')
    pieces, index = value.split(separator), int(piece.removeprefix(separator))
    return pieces[index] if index < len(pieces) else ''


def _key(value: Any) -> str:
    """The form of a value that is compared; text that is a number counts as that number."""
    name = str(int(value)) if isinstance(value, bool | np.bool_) else text(value)
    try:
        return name if '_' in name else text(float(name))  # float() would take 1_0 for 10
    except ValueError:
        return name
