"""Reader of a matrix of gene pairs: one readout of every gene with every other, with a table of single genes."""

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.readers.decimals import POINT, decimal_hint, with_points
from perturbjax.readers.naming.columns import find_column, texts
from perturbjax.readers.naming.fields import Fields, readout_names, select
from perturbjax.readers.naming.rows import label_rows
from perturbjax.readers.table import finite, read_matrix, screen_name
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import token

# What the halves above and below the diagonal are to each other.
_HALVES = ('mirrored', 'replicates')


def read_pair_matrix(
    path: str,
    fields: Fields,
    singles: str,
    single: str = '',
    halves: str = 'mirrored',
    readout: str = 'value',
    decimal: str = POINT,
) -> Measurements:
    """The gene pairs in a square table, and the single genes in another one: a row for each.

    The diagonal, which is a gene with itself, and empty cells are left out. `fields` finds the names of
    genes and pairs (`A`, `A+B`) in the column `perturbation`.

    Args:
      path: the matrix; its first column names the lines.
      fields: which columns give the names. No column gives the context, so `context_name` is needed.
      singles: the table of single genes; its first column names them.
      single: the column of their values; `''` where the table has only one.
      halves: with `mirrored`, the cells (A, B) and (B, A) are the same measurement, or one of them is
        empty; with `replicates`, each cell is a measurement and a row of its own.
      readout: the name of what was measured.
      decimal: what stands before the decimals of numbers in text files, `.` or `,`.

    Raises:
      InputError: lines and columns have different names, a mirrored pair has two values, the table of
        singles is missing, or a value is not a number.
    """
    if halves not in _HALVES:
        raise InputError(f'data.halves: no such choice {halves!r}; {did_you_mean(halves, _HALVES)}')
    if not singles:
        raise InputError(f'{path}: data.singles: name the table of the single genes.')
    matrix = _square(_named(path, decimal), path, decimal)
    alone = _singles(_named(singles, decimal), single, singles, decimal)
    lacking = [name for name in matrix.index if name not in alone.index]
    if lacking:
        logging.warning(
            '%s: %d genes of the pairs are not among the single genes: %s.', singles, len(lacking), listed(lacking)
        )
    values = pd.concat([alone, _pairs(matrix, halves, path)])
    table, readouts = pd.DataFrame({'perturbation': values.index}), pd.DataFrame(index=[readout])
    rows = select(table, fields.where, path, 'data.fields.where')
    contexts, perturbations = label_rows(table.iloc[rows], fields, path)
    block = finite(values.to_numpy()[rows, None], path)
    return Measurements(screen_name(path), block, contexts, perturbations, readout_names(readouts, fields, path))


def _named(path: str, decimal: str) -> pd.DataFrame:
    """The table, with the names in its first column as its index."""
    table = read_matrix(path, decimal=decimal)
    table = table.set_index(table.columns[0]) if isinstance(table.index, pd.RangeIndex) else table
    names = texts(table.index)
    if '' in names:
        raise InputError(
            f'{path}: the first column must name every line, but {(names == "").sum()} lines have no name.'
        )
    # A plus in the name of a gene would be read as a pair.
    table.index = pd.Index(map(token, names), dtype=object)
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise InputError(f'{path}: lines are named twice: {listed(twice)}; rename or average them.')
    return table


def _square(table: pd.DataFrame, path: str, decimal: str) -> pd.DataFrame:
    """The matrix as float64, with its columns in the order of its lines."""
    table = table.set_axis(pd.Index(map(token, texts(table.columns)), dtype=object), axis=1)
    one_sided = set(table.index) ^ set(table.columns)
    if one_sided:
        raise InputError(
            f'{path}: lines and columns of a matrix of pairs must have the same names, but '
            f'{listed(sorted(one_sided))} are only on one side.'
        )
    return _numbers(table, path, decimal)[table.index]


def _pairs(matrix: pd.DataFrame, halves: str, path: str) -> pd.Series:
    """The filled cells off the diagonal, by the name of the pair; each pair once if the halves are mirrored."""
    names, values = matrix.index, matrix.to_numpy()
    if halves == 'mirrored':
        two = ~np.isclose(values, values.T) & ~np.isnan(values) & ~np.isnan(values.T)
        if two.any():
            first, second = (names[i] for i in np.argwhere(two)[0])
            raise InputError(
                f'{path}: {two.sum() // 2} pairs have two values, such as {first} with {second}; '
                "if both were measured, set data.halves='replicates'."
            )
        values = np.where(np.isnan(values), values.T, values)
    wanted = np.triu(np.ones(values.shape, bool), 1) if halves == 'mirrored' else ~np.eye(len(values), dtype=bool)
    row, column = np.nonzero(wanted & ~np.isnan(values))
    return pd.Series(values[row, column], names[row] + '+' + names[column])


def _singles(table: pd.DataFrame, single: str, path: str, decimal: str) -> pd.Series:
    """The value of each single gene, where there is one."""
    if not single and len(table.columns) != 1:
        raise InputError(f'{path}: data.single: name the column of the values; there are {listed(table.columns)}.')
    column = find_column(table, single or table.columns[0], path, 'data.single')
    return _numbers(column.to_frame(), path, decimal).iloc[:, 0].dropna()


def _numbers(table: pd.DataFrame, path: str, decimal: str) -> pd.DataFrame:
    """The table as float64; raises InputError, naming the first value that is not a number."""
    texts = list(table.select_dtypes(exclude='number').columns)
    numbers = with_points(table, texts, decimal).apply(pd.to_numeric, errors='coerce').astype(np.float64)
    wrong = (numbers.isna() & table.notna()).to_numpy()
    if wrong.any():
        line, column = np.argwhere(wrong)[0]
        value = table.iloc[line, column]
        raise InputError(
            f'{path}: {table.index[line]} has {value!r} in the column {table.columns[column]!r}, which is not a '
            f'number; {decimal_hint(value, decimal) or "correct it"}.'
        )
    return numbers
