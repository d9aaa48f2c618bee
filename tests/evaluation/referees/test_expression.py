"""Profiles, their sampling error, and the error of expression without it."""

import numpy as np
import pytest
from referees_for_tests import as_cells

from perturbjax.evaluation.referees.bulk import TARGET_SUM, Bulk, bulk
from perturbjax.evaluation.referees.expression import expression_error
from perturbjax.evaluation.referees.pair import make_pair

RNG = np.random.default_rng(0)


def cells_of(values, labels, counts=True):
    data = as_cells(values, labels)
    return make_pair(data, data, counts).truth


def test_profiles_of_counts_and_their_jackknife():
    values = RNG.poisson(3, (7, 5))
    found = bulk(cells_of(values, ['A'] * 4 + ['B'] + ['non-targeting'] * 2), 3, counts=True)
    profile = lambda rows: np.log1p(TARGET_SUM * rows.sum(axis=0) / rows.sum())  # noqa: E731
    np.testing.assert_allclose(found.values, [profile(values[:4]), profile(values[4:5]), profile(values[5:])])
    without = np.array([profile(np.delete(values[:4], i, axis=0)) for i in range(4)])
    assert found.error[0] == pytest.approx(3 / 4 * ((without - without.mean(axis=0)) ** 2).sum())
    assert found.error[1] == 0  # of one cell nothing is known


def test_many_cells_are_as_few_at_a_time():
    values = RNG.poisson(3, (300, 5))
    found = bulk(cells_of(values, ['A'] * 290 + ['non-targeting'] * 10), 1, counts=True)
    without = values[:290].sum(axis=0) - values[:290]
    without = np.log1p(TARGET_SUM * without / without.sum(axis=1, keepdims=True))
    assert found.error[0] == pytest.approx(289 * without.var(axis=0).sum())


def test_cells_without_counts_have_a_profile_of_zeros():
    found = bulk(cells_of([[0, 0], [0, 0], [1, 2]], ['A', 'A', 'non-targeting']), 2, counts=True)
    np.testing.assert_array_equal(found.values[0], 0)
    np.testing.assert_array_equal(found.error, 0)
    # Without the only cell that has counts there are none.
    found = bulk(cells_of([[3, 0], [0, 0], [1, 2]], ['A', 'A', 'non-targeting']), 1, counts=True)
    assert found.error[0] == pytest.approx(np.log1p(TARGET_SUM) ** 2 / 4)


def test_profiles_of_logarithms():
    values = RNG.random((4, 3))
    found = bulk(cells_of(values, ['A'] * 3 + ['non-targeting'], counts=False), 2, counts=False)
    np.testing.assert_allclose(found.values, [values[:3].mean(axis=0), values[3]], rtol=1e-6)
    np.testing.assert_allclose(found.error, [values[:3].var(axis=0, ddof=1).sum() / 3, 0], rtol=1e-6)


def test_the_error_by_hand():
    # Two perturbations of the first and second readout of three; control is 0.
    own = np.eye(2, 3, dtype=bool)
    truth = Bulk(np.array([[9.0, 2, 2], [2, 9, 0], [0, 0, 0]]), np.array([1.0, 0.5, 0.25]))
    prediction = Bulk(np.array([[0.0, 0, 4], [4, 0, 0]]), np.array([0.5, 3.0]))
    error, effect = expression_error(truth, prediction, own)
    # The second may subtract 0.5, not 3. The spread: the third readout alone is kept twice, 1/2 (2^2 + 2^2) = 4; the
    # claim of (0.5 + 0.5) / 2 is lower.
    np.testing.assert_allclose(error, [(4 + 4 - 0.5 - 1) / 2, (4 + 0 - 0.5 - 0.5) / 2])
    np.testing.assert_allclose(effect, [(4 + 4 - 1 - 0.25) / 2, (4 + 0 - 0.5 - 0.25) / 2])


def test_profiles_that_hardly_differ_subtract_no_more_than_they_differ():
    own, truth = np.zeros((2, 2), bool), Bulk(np.zeros((3, 2)), np.array([2.0, 2, 0]))
    near = Bulk(np.array([[0.0, 0.2], [0, -0.2]]), np.array([1.0, 1]))
    error, _ = expression_error(truth, near, own)
    # A spread of (0.04 + 0.04) / 2 against a claim of 1: each subtracts 0.04 of its 1.
    np.testing.assert_allclose(error, [(0.04 - 0.04 - 2) / 2] * 2)
    error, _ = expression_error(truth, near._replace(values=np.zeros((2, 2))), own)
    np.testing.assert_allclose(error, [-1, -1])


def test_without_a_readout_there_is_no_error():
    truth, prediction = Bulk(np.ones((2, 1)), np.zeros(2)), Bulk(np.ones((1, 1)), np.zeros(1))
    for each in expression_error(truth, prediction, np.ones((1, 1), bool)):
        assert np.isnan(each).all()
