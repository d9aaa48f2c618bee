"""The graphs of GEARS as numpy functions: who is strongest for whom, and the normalised adjacency."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Float, Int

from perturbjax.screens.arrays import Array

# Pairs of genes with a larger absolute correlation are joined; pairs of annotations with a larger Jaccard index.
LEAST_CORRELATION, LEAST_JACCARD = 0.4, 0.1

# The strongest edges that a node keeps: itself and 20 others.
STRONGEST = 21

_ROWS_AT_ONCE = 1024


class Graph(NamedTuple):
    """E weighted edges between nodes, which are numbered."""

    source: Int[Array, ' E']
    target: Int[Array, ' E']
    weight: Float[Array, ' E']


def normalised(graph: Graph, num_nodes: int) -> Graph:
    """D^-1/2 A D^-1/2 with A[target, source] = weight and D its row sums.

    A node without an edge to itself gets one of weight 1; one that has it keeps its weight.
    """
    without = np.setdiff1d(np.arange(num_nodes), graph.source[graph.source == graph.target])
    source, target = (np.concatenate([each, without]).astype(np.int32) for each in graph[:2])
    weight = np.concatenate([graph.weight, np.ones(len(without))])
    scale = 1 / np.sqrt(np.bincount(target, weight, num_nodes))
    return Graph(source, target, scale[source] * weight * scale[target])


def strongest(graph: Graph, number: int) -> Graph:
    """Of each target the edges with the largest weights, the first of equal ones."""
    order = np.lexsort((-np.asarray(graph.weight), graph.target))
    target = np.asarray(graph.target)[order]
    starts = np.flatnonzero(np.concatenate([[True], target[1:] != target[:-1]])) if len(target) else np.zeros(0, int)
    rank = np.arange(len(target)) - np.repeat(starts, np.diff([*starts, len(target)]))
    kept = np.sort(order[rank < number])
    return Graph(*(np.asarray(each)[kept] for each in graph))


def coexpression(cells: Any, number: int = STRONGEST, least: float = LEAST_CORRELATION) -> Graph:
    """Edges to each gene from those with the strongest |Pearson| correlation to it, where that is above `least`.

    A gene that does not vary has no correlation, not even with itself.

    Args:
      cells: values of n cells by G genes, dense or scipy CSR.
      number: how many genes are looked at for each, itself among them.
      least: see above.
    """
    strength = correlation(cells)
    order = np.argsort(-strength, axis=1, kind='stable')[:, :number]
    weight = np.take_along_axis(strength, order, axis=1)
    target = np.broadcast_to(np.arange(len(strength))[:, None], order.shape)
    kept = weight > least
    return Graph(order[kept], target[kept], weight[kept])


def correlation(cells: Any) -> Float[np.ndarray, 'G G']:
    """|Pearson| of all pairs of columns; 0 with a column that does not vary."""
    number = cells.shape[0]
    mean = np.asarray(cells.mean(axis=0, dtype=np.float64)).ravel()
    products = np.zeros((cells.shape[1],) * 2)
    for start in range(0, number, _ROWS_AT_ONCE):
        some = cells[start : start + _ROWS_AT_ONCE]
        some = (some.toarray() if scipy.sparse.issparse(some) else np.asarray(some)) - mean
        products += some.T @ some
    spread = np.sqrt(np.diag(products))
    # Rounding of a column that is the same in all cells leaves next to nothing.
    varies = spread > 1e-9 * np.sqrt(number) * np.maximum(np.abs(mean), 1e-9)
    scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    return np.abs(products * scale[:, None] * scale[None, :])


def ontology_of_edges(edges: pd.DataFrame, number: int = STRONGEST) -> tuple[list[str], Graph]:
    """The nodes, sorted by name, and the strongest edges of each target.

    Args:
      edges: columns `source`, `target` and `importance`.
      number: how many edges a target keeps, that to itself among them.
    """
    nodes = sorted({*edges['source'], *edges['target']})
    index = pd.Index(nodes)
    source, target = (index.get_indexer(edges[name]) for name in ('source', 'target'))
    return nodes, strongest(Graph(source, target, edges['importance'].to_numpy(np.float64)), number)


def ontology_of_terms(
    members: pd.DataFrame, number: int = STRONGEST, least: float = LEAST_JACCARD
) -> tuple[list[str], Graph]:
    """The genes, sorted by name, joined where they share terms: Jaccard = |both| / |either|, above `least`.

    Args:
      members: columns `gene` and `set`, the term; each pair once.
      number: how many edges a target keeps, that to itself (1) among them.
      least: see above.
    """
    gene, genes = pd.factorize(members['gene'], sort=True)
    term, terms = pd.factorize(members['set'])
    has = scipy.sparse.csr_matrix((np.ones(len(gene)), (gene, term)), shape=(len(genes), len(terms)))
    both = (has @ has.T).tocoo()
    sizes = np.bincount(gene, minlength=len(genes))
    index = both.data / (sizes[both.row] + sizes[both.col] - both.data)
    order = np.lexsort((both.col, both.row))
    order = order[index[order] > least]
    return list(genes), strongest(Graph(both.row[order], both.col[order], index[order]), number)


def coverage(nodes: Sequence[str], targets: Sequence[str]) -> Int[np.ndarray, ' P']:
    """The node of each name; -1 where the graph has none."""
    return pd.Index(nodes).get_indexer(pd.Index(targets)).astype(np.int32)
