"""Embedding files: a vector for each gene or perturbation, in the forms in which such tables are published."""

import itertools

import numpy as np
import pandas as pd
import scipy.sparse

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.readers.compressed import open_binary, open_text
from perturbjax.readers.decimals import numbers
from perturbjax.readers.gene_sets import is_gmt, read_gmt
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.saved import read_whole
from perturbjax.readers.table import SEPARATORS, read_matrix, reading

# Of a .gmt file only the sets with most genes count, as many as perturblib takes of Reactome's.
LARGEST_SETS = 200

_HINT = 'an embedding file has one column of numbers for each name, or one line'


def read_embedding(path: str) -> tuple[list[str], np.ndarray]:
    """The n names and the vectors `[n, D]` of an embedding file.

    The forms, which are told by the content:

    - a column for each name and D lines, as in Ahlmann-Eltze et al. 2025; a first column without a header is ignored;
    - a line for each name, whose first column has a header and holds the names;
    - the same in text without a header, separated by tabs or spaces, also below word2vec's line of two sizes, as
      Gene2Vec's file is;
    - .h5ad: a row for each name, in X;
    - .gmt: a 1 for each of the `LARGEST_SETS` sets that a gene is in, else 0.

    Raises InputError where a value is not a finite number, or a name has two vectors.
    """
    path = absolute(path)
    names, vectors = _membership(path) if is_gmt(path) else _vectors(path)
    twice = pd.Index(names)[pd.Index(names).duplicated()].unique()
    if len(twice):
        raise InputError(f'{path}: names stand twice: {listed(twice)}; keep one vector of each.')
    if not np.isfinite(vectors).all():
        wrong = [name for name, is_whole in zip(names, np.isfinite(vectors).all(axis=1)) if not is_whole]
        raise InputError(f'{path}: the vectors of {listed(wrong)} are not complete; correct them or take them out.')
    return names, vectors


def _membership(path: str) -> tuple[list[str], np.ndarray]:
    """Which of the largest sets each gene is in; of sets of one size the first in the file count."""
    members = read_gmt(path)
    sizes = members['set'].value_counts(sort=False).sort_values(ascending=False, kind='stable')
    table = pd.crosstab(members['gene'], members['set'])[sizes.index[:LARGEST_SETS]]
    table = table[table.any(axis=1)]
    return list(table.index), table.to_numpy(np.float64)


def _vectors(path: str) -> tuple[list[str], np.ndarray]:
    if path.lower().endswith('.h5ad'):
        return _rows_of_x(path)
    with reading(path) as ending:
        separator = SEPARATORS.get(ending, '')
        above = _lines_above(path, separator) if separator else None
        if above is not None:
            return _without_header(path, separator, above)
    table = read_matrix(path)
    if len(table.columns) > 1 and _holds_names(table.iloc[:, 0]):
        names = texts(table.pop(table.columns[0]))
        return list(names), numbers(table, path, _HINT)
    return list(table.columns), numbers(table, path, _HINT).T


def _rows_of_x(path: str) -> tuple[list[str], np.ndarray]:
    data = read_whole(path, 'vectors of names')
    if data.X is None:
        raise InputError(f'{path}: it has no X, which holds the vector of each name in obs; save them there.')
    dense = data.X.toarray() if scipy.sparse.issparse(data.X) else data.X
    return list(texts(data.obs_names)), np.asarray(dense, float)


def _holds_names(column: pd.Series) -> bool:
    """Whether no value is a number, with a point or a comma."""
    return bool(pd.to_numeric(column.astype(str).str.replace(',', '.'), errors='coerce').isna().all())


def _lines_above(path: str, separator: str) -> int | None:
    """How many lines stand above those of the form `NAME v1 v2 ...`; None where the file has a header."""
    with open_text(path) as file:
        lines = [_split(line, separator) for line in itertools.islice(file, 2)]
    if not lines or not lines[0]:
        return None
    first, second = lines[0], lines[-1]
    if len(first) == 2 and all(each.isdigit() for each in first) and len(second) == int(first[1]) + 1:
        return 1
    values = first[1:]
    # A header may count its columns: `gene 0 1 2 ...`.
    is_count = values in ([str(i + start) for i in range(len(values))] for start in (0, 1))
    begin_with_names = all(line[0] and not _is_number(line[0]) for line in lines if line)
    return 0 if values and all(map(_is_number, values)) and begin_with_names and not is_count else None


def _split(line: str, separator: str) -> list[str]:
    """The cells of a line, at spaces where it has no separator."""
    line = line.rstrip('\r\n')
    return [each.strip() for each in line.split(separator)] if separator in line else line.split()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _without_header(path: str, separator: str, above: int) -> tuple[list[str], np.ndarray]:
    with open_text(path) as file:
        line = next(itertools.islice(file, above, None))
    with open_binary(path) as file:
        table = pd.read_csv(
            file,
            sep=separator if separator in line else r'\s+',
            header=None,
            skiprows=above,
            dtype={0: str},
            keep_default_na=False,
        )
    return list(table[0]), numbers(table.drop(columns=0), path, _HINT)
