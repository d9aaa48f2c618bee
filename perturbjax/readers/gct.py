"""Reader of GCT text files, versions 1.2 and 1.3, in which a line is a readout and a column is a profile.

The format: https://clue.io/connectopedia/gct_format.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import TextIO

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.readers.compressed import BROKEN, open_text
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.naming.fields import Fields, readout_names, select
from perturbjax.readers.naming.rows import label_rows
from perturbjax.readers.table import finite, screen_name
from perturbjax.screens.measurements import Measurements

_SHAPES = {'#1.2': 2, '#1.3': 4}
# Words for a missing value in GCT, in GCTX and in the tables beside them.
_NO_LABEL = ('NA', 'NaN', 'nan', '-666', '-666.0')
_NO_NUMBER = ('', 'na', 'nan', 'n/a', '#n/a', 'null')

Line = tuple[int, list[str]]  # the number of the line in the file, and its cells


def read_gct(path: str, fields: Fields) -> Measurements:
    """The profiles of a GCT file that `fields` choose; it may be compressed (.gct.gz and the like).

    Raises InputError where the file is not GCT, or a line does not fit the shape that line 2 declares.
    """
    try:
        with open_text(path) as file:
            block, readouts, profiles = _parse(file, path)
    except FileNotFoundError as error:
        raise InputError(f'{path}: there is no such file.') from error
    except BROKEN as error:
        raise InputError(f'{path}: cannot be read as GCT, because it is damaged ({error}).') from error
    rows = select(profiles, fields.where, path, 'data.fields.where')
    columns = select(readouts, fields.readout_where, path, 'data.fields.readout_where')
    contexts, perturbations = label_rows(profiles.iloc[rows], fields, path)
    names = readout_names(readouts.iloc[columns], fields, path)
    values = finite(np.ascontiguousarray(block[np.ix_(columns, rows)].T), path)
    return Measurements(screen_name(path), values, contexts, perturbations, names)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Metadata in which text that is a number becomes one, and -666 and the like become missing."""
    return pd.DataFrame({name: _typed(table[name]) for name in table.columns}, index=table.index)


def _typed(column: pd.Series) -> pd.Series:
    column = column.mask(np.isin(texts(column).astype(str), _NO_LABEL))
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def _parse(file: TextIO, path: str) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """The values `[M, N]`, and the tables of the M readouts and the N profiles."""
    readouts, profiles, readout_fields, profile_fields = _shape(file.readline(), file.readline(), path)
    lines = enumerate((line.rstrip('\r\n').split('\t') for line in file), start=3)
    start = 1 + readout_fields
    rows = _of_width(lines, start + profiles, path)
    head = [cells for _, cells in itertools.islice(rows, 1 + profile_fields)]
    labels, values = list[list[str]](), list[np.ndarray]()
    for number, cells in rows:
        if len(values) == readouts:
            raise InputError(f'{path}: line {number} is one of values too many, for line 2 declares {readouts}.')
        labels.append(cells[:start])
        values.append(_numbers(cells[start:], number, path))
    if len(values) != readouts or not values:
        raise InputError(f'{path}: {len(values)} lines of values, but line 2 declares {readouts}; is it cut short?')
    return np.array(values), *_tables(head, labels, start, path)


def _of_width(lines: Iterable[Line], width: int, path: str) -> Iterator[Line]:
    """The lines that are not blank; raises InputError on a line with another number of cells."""
    for number, cells in lines:
        if cells == ['']:
            continue
        if len(cells) != width:
            raise InputError(f'{path}: line {number} has {len(cells)} cells, but by line 2 it should have {width}.')
        yield number, cells


def _tables(head: list[list[str]], labels: list[list[str]], start: int, path: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of the readouts, whose fields are columns, and that of the profiles, whose fields are lines."""
    readout_fields, profile_fields = head[0][1:start], [cells[0] for cells in head[1:]]
    for fields in (readout_fields, profile_fields):
        if len(set(fields)) < len(fields):
            raise InputError(f'{path}: fields are named twice in {listed(fields, most=40)}; rename one of them.')
    readouts = pd.DataFrame([cells[1:] for cells in labels], [cells[0] for cells in labels], readout_fields)
    profiles = pd.DataFrame([cells[start:] for cells in head[1:]], profile_fields, head[0][start:]).T
    return typed(readouts), typed(profiles)


def _shape(version: str, declared: str, path: str) -> list[int]:
    """The numbers of readouts, profiles, fields of a readout and fields of a profile, from the first two lines."""
    version, numbers = version.strip(), declared.split()
    if version not in _SHAPES:
        raise InputError(f'{path}: this is not a GCT file; its first line is {version[:30]!r}, not #1.2 or #1.3.')
    if len(numbers) != _SHAPES[version] or not all(number.isdecimal() for number in numbers):
        raise InputError(
            f'{path}: line 2 should declare the shape in {_SHAPES[version]} numbers, but is {declared.strip()[:30]!r}.'
        )
    # In GCT 1.2 a readout has one field, its description, and a profile has none.
    return [int(number) for number in [*numbers, '1', '0'][:4]]


def _numbers(cells: list[str], number: int, path: str) -> np.ndarray:
    try:
        return np.array(cells, np.float64)
    except ValueError:
        cells = ['nan' if cell.strip().lower() in _NO_NUMBER else cell for cell in cells]
    try:
        return np.array(cells, np.float64)
    except ValueError as error:
        raise InputError(f'{path}: line {number} has a value that is not a number ({error}).') from error
