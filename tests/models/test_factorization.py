"""Low-rank completion against alternating least squares in numpy, and places in matrices against loops."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perturbjax.models import factorization, sums
from perturbjax.models.factorization import Cells, complete, context_cells, entries, most_combinations, pair_cells

# Few rows of few ids, so that many are equal; the shapes stay the same, so that little is compiled.
rows = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=7, max_size=7)
ROUNDS = 10  # of the code

distinct_rows, find_rows = jax.jit(factorization.distinct_rows, static_argnums=1), jax.jit(factorization.find_rows)
equal_rows = jax.jit(sums.equal_rows)


@pytest.fixture(scope='module')
def completed():
    return jax.jit(complete, static_argnums=(2, 3))


def cells_of(row, column):
    return Cells(jnp.asarray(row)[:, None], jnp.asarray(column)[:, None])


def ridge(fixed, weight, total, penalty):
    gram = np.einsum('ij,jr,js->irs', weight, fixed, fixed) + penalty * np.eye(fixed.shape[1])
    return np.linalg.solve(gram, (total @ fixed)[:, :, None])[:, :, 0]


def alternate(places, values, shape, rank, penalty):
    """The completed matrix, from the same start as the code's."""
    weight, total = np.zeros(shape), np.zeros(shape)
    for place, value in zip(places, values):
        if not np.isnan(value):
            for i, j in place:
                weight[i, j] += 1
                total[i, j] += value
    right = np.asarray(jax.random.normal(jax.random.key(0), (shape[1], rank))) / 3
    for _ in range(ROUNDS):
        left = ridge(right, weight, total, penalty)
        right = ridge(left, weight.T, total.T, penalty)
    return left @ right.T


def test_completion_is_alternating_least_squares(completed):
    """Of two readouts each with other missing values; two profiles share an entry, and one has no entry at all."""
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, 5, 14), rng.integers(0, 4, 14)
    row[1], column[1] = row[0], column[0]
    values = rng.normal(size=(14, 2)).astype(np.float32)
    values[2, 0] = values[3, 1] = np.nan
    row[4] = column[4] = -1
    cells = cells_of(row, column)
    found = entries(completed(cells, values, (5, 4), 2, 0.5), cells)
    places = [[(i, j)] if i >= 0 else [] for i, j in zip(row, column)]
    for readout in range(2):
        matrix = alternate(places, values[:, readout], (5, 4), 2, 0.5)
        expected = [matrix[place[0]] if place else 0 for place in places]
        np.testing.assert_allclose(found[:, readout], expected, atol=2e-4)


def test_a_pair_stands_in_both_of_its_entries(completed):
    rng = np.random.default_rng(1)
    pairs = np.array(list(itertools.combinations(range(1, 5), 2)))
    values = rng.normal(size=(len(pairs), 1)).astype(np.float32)
    cells = pair_cells(pairs)
    factors = completed(cells, values, (5, 5), 2, 0.3)
    matrix = alternate([[(i, j), (j, i)] for i, j in pairs], values[:, 0], (5, 5), 2, 0.3)
    expected = [matrix[i, j] + matrix[j, i] for i, j in pairs]
    np.testing.assert_allclose(entries(factors, cells)[:, 0], expected, atol=2e-4)


@pytest.fixture(scope='module')
def rank_one():
    """A matrix of rank 1, and which of its entries are measured: all but three."""
    rng = np.random.default_rng(2)
    matrix = np.outer(rng.uniform(0.5, 2, 6), rng.uniform(-2, -0.5, 5)).astype(np.float32)
    row, column = (each.ravel() for each in np.indices(matrix.shape))
    is_measured = ~np.isin(np.arange(30), [3, 11, 24])
    return matrix, cells_of(row, column), np.where(is_measured, matrix.ravel(), np.nan).astype(np.float32)[:, None]


def test_a_matrix_of_rank_one_is_recovered_with_a_small_penalty(completed, rank_one):
    matrix, cells, values = rank_one
    found = entries(completed(cells, values, matrix.shape, 1, 1e-4), cells)
    np.testing.assert_allclose(found[:, 0], matrix.ravel(), rtol=2e-3)


def test_a_large_penalty_gives_zero(completed, rank_one):
    matrix, cells, values = rank_one
    np.testing.assert_allclose(entries(completed(cells, values, matrix.shape, 1, 1e4), cells), 0, atol=1e-6)


def test_nothing_measured_gives_zero(completed, rank_one):
    matrix, cells, values = rank_one
    np.testing.assert_array_equal(entries(completed(cells, values * np.nan, matrix.shape, 1, 1.0), cells), 0)


@given(rows)
def test_equal_rows_have_equal_numbers_in_order(some):
    distinct = sorted(set(some))
    assert equal_rows(jnp.array(some)).tolist() == [distinct.index(each) for each in some]


@given(rows)
def test_distinct_rows_are_sorted_and_filled_up(some):
    found, distinct = distinct_rows(jnp.array(some), 8), sorted(set(some))
    assert found[: len(distinct)].tolist() == [list(each) for each in distinct]
    assert (found[len(distinct) :] == jnp.iinfo(found.dtype).max).all()


@given(rows, st.lists(st.tuples(*[st.integers(-1, 2)] * 3), min_size=5, max_size=5))
def test_rows_are_found_also_among_wider_ones(some, asked):
    known = distinct_rows(jnp.array(some), 8)
    place, found = find_rows(known, jnp.array(asked))
    assert found.tolist() == [each[2] == -1 and each[:2] in some for each in asked]
    for i in np.flatnonzero(found):
        assert tuple(known[place[i]].tolist()) == asked[i][:2]


def test_where_pairs_of_parts_stand():
    cells = pair_cells(np.array([[0, -1, -1], [3, -1, -1], [1, 2, -1], [1, 2, 4]]))
    found = [{(int(i), int(j)) for i, j in zip(row, column) if i >= 0} for row, column in zip(cells.row, cells.column)]
    triple = {(1, 2), (2, 1), (1, 4), (4, 1), (2, 4), (4, 2)}
    assert found == [set(), set(), {(1, 2), (2, 1)}, triple]
    np.testing.assert_array_equal(cells.row < 0, cells.column < 0)


def test_where_perturbations_stand_among_contexts():
    perturbation = np.array([[0, -1], [2, -1], [1, 2], [2, -1], [3, -1]], np.int32)
    context = np.array([0, 0, 1, 2, 1], np.int32)
    known = distinct_rows(perturbation[:4], 4)  # 3 is not known
    cells = context_cells(known, context, perturbation)
    assert known[:3].tolist() == [[0, -1], [1, 2], [2, -1]]
    assert cells.row[:, 0].tolist() == [-1, 2, 1, 2, -1]
    assert cells.column[:, 0].tolist() == [-1, 0, 1, 2, -1]


@pytest.mark.parametrize(('names', 'order'), [(1, 1), (3, 1), (3, 2), (4, 3)])
def test_the_most_combinations_are_those_that_can_be_written(names, order):
    """Sets of parts that may repeat; control is the one without parts."""
    possible = sum(1 for k in range(order + 1) for _ in itertools.combinations_with_replacement(range(1, names), k))
    assert most_combinations(names, order, 1000) == possible
    assert most_combinations(names, order, 2) == min(2, possible)
