"""Do several seeds find the same embeddings? Orthogonal Procrustes, and the agreement beside that of chance."""

import itertools
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd

from perturbjax.analysis.annotation import check_columns
from perturbjax.analysis.nulls import beside_null
from perturbjax.analysis.vectors import centred, unit
from perturbjax.errors import InputError


class Alignment(NamedTuple):
    """The tables of several seeds, aligned to one.

    Attributes:
      table: the mean of the aligned tables, one row per name, in the form of `axis_table`; each seed has a
        layer with its own aligned table.
      agreement: mean cosine and R2 over all pairs of seeds, each beside its null.
      names: the mean cosine of every name, and its mean under the null.
    """

    table: anndata.AnnData
    agreement: pd.DataFrame
    names: pd.DataFrame


def align(table: anndata.AnnData, permutations: int = 100, seed: int = 0) -> Alignment:
    """Rotates the table of every seed onto that of the first, and measures how well the seeds agree.

    Tables are centred. A table B `[n, D]` is rotated onto A by the orthogonal Q that minimises ||A - BQ||.
    Agreement is the cosine between the two rows of each name, and R2 = 1 - ||A - sBQ||^2 / ||A||^2 with the
    best scale s (one minus the Procrustes disparity). Both are above 0 for any two tables, the more so the
    fewer names there are for D columns. Therefore both are compared with a null, in which the names of one
    table are permuted before it is rotated.

    Args:
      table: one axis of several checkpoints, from `axis_table(read_embeddings(folders))`; names that are not
        trained in every seed are left out.
      permutations: number of draws of the null.
      seed: seed of the null.

    Raises:
      InputError: there is only one seed, or the seeds share fewer than three names.
    """
    seeds, rows = _by_seed(table)
    rng = np.random.default_rng(seed)
    pairs = list(itertools.combinations(seeds.values(), 2))
    observed = np.array([_agreement(a, b) for a, b in pairs])
    null = np.array([[_agreement(a, b[rng.permutation(len(b))]) for a, b in pairs] for _ in range(permutations)])
    cosine, null_cosine = observed[:, :-1].mean(axis=0), null[..., :-1].mean(axis=1)
    measures = {
        'cosine': beside_null(cosine.mean(), null_cosine.mean(axis=1)),
        'r2': beside_null(observed[:, -1].mean(), null[..., -1].mean(axis=1)),
    }
    agreement = pd.DataFrame([{'measure': name} | row for name, row in measures.items()])
    agreement = agreement.assign(seeds=len(seeds), names=len(rows))
    names = rows[['name', 'type', 'target']].assign(cosine=cosine, null=null_cosine.mean(axis=0))
    return Alignment(_mean_table(seeds, rows), agreement, names.reset_index(drop=True))


def turn(table: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Rotates the table `[n, D]` by the orthogonal matrix that brings it closest to another table of its shape."""
    left, _, right = np.linalg.svd(table.T @ onto)
    return table @ left @ right


def _agreement(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each row after the rotation, followed by R2: `[n + 1]`."""
    turned = turn(b, a)
    cosine = (unit(a) * unit(turned)).sum(axis=1)
    r2 = (a * turned).sum() ** 2 / ((a**2).sum() * (b**2).sum())
    return np.append(cosine, r2)


def _by_seed(table: anndata.AnnData) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """The centred table of each seed for the names that all seeds share, and the `obs` of these names."""
    check_columns(table.obs, ('name', 'model', 'split'), 'embeddings')
    labels = table.obs['model'].astype(str) + '/' + table.obs['split'].astype(str)
    tables = {label: table[(labels == label).to_numpy()] for label in dict.fromkeys(labels)}
    if len(tables) < 2:
        raise InputError(f'embeddings: {next(iter(tables))} is the only seed; to align, read several checkpoints.')
    shared = set.intersection(*(set(each.obs['name']) for each in tables.values()))
    if len(shared) < 3:
        raise InputError(f'embeddings: {len(tables)} seeds share {len(shared)} trained names; aligning needs 3.')
    kept = {label: each[each.obs['name'].isin(shared)] for label, each in tables.items()}
    rows = next(iter(kept.values())).obs
    order = {label: pd.Index(each.obs['name']).get_indexer(rows['name']) for label, each in kept.items()}
    return {label: centred(each[order[label]]) for label, each in kept.items()}, rows


def _mean_table(seeds: dict[str, np.ndarray], rows: pd.DataFrame) -> anndata.AnnData:
    first = next(iter(seeds.values()))
    turned = {label: turn(each, first).astype(np.float32) for label, each in seeds.items()}
    obs = rows.drop(columns=['model', 'split']).set_index(pd.Index(rows['name'].to_numpy(object)))
    columns = pd.DataFrame(index=pd.Index([str(i) for i in range(first.shape[1])], dtype=object))
    return anndata.AnnData(np.mean(list(turned.values()), axis=0), obs, columns, layers=turned)
