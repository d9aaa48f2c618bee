"""The graphs of GEARS as numpy functions: who is strongest for whom, and the normalised adjacency."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from perturbjax.screens.arrays import Array


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
