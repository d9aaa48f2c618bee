"""Graphs of genes in files: edges with a weight, or the terms that each gene is annotated with."""

import numpy as np
import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.readers.gene_sets import is_gmt, read_gmt
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.table import column_names, read_matrix

EDGES = ('source', 'target', 'importance')
_TERMS = ('gene', 'term')


def read_gene_graph(path: str) -> pd.DataFrame:
    """The edges or the annotations in a file.

    Args:
      path: a table with the columns `source`, `target` and `importance`, as `go_essential_all.csv` of GEARS; or a
        table with the columns `gene` and `term`, a line for each pair; or gene sets in a .gmt file.

    Returns:
      A table with the columns `source`, `target`, `importance`; or, of annotations, `gene` and `set`, each pair once.

    Raises:
      InputError: the file cannot be read, lacks these columns, has an empty name, or an importance that is no finite
        number above 0, or the same edge twice.
    """
    path = absolute(path)
    if is_gmt(path):
        return read_gmt(path)
    there = column_names(path)
    columns = next((each for each in (EDGES, _TERMS) if set(each) <= set(there)), ())
    if not columns:
        raise InputError(
            f'{path}: a graph of genes has the columns {listed(EDGES)}, or {listed(_TERMS)} for the terms of each '
            f'gene; there are {listed(there)}.'
        )
    table = read_matrix(path, columns if there[0] else ())  # a column without a name would become the index
    names = columns[:2]
    found = pd.DataFrame({name: texts(table[name]) for name in names}, dtype=object)
    empty = (found == '').any(axis=1).to_numpy()
    if empty.any():
        raise InputError(f'{path}: line {2 + int(np.argmax(empty))} has no name in {listed(names)}; fill or remove it.')
    if columns == _TERMS:
        return found.rename(columns={'term': 'set'}).drop_duplicates(ignore_index=True)
    found['importance'] = weights_in(table['importance'], path)
    twice = found[found.duplicated(['source', 'target'])]
    if len(twice):
        edge = ' to '.join(twice.iloc[0][['source', 'target']])
        raise InputError(f'{path}: {len(twice)} edges stand twice, such as {edge}; keep one of each.')
    return found


def weights_in(column: pd.Series, path: str) -> np.ndarray:
    """The weights `[N]` of pairs; raises InputError where one is no finite number above 0."""
    weights = pd.to_numeric(column, errors='coerce').to_numpy(np.float64)
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        line = int(np.argmax(wrong))
        there = str(column.iloc[line])
        raise InputError(
            f'{path}: line {2 + line}: the {column.name} {there!r} is no number above 0; correct it or remove the line.'
        )
    return weights
