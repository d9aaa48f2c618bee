"""Templates such as `{cell}_{time}h`, which build a name from several columns of a file's table."""

import functools
import operator
import re
import string
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.columns import find_column, text, texts
from perturbjax.readers.naming.quantities import one_unit
from perturbjax.readers.naming.spelling import clean, joint_pattern

# A separator and which piece, counted from 0, or from the end as -1.
_PIECE = re.compile(r'(\D+?)(-?[0-9]+)')
# Marks a column that may have no value.
_OPTIONAL = '?'
# Forms of cell culture, and no times.
_CULTURES = {'2d', '3d'}

IsNothing = Callable[[str], bool]  # whether a text stands for no value
Column = tuple[str, str]  # the name of a column and the piece of it, or ''


def filled(
    table: pd.DataFrame,
    template: str,
    path: str,
    field: str,
    needed: np.ndarray | bool = True,
    is_nothing: IsNothing = lambda _: False,
    absent: str = '',
) -> np.ndarray:
    """The column, or the template filled in, as text `[N]`.

    Columns that stand side by side in a template, as a number and its unit may, are one value. A dose or
    a time with a known unit is converted by `quantities.one_unit`.

    Args:
      table: of the rows.
      template: a column or a template.
      path, field: the file and the setting, for messages.
      needed: which rows must have a value, bool `[N]`; other rows without one get `''`.
      is_nothing: whether a text stands for no value.
      absent: stands in for a value that is not there and not needed, if the row has another one.

    Raises:
      InputError: a needed row lacks a value, or a column is missing.
    """
    names: Any = ''
    lacking, having = np.zeros(len(table), bool), np.zeros(len(table), bool)
    for before, columns in _groups(template):
        names = names + before if before else names
        if not columns:
            continue
        values = _joined(table, columns, path, field, is_nothing)
        missing = (values == '') & (columns[0][1] != _OPTIONAL)
        if (missing & needed).any():
            raise InputError(_no_value(table, missing & needed, columns[0][0], path, field, is_nothing))
        if absent:
            having |= values != ''
            values[missing] = absent
        names, lacking = values if isinstance(names, str) and not names else names + values, lacking | missing
    names = np.full(len(table), names, object) if isinstance(names, str) else names
    names[lacking & ~having] = ''
    return names


def has_any(table: pd.DataFrame, template: str, path: str, field: str, is_nothing: IsNothing) -> np.ndarray:
    """Which rows `[N]` have a value in any column of the template; texts that stand for none are told."""
    there = np.zeros(len(table), bool)
    for name, piece in (column for _, group in _groups(template) for column in group):
        there |= _values(table, (name, piece), path, field, is_nothing) != ''
        words = sorted({value for value in texts(find_column(table, name, path, field)) if value and is_nothing(value)})
        if words:
            logging.warning(
                '%s: %s: in the column %r %s stands for no value, so that part is not there; see data.fields.nothing.',
                *(path, field, name, listed(words)),
            )
    return there


def split_template(template: str, separators: Iterable[str]) -> list[str]:
    """A template cut at each separator between its columns, as `{a}+{b}` at `+`, where every part has a column."""
    cut = joint_pattern(separators)
    pieces = re.split(rf'(?:{cut})(?![^{{]*\}})', template) if cut else [template]
    return pieces if all('{' in piece for piece in pieces) else [template]


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
        if piece and piece != _OPTIONAL and not _PIECE.fullmatch(piece):
            raise InputError(
                f'data.fields: {piece!r} in {template!r} must be a separator and a number, such as _1, or _-1 for the '
                'last piece.'
            )
    return steps


def _groups(template: str) -> list[tuple[str, list[Column]]]:
    """The text before each group of columns that stand side by side, and the group."""
    groups: list[tuple[str, list[Column]]] = []
    for before, name, piece in template_steps(template):
        if before or not groups:
            groups.append((before, []))
        groups[-1][1].extend([(name, piece)] if name else [])
    return groups


def _joined(table: pd.DataFrame, columns: list[Column], path: str, field: str, is_nothing: IsNothing) -> np.ndarray:
    """The values `[N]` of columns side by side, each in one unit; `''` where a column has none."""
    parts = [_values(table, column, path, field, is_nothing, tell=True) for column in columns]
    if len(parts) == 1:
        return parts[0]
    codes, unique = pd.factorize(functools.reduce(operator.add, parts))
    joined = np.array([one_unit(value) for value in unique], object)[codes]
    for part, (_, piece) in zip(parts, columns, strict=True):
        joined[(part == '') & (piece != _OPTIONAL)] = ''
    return joined


def _values(
    table: pd.DataFrame, column: Column, path: str, field: str, is_nothing: IsNothing, tell: bool = False
) -> np.ndarray:
    """The values `[N]` of a column, or a piece of each, as text; `''` where there is none or it means nothing.

    If `tell` is set, a warning lists different values that are one name.
    """
    name, piece = column
    codes, unique = pd.factorize(find_column(table, name, path, field))
    names = [text(value) for value in np.asarray(unique)]
    if tell and len(set(names)) < len(names):
        _tell_spellings(unique, f'{path}: {field}: the column {name!r}')
    if piece not in ('', _OPTIONAL):
        names = _pieces(names, piece, f'{path}: {field}: the column {name!r}')
    names = ['' if is_nothing(value) else value for value in names]
    if not set(names) <= _CULTURES:
        names = [one_unit(value) for value in names]
    return np.array([*names, ''], object)[codes]


def _pieces(values: list[str], piece: str, what: str) -> list[str]:
    """One piece of each value, `''` where it has fewer: `_1` of `0_A1BG_P1` is `A1BG`, and `_-1` is `P1`."""
    separator, number = _PIECE.fullmatch(piece).groups()  # type: ignore[union-attr]
    if values and not any(separator in value for value in values):
        raise InputError(
            f'{what} has no value with {separator!r}, at which {piece!r} splits; write the separator and the number '
            'of the piece, such as _0 for the first piece or _-1 for the last.'
        )
    split = [value.split(separator) for value in values]
    index = int(number)
    return [each[index] if -len(each) <= index < len(each) else '' for each in split]


def _tell_spellings(values: Any, what: str) -> None:
    """Warns of different values that are one name, because they differ only in spaces or in the form of Unicode."""
    spellings: dict[str, list[str]] = {}
    for value in values:
        if isinstance(value, str):
            spellings.setdefault(clean(value), []).append(value)
    several = [sorted(each) for each in spellings.values() if len(each) > 1]
    if several:
        logging.warning(
            '%s: names that differ only in spaces or in the form of Unicode count as one: %s.',
            *(what, '; '.join(map(listed, several))),
        )


def _no_value(table: pd.DataFrame, missing: np.ndarray, name: str, path: str, field: str, is_nothing: IsNothing) -> str:
    """The message for rows without a value in a column; it names the texts there that stand for no value."""
    values = set(texts(find_column(table, name, path, field)[missing]))
    words = sorted(value for value in values if value and is_nothing(value))
    without = f'{path}: {field}: {missing.sum()} of {len(table)} rows have no value in the column {name!r}'
    if not words:
        return f'{without}; fill them in, or leave out those rows by data.fields.where.'
    unwanted = tuple(words if '' not in values else ['', *words])
    return (
        f'{without}, for {listed(words)} stands for none; leave those rows out by '
        f"data.fields.where={{{name!r}: {{'not': {unwanted}}}}}, name it in data.fields.control if it means control, "
        'or take it out of data.fields.nothing if it is a perturbation.'
    )
