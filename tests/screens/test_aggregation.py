import dataclasses

import numpy as np
import pytest
import scipy.sparse
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.screens import aggregation as profiles
from perturbjax.screens import blocks
from perturbjax.screens.aggregation import average
from perturbjax.screens.blocks import Block, Stored


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
    for name in ('values', 'standard_error', 'halves'):
        one, other = (getattr(average(each, counts=True), name) for each in (dense, sparse))
        np.testing.assert_allclose(one, other, rtol=1e-5)


def stored(values, by_columns, step=2):
    """The values as if they were in a file, sparse, a few rows or columns at a time."""

    def read():
        for start in range(0, values.shape[1 if by_columns else 0], step):
            some = slice(start, start + step)
            if by_columns:
                yield Block(slice(0, len(values)), some, scipy.sparse.csc_matrix(values[:, some]))
            else:
                yield Block(some, slice(0, values.shape[1]), scipy.sparse.csr_matrix(values[some]))

    return Stored(values.shape, read, by_columns)


@pytest.mark.parametrize('by_columns', [False, True])
@pytest.mark.parametrize('as_counts', [False, True])
def test_values_that_stay_in_their_file_give_the_same(counts, by_columns, as_counts):
    whole = average(cells(counts, NAMES), counts=as_counts, duplicate_seed=5)
    rows = dataclasses.replace(cells(counts, NAMES), values=stored(counts, by_columns))
    blockwise = average(rows, counts=as_counts, duplicate_seed=5)
    for name in ('values', 'standard_error', 'halves'):
        np.testing.assert_allclose(getattr(blockwise, name), getattr(whole, name), rtol=1e-6)


@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix])
@pytest.mark.parametrize('entries', [1, 13])
def test_the_size_of_blocks_makes_no_difference(monkeypatch, counts, form, entries):
    if form is np.asarray:
        counts[2:5, 1] = np.nan
    rows = dataclasses.replace(cells(counts, NAMES), values=form(counts))
    whole = average(rows)
    for module in (blocks, profiles):
        monkeypatch.setattr(module, 'ENTRIES', entries)
    cut = average(rows)
    for name in ('values', 'standard_error', 'halves'):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-6)


def test_repeated_entries_of_a_sparse_row_are_one_value():
    repeated = scipy.sparse.csr_matrix((np.array([1, 2, 3], np.float32), [0, 0, 0], [0, 2, 3]), shape=(2, 1))
    rows = dataclasses.replace(measurements([('a', 'g', (0,))] * 2, ['x']), values=repeated)
    profiles_of = average(rows)
    np.testing.assert_allclose((profiles_of.values, profiles_of.standard_error), [[[3]], [[0]]])


def test_the_halves_are_the_means_of_two_halves_of_the_rows(counts):
    profiles = average(cells(counts, NAMES), duplicate_seed=3)
    first, second = profiles.halves[:, 1]
    assert any(np.allclose(second, counts[4:10][list(chosen)].mean(0)) for chosen in _triples(6))
    np.testing.assert_allclose(first + second, 2 * counts[4:10].mean(0), rtol=1e-6)
    again = average(cells(counts, NAMES), duplicate_seed=4)
    assert not np.allclose(second, again.halves[1, 1])
    assert np.isnan(profiles.halves[:, 2]).all()


def test_of_an_odd_number_of_rows_the_first_half_is_the_larger(counts):
    first, second = average(cells(counts[:3], ['g'] * 3)).halves[:, 0]
    np.testing.assert_allclose(2 * first + second, counts[:3].sum(0), rtol=1e-6)


def _triples(n):
    return [(i, j, k) for i in range(n) for j in range(i) for k in range(j)]


def test_missing_values_are_left_out_of_the_mean():
    rows = [('a', 'g', (1, np.nan)), ('a', 'g', (3, -13.2877123)), ('a', 'g', (5, 4))]
    profiles = average(measurements(rows, ['x', 'y']), missing_values=(-13.2877,))
    np.testing.assert_allclose(profiles.values, [[3, 4]])
    np.testing.assert_allclose(profiles.standard_error, [[2 / np.sqrt(3), np.nan]])


def test_single_rows_have_no_error_and_no_halves():
    profiles = average(measurements([('a', 'g', (1, 2)), ('b', 'g', (3, 4))], ['x', 'y']))
    assert profiles.standard_error is None
    assert profiles.halves is None


@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix, lambda values: stored(values, True, 1)])
def test_an_empty_cell_stays_zero(form, caplog):
    counts = np.array([[0, 0], [2, 2]], np.float32)
    rows = dataclasses.replace(cells(counts, ['g', 'g']), values=form(counts))
    np.testing.assert_allclose(average(rows, counts=True).values, [[np.log1p(5e3) / 2] * 2], rtol=1e-6)
    assert 'screen: 1 rows have no counts at all; they stay 0' in caplog.text


@pytest.mark.parametrize('wrong', [-1.0, 0.5, np.nan])
@pytest.mark.parametrize('form', [np.asarray, scipy.sparse.csr_matrix, lambda values: stored(values, False)])
def test_counts_are_checked(counts, wrong, form):
    counts[3, 3] = wrong
    rows = dataclasses.replace(cells(counts, NAMES), values=form(counts))
    with pytest.raises(InputError, match=f'1 values are no counts, such as {wrong:g}; .*data.counts=False'):
        average(rows, counts=True)


def test_a_sparse_block_has_nothing_missing(counts):
    rows = dataclasses.replace(cells(counts, NAMES), values=scipy.sparse.csr_matrix(counts))
    with pytest.raises(InputError, match=r'data.missing_values: a sparse block cannot have missing values'):
        average(rows, missing_values=(0.0,))
