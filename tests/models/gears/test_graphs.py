"""The graphs of GEARS: by hand, and against the golden edges of cell-gears 0.1.2."""

import importlib
import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax.models.gears.graphs import (
    Graph,
    coexpression,
    correlation,
    coverage,
    normalised,
    ontology_of_edges,
    ontology_of_terms,
    strongest,
)
from perturbjax.models.gears.network import propagate


@pytest.fixture(scope='module')
def numbers(request):
    return json.loads((request.path.parents[2] / 'golden' / 'gears.json').read_text())


def edges_of(graph):
    """{(source, target): weight}"""
    return {(int(s), int(t)): float(w) for s, t, w in zip(*graph, strict=True)}


def golden_edges(part):
    return edges_of((*part['edge_index'], part['edge_weight']))


def assert_same(ours, theirs, atol):
    assert ours.keys() == theirs.keys()
    for edge in ours:
        assert ours[edge] == pytest.approx(theirs[edge], abs=atol)


def test_ontology_of_terms_equals_the_released_one(numbers):
    pairs = [(gene, term) for gene, terms in numbers['go_terms'].items() for term in terms]
    nodes, graph = ontology_of_terms(pd.DataFrame(pairs, columns=['gene', 'set']), numbers['go']['k'] + 1)
    assert nodes == numbers['perts']
    assert_same(edges_of(graph), golden_edges(numbers['go']), 1e-6)


def test_ontology_of_edges_equals_the_released_one(numbers):
    names, (source, target, weight) = numbers['perts'], zip(*numbers['go']['jaccard'])
    table = pd.DataFrame(
        {'source': [names[i] for i in source], 'target': [names[i] for i in target], 'importance': weight}
    )
    nodes, graph = ontology_of_edges(table, numbers['go']['k'] + 1)
    assert nodes == names
    assert_same(edges_of(graph), golden_edges(numbers['go']), 1e-6)


@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix])
def test_coexpression_equals_the_released_one(numbers, form, monkeypatch):
    monkeypatch.setattr(importlib.import_module('perturbjax.models.gears.graphs'), '_ROWS_AT_ONCE', 7)
    trained = [name for name in numbers['train_conditions'] if 'ctrl' in name]
    cells = np.array(numbers['cells'])[np.isin(numbers['cell_condition'], trained)]
    part = numbers['coexpression']
    graph = coexpression(form(cells), part['k'] + 1, part['threshold'])
    assert_same(edges_of(graph), golden_edges(part), 1e-5)


def test_correlation_is_that_of_numpy():
    cells = np.random.default_rng(0).normal(size=(9, 4))
    cells[:, 2] = 0.1
    expected = np.abs(np.corrcoef(np.delete(cells, 2, axis=1).T))
    found = correlation(cells.astype(np.float32))
    np.testing.assert_allclose(np.delete(np.delete(found, 2, 0), 2, 1), expected, atol=1e-6)
    assert not found[2].any()


def test_the_strongest_edges_of_each_target():
    graph = Graph(np.array([0, 1, 2, 3, 0]), np.array([1, 1, 1, 1, 0]), np.array([0.2, 1.0, 0.5, 0.5, 0.1]))
    kept = strongest(graph, 2)
    assert edges_of(kept) == {(1, 1): 1.0, (2, 1): 0.5, (0, 0): 0.1}
    assert edges_of(strongest(Graph(*[np.zeros(0)] * 3), 2)) == {}


def test_normalised_by_hand():
    """0 -> 1 with weight 3; 1 has itself with weight 1; 0 gets itself: D = (1, 4)."""
    graph = normalised(Graph(np.array([0, 1]), np.array([1, 1]), np.array([3.0, 1.0])), 2)
    assert edges_of(graph) == {(0, 1): 3 / 2, (1, 1): 1 / 4, (0, 0): 1.0}
    x = np.array([[1.0, 10.0], [2.0, 20.0]], np.float32)
    np.testing.assert_allclose(propagate(graph, x), [[1, 10], [1.5 + 0.5, 15 + 5]])


def test_terms_by_hand():
    """A: 1 2; B: 2 3; C: 4. Of A and B one term of three is shared."""
    members = pd.DataFrame({'gene': list('BAABC'), 'set': list('31224')})
    nodes, graph = ontology_of_terms(members)
    assert nodes == ['A', 'B', 'C']
    expected = {(0, 0): 1, (1, 1): 1, (2, 2): 1, (0, 1): 1 / 3, (1, 0): 1 / 3}
    assert edges_of(graph) == pytest.approx(expected)
    assert edges_of(ontology_of_terms(members, least=0.4)[1]) == {(0, 0): 1, (1, 1): 1, (2, 2): 1}


def test_names_outside_the_graph():
    assert coverage(['A', 'C'], ['C', 'B', 'A']).tolist() == [1, -1, 0]
