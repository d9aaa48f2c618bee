"""Are compounds close to the genetic perturbation of their target?

Miladinovic et al. 2025 report that inhibitors cluster with the genetic perturbation of their target in LPM's
space of perturbations. Here every number is compared with its value for permuted targets.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from perturbjax.analysis.annotation import check_columns
from perturbjax.analysis.nulls import beside_null
from perturbjax.analysis.vectors import Tables, Vectors, by_source, compounds, genes, stack_sources
from perturbjax.errors import InputError, check_range, did_you_mean, listed


class TargetRecall(NamedTuple):
    """How close compounds are to their targets.

    Attributes:
      overall: for every source, recall at k, median rank and AUROC beside their nulls, and the number of
        compounds, genes and known pairs.
      by_target: the same for every target; the null is that of the AUROC.
      ranks: for every known pair, its rank, the number of genes ranked, and the cosine.
    """

    overall: pd.DataFrame
    by_target: pd.DataFrame
    ranks: pd.DataFrame


class _Ranks(NamedTuple):
    """The rank of the gene of each known pair, and how many genes were ranked; both `[..., pairs]`."""

    rank: np.ndarray
    genes: np.ndarray


class _Known(NamedTuple):
    """Known pairs as positions in the lists of compounds and genes; `compound` is sorted."""

    compound: np.ndarray
    gene: np.ndarray


def target_recall(
    tables: Tables, targets: pd.DataFrame, at: Sequence[int] = (1, 5, 10), permutations: int = 1000, seed: int = 0
) -> TargetRecall:
    """Ranks the known target of each compound among all genetic perturbations, by cosine (1 = nearest).

    The other known targets of a compound are left out of the ranking. AUROC is the probability that a target is
    closer than a gene that is no target. The null gives each compound the targets of another one.

    Args:
      tables: a table of perturbations from `axis_table`, or several by label, such as
        `{'lpm': ..., 'profiles': mean_deltas(...)}`.
      targets: columns `compound` and `label` (a gene), as `read_labels` returns them.
      at: the k of recall at k, the share of known pairs with a rank of at most k.
      permutations: number of draws of the null.
      seed: seed of the null.

    Raises:
      InputError: no compound has a known target, no known target was perturbed, or every gene is a target of
        one compound.
    """
    check_range('analysis', 1, permutations=permutations, at=min(at))
    check_columns(targets, ('compound', 'label'), 'targets')
    chosen = by_source(tables, functools.partial(compounds, known=set(targets['compound'])), 'compounds')
    rivals = by_source(tables, genes, 'genes')
    known = _known_pairs(targets, *(next(iter(each.values())).names for each in (chosen, rivals)))
    results = {
        source: _one_source(chosen[source], rivals[source], known, at, permutations, np.random.default_rng(seed))
        for source in chosen
    }
    fields = TargetRecall._fields
    return TargetRecall(
        *(stack_sources({name: getattr(each, field) for name, each in results.items()}) for field in fields)
    )


def _known_pairs(targets: pd.DataFrame, compound_names: np.ndarray, gene_names: np.ndarray) -> _Known:
    compound = pd.Index(compound_names).get_indexer(targets['compound'])
    gene = pd.Index(gene_names).get_indexer(targets['label'])
    there = (compound >= 0) & (gene >= 0)
    if not there.any():
        wanted = sorted(set(targets['label'][compound >= 0]))
        hint = did_you_mean(wanted[0], gene_names)
        raise InputError(f'targets: no genetic perturbation is of a known target ({listed(wanted)}); {hint}')
    pairs = np.unique(np.stack([compound[there], gene[there]], axis=1), axis=0)
    if np.bincount(pairs[:, 0]).max() >= len(gene_names):
        raise InputError('targets: all perturbed genes are targets of one compound, so there is no gene to compare.')
    return _Known(pairs[:, 0], pairs[:, 1])


def _one_source(
    chosen: Vectors, rivals: Vectors, known: _Known, at: Sequence[int], permutations: int, rng: np.random.Generator
) -> TargetRecall:
    cosine = chosen.values @ rivals.values.T
    ranks = rankdata(-cosine, axis=1)
    observed = _ranks(ranks, known, known.compound)
    draws = [_ranks(ranks, known, _other_compounds(known, rng)) for _ in range(permutations)]
    null = _Ranks(*map(np.array, zip(*draws)))
    pairs = pd.DataFrame(
        {
            'compound': chosen.names[known.compound],
            'target': rivals.names[known.gene],
            **observed._asdict(),
            'cosine': cosine[known.compound, known.gene],
        }
    )
    counts = {'compounds': len(set(known.compound)), 'genes': len(rivals.names), 'pairs': len(pairs)}
    overall = _overall(_measures(observed, at), _measures(null, at)).assign(**counts)
    auroc = beside_null(_auroc_by_target(known.gene, observed), _auroc_by_target(known.gene, null))
    return TargetRecall(overall, _by_target(pairs, at).assign(**auroc).rename(columns={'value': 'auroc'}), pairs)


def _overall(value: dict[str, np.ndarray], null: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = [{'measure': name} | beside_null(value[name], null[name], name == 'median_rank') for name in value]
    return pd.DataFrame(rows)


def _by_target(pairs: pd.DataFrame, at: Sequence[int]) -> pd.DataFrame:
    hits = pairs.assign(**{f'recall@{k}': pairs['rank'] <= k for k in at})
    recalls = {f'recall@{k}': (f'recall@{k}', 'mean') for k in at}
    named = {'compounds': ('rank', 'size'), 'median_rank': ('rank', 'median'), **recalls}
    return hits.groupby('target').agg(**named).reset_index()


def _other_compounds(known: _Known, rng: np.random.Generator) -> np.ndarray:
    """For each known pair, the compound that replaces its own; all targets of a compound move together."""
    unique, codes = np.unique(known.compound, return_inverse=True)
    return rng.permutation(unique)[codes]


def _ranks(ranks: np.ndarray, known: _Known, compound: np.ndarray) -> _Ranks:
    """Ranks of the pairs with these compounds instead of their own; other targets of the compound are left out."""
    rank = ranks[compound, known.gene]
    order = np.lexsort((rank, known.compound))
    first = np.searchsorted(known.compound, known.compound)  # the first pair of the same compound
    nearer = np.empty(len(rank))
    nearer[order] = np.arange(len(rank)) - first
    others = np.bincount(known.compound)[known.compound] - 1
    return _Ranks(rank - nearer, ranks.shape[1] - others)


def _measures(ranks: _Ranks, at: Sequence[int]) -> dict[str, np.ndarray]:
    recall = {f'recall@{k}': (ranks.rank <= k).mean(axis=-1) for k in at}
    return recall | {'median_rank': np.median(ranks.rank, axis=-1), 'auroc': _auroc(ranks).mean(axis=-1)}


def _auroc(ranks: _Ranks) -> np.ndarray:
    return (ranks.genes - ranks.rank) / (ranks.genes - 1)


def _auroc_by_target(gene: np.ndarray, ranks: _Ranks) -> np.ndarray:
    """The mean AUROC of the pairs of each target, `[..., targets]`, targets sorted."""
    order = np.argsort(gene, kind='stable')
    starts = np.unique(gene[order], return_index=True)[1]
    return np.add.reduceat(_auroc(ranks)[..., order], starts, axis=-1) / np.diff([*starts, len(gene)])
