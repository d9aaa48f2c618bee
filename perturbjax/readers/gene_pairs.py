"""Tables of pairs of genes, such as interactions or members of one complex."""

import pandas as pd

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.readers.gene_graph import weights_in
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.table import column_names, read_matrix

_WEIGHTS = ('weight', 'importance', 'score', 'combined_score')


def read_gene_pairs(path: str) -> pd.DataFrame:
    """The pairs in a table whose first two columns are the genes.

    A third column `weight` (or `importance`, `score`, `combined_score`) says how strongly they belong together; without
    it all pairs count alike. Other columns are left out.

    Returns:
      Columns `first`, `second` and `weight`, each pair of two genes once, whatever its order; the largest weight of
      those that are there more than once.

    Raises:
      InputError: the file cannot be read, has no two columns of names, an empty name, no pair of two genes, or a
        weight that is no finite number above 0.
    """
    path = absolute(path)
    there = column_names(path)
    weight = next((name for name in _WEIGHTS if name in there[2:]), '')
    if len(there) < 2 or not there[0]:
        raise InputError(f'{path}: the first two columns of a table of pairs are the genes; there are {listed(there)}.')
    table = read_matrix(path, [*there[:2], weight] if weight else there[:2])
    found = pd.DataFrame({'first': texts(table[there[0]]), 'second': texts(table[there[1]])}, dtype=object)
    empty = (found == '').any(axis=1).to_numpy()
    if empty.any():
        raise InputError(f'{path}: line {2 + int(empty.argmax())} lacks one of its two genes; fill or remove it.')
    found['weight'] = weights_in(table[weight], path) if weight else 1.0
    swapped = found['first'] > found['second']
    found.loc[swapped, ['first', 'second']] = found.loc[swapped, ['second', 'first']].to_numpy()
    found = found[found['first'] != found['second']]
    if found.empty:
        raise InputError(f'{path}: there is no pair of two genes in the columns {listed(there[:2])}.')
    return found.groupby(['first', 'second'], as_index=False)[['weight']].max()
