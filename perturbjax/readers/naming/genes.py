"""Which symbol and which Ensembl id mean the same gene, from files that have both."""

import re

import pandas as pd
from pandas.api.types import is_numeric_dtype

from perturbjax.errors import InputError, listed
from perturbjax.readers.h5ad import read_var
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.table import read_matrix

_ENSEMBL = re.compile(r'(ENS[A-Z]*G\d{11})(\.\d+)?', re.IGNORECASE)
# Names of columns of symbols. The first that a file has is used, or else the only column beside the ids.
_SYMBOLS = ('symbol', 'gene_symbol', 'gene_symbols', 'hgnc_symbol', 'gene_name', 'gene_names', 'feature_name')
_INDEX = 'index'


def ensembl_id(name: str) -> str:
    """The Ensembl id of a gene in capitals and without its version; `''` for any other name."""
    found = _ENSEMBL.fullmatch(name)
    return found[1].upper() if found else ''


def read_genes(path: str) -> pd.DataFrame:
    """The pairs of symbol and id in a table or among the readouts of an h5ad file.

    Returns a table with the columns `symbol` and `ensembl`, which is empty where the file does not have
    both. Raises InputError where the file cannot be read.
    """
    table = read_var(path) if path.endswith('.h5ad') else read_matrix(path)
    if not isinstance(table.index, pd.RangeIndex):
        table = table.rename_axis(_INDEX).reset_index()
    columns = {str(name): [*texts(table[name])] for name in table.columns if not is_numeric_dtype(table[name])}
    ids = [name for name, values in columns.items() if _are_ids(values)]
    others = [name for name in columns if name not in ids]
    symbols = [name for name in (*_SYMBOLS, _INDEX, *others[: len(others) == 1]) if name in others]
    if not ids or not symbols:
        return pd.DataFrame({'symbol': [], 'ensembl': []}, dtype=object)
    found = pd.DataFrame({'symbol': columns[symbols[0]], 'ensembl': [*map(ensembl_id, columns[ids[0]])]}, dtype=object)
    return found[(found != '').all(axis=1)].drop_duplicates(ignore_index=True)


def read_gene_table(path: str) -> pd.DataFrame:
    """As `read_genes`; raises InputError where the file does not have both."""
    found = read_genes(path)
    if found.empty:
        there = listed(read_matrix(path).columns)
        raise InputError(f'{path}: it needs a column of gene symbols and one of Ensembl ids; there are {there}.')
    return found


def _are_ids(values: list[str]) -> bool:
    """Whether most of the values are Ensembl ids."""
    filled = [value for value in values if value]
    return 2 * sum(map(bool, map(ensembl_id, filled))) > len(filled)
