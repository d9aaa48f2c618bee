"""Rows of embedding tables as unit vectors, by gene or by compound; their neighbours and principal components.

Before cosines are computed, the mean of all rows of the table is subtracted: LPM's first layer has a bias, so
the origin of its embeddings has no meaning.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import anndata
import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.vocabulary import CONTROL

# One table, or several by label, such as that of an LPM and the raw profiles; compared on the names they share.
Tables: TypeAlias = anndata.AnnData | Mapping[str, anndata.AnnData]

_DOSE = re.compile(r'-[0-9.]+ ?[a-zA-Zµ]*$')


class Vectors(NamedTuple):
    """Vectors `[n, D]` and their names `[n]`, sorted, each once."""

    names: np.ndarray
    values: np.ndarray


def centred(table: anndata.AnnData) -> np.ndarray:
    """The rows minus their mean, float64 `[n, D]`; values that were not measured become 0.

    Raises:
      InputError: a name has several rows, as in a table of several seeds.
    """
    twice = table.obs['name'][table.obs['name'].duplicated()]
    if len(twice):
        raise InputError(f'embeddings: {listed(twice[:1])} has several rows; choose one seed, or align them first.')
    values = np.asarray(table.X, np.float64)
    measured = ~np.isnan(values)
    mean = np.where(measured, values, 0).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
    return np.where(measured, values - mean, 0)


def unit(values: np.ndarray) -> np.ndarray:
    """Scales rows to length 1; a row of zeros stays as it is."""
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def genes(table: anndata.AnnData, scale: Callable[[np.ndarray], np.ndarray] = unit) -> Vectors:
    """One vector for each gene of a table of perturbations or readouts; compounds and control are left out.

    A gene with several perturbations (knock-down and knock-out) gets the mean of their vectors. `scale` is
    applied to every vector and to the mean; by default it makes them unit vectors.
    """
    chosen = (table.obs['type'] != 'Compound') & (table.obs['name'] != CONTROL)
    return _pool(table, chosen.to_numpy(), table.obs['target'].to_numpy(object), scale)


def compounds(table: anndata.AnnData, known: Collection[str]) -> Vectors:
    """One vector for each compound in `known`: the mean of the unit vectors of its doses.

    `Compound_vorinostat-1uM` is looked up by that name, then as `vorinostat-1uM`, then as `vorinostat`. A
    warning names the compounds that are not known.

    Raises:
      InputError: the table has no compounds, or none of them is known.
    """
    chosen = (table.obs['type'] == 'Compound').to_numpy()
    rows = zip(table.obs['name'], table.obs['target'])
    names = np.array([_known_compound(name, target, known) for name, target in rows], object)
    unknown = sorted(set(names[chosen]) - set(known))
    if not chosen.any():
        raise InputError(
            f'embeddings: no perturbation is a compound; there are {listed(sorted(set(table.obs["type"])))}.'
        )
    if unknown:
        told = f'{len(unknown)} compounds have no annotation: {listed(unknown)}; {did_you_mean(unknown[0], known)}'
        if set(names[chosen]) <= set(unknown):
            raise InputError(f'embeddings: {told}')
        logging.warning('embeddings: %s', told)
    return _pool(table, chosen & ~np.isin(names, unknown), names, unit)


def _known_compound(name: str, target: str, known: Collection[str]) -> str:
    without_dose = _DOSE.sub('', target)
    return next((each for each in (name, target) if each in known), without_dose)


def _pool(table: anndata.AnnData, chosen: np.ndarray, names: np.ndarray, scale: Callable) -> Vectors:
    """The chosen rows, scaled, averaged by name and scaled again."""
    codes, unique = pd.factorize(names[chosen], sort=True)
    total = np.zeros((len(unique), table.n_vars))
    np.add.at(total, codes, scale(centred(table)[chosen]))
    return Vectors(np.asarray(unique, object), scale(total / np.bincount(codes)[:, None]))


def by_source(tables: Tables, rows: Callable[[anndata.AnnData], Vectors], what: str) -> dict[str, Vectors]:
    """The vectors of every table by its label, for the names that all tables share, in the same order.

    Args:
      tables: one table, or several by label.
      rows: makes the vectors of a table.
      what: what the names are, for the error.

    Raises:
      InputError: the tables share no name.
    """
    named = {'embedding': tables} if isinstance(tables, anndata.AnnData) else tables
    found = {label: rows(table) for label, table in named.items()}
    shared = sorted(set.intersection(*(set(each.names) for each in found.values())))
    if not shared:
        raise InputError(f'embeddings: {listed(found)} have no {what} in common; nothing can be compared.')
    return {label: Vectors(*(part[np.isin(each.names, shared)] for part in each)) for label, each in found.items()}


def stack_sources(results: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The results of all sources in one table, with the source in the first column."""
    return pd.concat(results, names=['source']).reset_index('source').reset_index(drop=True)


def neighbours(table: anndata.AnnData, names: Sequence[str] = (), count: int = 10) -> pd.DataFrame:
    """The nearest rows by cosine: columns name, neighbour, rank (1 = nearest) and cosine.

    Args:
      table: as `axis_table` returns it.
      names: names to find neighbours for; all if empty.
      count: number of neighbours of each name.

    Raises:
      InputError: a name is not in the table.
    """
    there, vectors = table.obs['name'].to_numpy(object), unit(centred(table))
    row = pd.Index(there).get_indexer(np.asarray(names, object)) if len(names) else np.arange(len(there))
    if (row < 0).any():
        unknown = [name for name, each in zip(names, row) if each < 0]
        raise InputError(f'embeddings: there is no {listed(unknown)}; {did_you_mean(unknown[0], there)}')
    cosine = vectors[row] @ vectors.T
    cosine[np.arange(len(row)), row] = -np.inf
    count = min(count, len(there) - 1)
    nearest = np.argsort(-cosine, axis=1, kind='stable')[:, :count]
    return pd.DataFrame(
        {
            'name': np.repeat(there[row], count),
            'neighbour': there[nearest].ravel(),
            'rank': np.tile(np.arange(1, count + 1), len(row)),
            'cosine': np.take_along_axis(cosine, nearest, axis=1).ravel(),
        }
    )


def principal_components(table: anndata.AnnData, count: int = 50) -> tuple[pd.DataFrame, pd.Series]:
    """Coordinates of the rows on their first principal components, and each component's share of the variance.

    Computed by a singular value decomposition of the centred rows. The sign of a component is chosen so that
    its largest coordinate is positive.
    """
    left, size, _ = np.linalg.svd(centred(table), full_matrices=False)
    sign = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    labels = pd.Index([f'PC{i + 1}' for i in range(min(count, len(size)))])
    scores = (left * sign * size)[:, : len(labels)]
    share = size**2 / max((size**2).sum(), np.finfo(float).tiny)
    return pd.DataFrame(scores, table.obs['name'].to_numpy(object), labels), pd.Series(share[: len(labels)], labels)
