"""Compares a measure with its values under a null, that is, by chance."""

from typing import Any

import numpy as np


def beside_null(value: Any, null: Any, smaller: bool = False) -> dict[str, Any]:
    """A measure beside its null, as columns of a table.

    Args:
      value: the measure, `[...]`.
      null: its values under the null, `[draws, ...]`.
      smaller: whether small values are good.

    Returns:
      `value`; `null`, the mean of the null; `null_low` and `null_high`, its 2.5% and 97.5% quantiles; and `p`,
      (1 + draws at least as good) / (1 + draws), one-sided.
    """
    value, null = np.asarray(value, float), np.asarray(null, float)
    sign = -1 if smaller else 1
    at_least = sign * null >= sign * value - 1e-9  # sums of the same numbers in another order count as equal
    low, high = np.quantile(null, (0.025, 0.975), axis=0)
    p = (1 + at_least.sum(axis=0)) / (1 + len(null))
    columns = {'value': value, 'null': null.mean(axis=0), 'null_low': low, 'null_high': high, 'p': p}
    return {name: column[()] for name, column in columns.items()}  # a number instead of an array without axes


def swap_edges(edges: np.ndarray, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a random graph in which every node keeps its degree (Maslov and Sneppen 2002).

    Each round pairs all edges at random. A pair (a, b), (c, d) becomes (a, d), (c, b), unless that makes a loop,
    or an edge that exists already or is made twice.

    Args:
      edges: nodes `[E, 2]`, each edge once, without loops.
      rounds: number of rounds, each of up to E / 2 swaps.
      rng: the random generator.

    Returns:
      Edges `[E, 2]`, the smaller node first.
    """
    nodes = int(edges.max()) + 1
    edges = np.sort(edges, axis=1)
    for _ in range(rounds):
        half = len(edges) // 2
        order = rng.permutation(len(edges))
        one, other, rest = edges[order[:half]], edges[order[half : 2 * half]], edges[order[2 * half :]]
        other = np.where(rng.random((half, 1)) < 0.5, other, other[:, ::-1])
        new = np.sort(np.stack([np.stack([one[:, 0], other[:, 1]], 1), np.stack([other[:, 0], one[:, 1]], 1)]), axis=2)
        keys, there = new @ np.array([nodes, 1]), edges @ np.array([nodes, 1])
        _, inverse, number = np.unique(keys, return_inverse=True, return_counts=True)
        clash = (number > 1)[inverse.reshape(keys.shape)] | np.isin(keys, there) | (new[..., 0] == new[..., 1])
        kept = ~clash.any(axis=0)[:, None]
        edges = np.concatenate([np.where(kept, new[0], one), np.where(kept, new[1], np.sort(other, axis=1)), rest])
    return edges
