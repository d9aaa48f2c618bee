import dataclasses

import numpy as np
import pytest
import scipy.sparse
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.screens.profiles import average


def cells(counts, perturbation):
    rows = [('a', name, values) for name, values in zip(perturbation, counts)]
    return measurements(rows, [f'r{i}' for i in range(counts.shape[1])])


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(3, (11, 5)).astype(np.float32)


NAMES = ['control'] * 4 + ['g'] * 6 + ['h']


def test_counts_are_normalised_and_averaged_as_by_hand(counts):
    profiles = average(cells(counts, NAMES), counts=True)
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    np.testing.assert_allclose(profiles.values[1], logged[4:10].mean(0), rtol=1e-6)
    np.testing.assert_allclose(profiles.standard_error[1], logged[4:10].std(0, ddof=1) / np.sqrt(6), rtol=1e-4)
    np.testing.assert_array_equal(profiles.cells, [4, 6, 1])
    assert list(profiles.perturbation) == ['control', 'g', 'h']
    assert np.isnan(profiles.standard_error[2]).all()


def test_sparse_and_dense_agree(counts):
    dense = cells(counts, NAMES)
    sparse = dataclasses.replace(dense, values=scipy.sparse.csr_matrix(counts))
    for name in ('values', 'standard_error', 'duplicate'):
        one, other = (getattr(average(each, counts=True), name) for each in (dense, sparse))
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_duplicate_is_the_mean_of_half_the_rows(counts):
    profiles = average(cells(counts, NAMES), duplicate_seed=3)
    halves = [counts[4:10][list(chosen)].mean(0) for chosen in _triples(6)]
    assert any(np.allclose(profiles.duplicate[1], half) for half in halves)
    again = average(cells(counts, NAMES), duplicate_seed=4)
    assert not np.allclose(profiles.duplicate[1], again.duplicate[1])
    assert np.isnan(profiles.duplicate[2]).all()


def _triples(n):
    return [(i, j, k) for i in range(n) for j in range(i) for k in range(j)]


def test_missing_values_are_left_out_of_the_mean():
    rows = [('a', 'g', (1, np.nan)), ('a', 'g', (3, -13.2877123)), ('a', 'g', (5, 4))]
    profiles = average(measurements(rows, ['x', 'y']), missing=(-13.2877,))
    np.testing.assert_allclose(profiles.values, [[3, 4]])
    np.testing.assert_allclose(profiles.standard_error, [[2 / np.sqrt(3), np.nan]])


def test_single_rows_have_no_error_and_no_duplicate():
    profiles = average(measurements([('a', 'g', (1, 2)), ('b', 'g', (3, 4))], ['x', 'y']))
    assert profiles.standard_error is None
    assert profiles.duplicate is None


def test_an_empty_cell_stays_zero():
    profiles = average(cells(np.array([[0, 0], [2, 2]], np.float32), ['g', 'g']), counts=True)
    np.testing.assert_allclose(profiles.values, [[np.log1p(5e3) / 2] * 2], rtol=1e-6)


@pytest.mark.parametrize('wrong', [-1.0, 0.5, np.nan])
@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix])
def test_counts_are_checked(counts, wrong, form):
    counts[3, 3] = wrong
    rows = dataclasses.replace(cells(counts, NAMES), values=form(counts))
    with pytest.raises(InputError, match=f'1 values are no counts, such as {wrong:g}; .*data.counts=False'):
        average(rows, counts=True)
