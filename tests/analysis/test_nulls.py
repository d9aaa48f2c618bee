import collections

import hypothesis
import hypothesis.strategies as st
import numpy as np

from perturbjax.analysis.nulls import beside_null, swap_edges


def test_a_measure_beside_its_null():
    found = beside_null(3.0, [1, 2, 3, 4])
    assert found == {'value': 3, 'null': 2.5, 'null_low': 1.075, 'null_high': 3.925, 'p': 3 / 5}
    assert isinstance(found['value'], float)


def test_small_values_can_be_the_good_ones():
    assert beside_null(1.0, [1, 2, 3, 4], smaller=True)['p'] == 2 / 5


def test_many_measures_at_once():
    found = beside_null([5.0, 0.0], np.tile(np.arange(4.0)[:, None], 2))
    np.testing.assert_allclose(found['p'], [1 / 5, 1])
    np.testing.assert_allclose(found['null'], [1.5, 1.5])


@hypothesis.given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1), st.integers(0, 5))
@hypothesis.settings(max_examples=30)
def test_swaps_keep_every_degree_and_make_no_loop_or_double_edge(pairs, seed):
    edges = np.array(sorted({tuple(sorted(pair)) for pair in pairs if pair[0] != pair[1]} or {(0, 1)}))
    swapped = swap_edges(edges, 5, np.random.default_rng(seed))
    assert collections.Counter(swapped.ravel().tolist()) == collections.Counter(edges.ravel().tolist())
    assert (swapped[:, 0] < swapped[:, 1]).all()
    assert len(np.unique(swapped, axis=0)) == len(edges)


def test_swaps_reach_every_graph_of_the_degrees_alike():
    """Four nodes of degree 1 have three graphs, and six in a ring have 70 (60 rings, 10 pairs of triangles)."""
    for edges, graphs in (([[0, 1], [2, 3]], 3), ([[i, (i + 1) % 6] for i in range(6)], 70)):
        rng, draw, seen = np.random.default_rng(0), np.array(edges), collections.Counter()
        for _ in range(40 * graphs):
            draw = swap_edges(draw, 5, rng)
            seen[tuple(sorted(map(tuple, draw.tolist())))] += 1
        assert len(seen) == graphs
        assert max(abs(number - 40) for number in seen.values()) < 4 * np.sqrt(40)
