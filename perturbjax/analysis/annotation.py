"""Reads prior knowledge as tables: pairs and sets of genes, targets and mechanisms of compounds."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean
from perturbjax.readers.gene_sets import is_gmt, read_gmt
from perturbjax.readers.table import read_matrix


def read_gene_pairs(path: str, columns: Sequence[str] = (), largest: int = 200) -> pd.DataFrame:
    """Reads pairs of two different genes, columns `first` and `second`, each pair once.

    Args:
      path: a table of two columns, or a .gmt file, of which all pairs within a set are taken.
      columns: the two columns to read, if the table has more.
      largest: sets of a .gmt file with more genes are left out, because their many pairs say little.

    Raises:
      InputError: the file cannot be read, or has other than two columns and `columns` does not choose.
    """
    pairs = _pairs_within(read_sets(path), largest) if is_gmt(path) else _two_columns(path, columns)
    pairs = pairs.set_axis(['first', 'second'], axis=1)
    pairs = pairs[pairs['first'] != pairs['second']]
    ordered = pd.DataFrame(np.sort(pairs.to_numpy(str), axis=1).astype(object), columns=pairs.columns)
    if ordered.empty:
        raise InputError(f'{path}: there is no pair of two different genes.')
    return ordered.drop_duplicates().reset_index(drop=True)


def read_sets(path: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Reads sets of genes, columns `set` and `gene`: one row for each member of a set.

    Args:
      path: a .gmt file (each line is name, description and genes, separated by tabs), or a table of two
        columns: a set, and a gene in it.
      columns: the two columns to read, if the table has more.

    Raises:
      InputError: the file cannot be read, or has other than two columns and `columns` does not choose.
    """
    sets = read_gmt(path) if is_gmt(path) else _two_columns(path, columns)
    return sets.set_axis(['set', 'gene'], axis=1).drop_duplicates().reset_index(drop=True)


def read_labels(path: str, label: str, compound: str = 'compound', separator: str = ';') -> pd.DataFrame:
    """Reads a table of compounds; returns columns `compound` and `label`, one row for each label of a compound.

    Args:
      path: a .csv, .tsv, .txt or .parquet file.
      label: the column of targets or mechanisms; a cell can have several, joined by `separator`.
      compound: the column of compound names.
      separator: separates the labels in a cell.

    Raises:
      InputError: the file cannot be read, lacks a column, or has no labels.
    """
    table = read_matrix(path)
    check_columns(table, (compound, label), path)
    table = table[[compound, label]].dropna().astype(str).set_axis(['compound', 'label'], axis=1)
    pairs = table.assign(label=table['label'].str.split(separator)).explode('label')
    pairs = pairs.assign(label=pairs['label'].str.strip())
    pairs = pairs[pairs['label'] != ''].drop_duplicates().reset_index(drop=True)
    if pairs.empty:
        raise InputError(f'{path}: the column {label!r} is empty; choose another.')
    return pairs


def check_columns(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raises InputError unless the table has these columns and at least one row; `what` names the table."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f'{what}: there is no column {missing[0]!r}; {did_you_mean(missing[0], table.columns)}')
    if table.empty:
        raise InputError(f'{what}: the table is empty.')


def _two_columns(path: str, columns: Sequence[str]) -> pd.DataFrame:
    table = read_matrix(path)
    check_columns(table, columns, path)
    chosen = list(columns or table.columns)
    if len(chosen) != 2:
        raise InputError(f'{path}: the table has {len(chosen)} columns; name the two to read, such as {chosen[:2]}.')
    return table[chosen].dropna().astype(str)


def _pairs_within(sets: pd.DataFrame, largest: int) -> pd.DataFrame:
    members = sets.groupby('set')['gene'].agg(list)
    small = members[members.map(len) <= largest]
    if len(small) < len(members):
        logging.info('gene sets: %d of %d have more than %d genes, left out.', *map(len, (members, small)), largest)
    pairs = [pair for genes in small for pair in itertools.combinations(sorted(genes), 2)]
    return pd.DataFrame(pairs, columns=['first', 'second'], dtype=object)
