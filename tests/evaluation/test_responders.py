"""Weights and p values against scanpy's formula and scipy's tests, on the raw cells."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import make_cells, make_predictions, predict, screen_of, without_replicates

from perturbjax.evaluation.responders import differs_from_rest, half_cells, responders, response_weight, welch

NAN = np.nan


@pytest.fixture(scope='module')
def cells():
    return make_cells(effect=1)


@pytest.fixture(scope='module')
def predictions(cells):
    return predict(screen_of(cells), ['p0', 'p1', 'p2'])


def rows_of(cells, profile):
    here = cells.context == profile['context']
    names = (here & (cells.perturbation == profile['perturbation'])), (here & (cells.perturbation == 'control'))
    own, control = (cells.values[chosen].astype(float) for chosen in names)
    rest = cells.values[here & ~np.isin(cells.perturbation, [profile['perturbation'], 'control'])].astype(float)
    return own, control, rest


def overestimated(own, rest):
    """Scores of scanpy's rank_genes_groups with method='t-test_overestim_var': the rest is as few as the group."""
    variance = own.var(axis=0, ddof=1) / len(own) + rest.var(axis=0, ddof=1) / len(own)
    return (own.mean(axis=0) - rest.mean(axis=0)) / np.sqrt(variance)


def min_max_squared(t):
    t = np.abs(t)
    weight = ((t - t.min()) / (t.max() - t.min())) ** 2
    return weight / weight.sum()


def judged(predictions):
    return responders(predictions, predictions.layers['truth'], np.asarray(predictions.obs['cells'], float))


def test_weights_are_scanpys_from_the_raw_cells(cells, predictions):
    found = judged(predictions).weight
    for profile, weight in zip(predictions.obs.to_dict('records'), found):
        own, _, rest = rows_of(cells, profile)
        np.testing.assert_allclose(weight, min_max_squared(overestimated(own, rest)), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.min(axis=1) == 0).all()


def test_p_values_are_welchs_from_the_raw_cells(cells, predictions):
    found = judged(predictions).p_value
    for profile, p in zip(predictions.obs.to_dict('records'), found):
        own, control, _ = rows_of(cells, profile)
        expected = scipy.stats.ttest_ind(own, control, equal_var=False).pvalue
        np.testing.assert_allclose(p, expected, rtol=2e-3)


def test_half_of_the_cells_is_a_smaller_sample(cells, predictions):
    halves = np.full(predictions.n_obs, 4.0)
    found = responders(predictions, predictions.layers['first_half'], halves)
    for i, profile in enumerate(predictions.obs.to_dict('records')):
        own, control, rest = rows_of(cells, profile)
        difference = predictions.layers['first_half'][i] - control.mean(axis=0)
        error, control_error = own.var(axis=0, ddof=1) / 4, control.var(axis=0, ddof=1) / 20
        expected = welch(difference, error, len(own) - 1, control_error, 19)  # the variance is known from all cells
        np.testing.assert_allclose(found.p_value[i], expected, rtol=2e-3)
        t = (predictions.layers['first_half'][i] - rest.mean(axis=0)) / np.sqrt(
            own.var(axis=0, ddof=1) + rest.var(0, ddof=1)
        )
        np.testing.assert_allclose(found.weight[i], min_max_squared(t), rtol=1e-3, atol=1e-6)


def test_the_statistic_is_welchs_and_kept_only_if_asked_for(cells, predictions):
    truth, number = predictions.layers['truth'], np.asarray(predictions.obs['cells'], float)
    assert judged(predictions).statistic is None
    found = responders(predictions, truth, number, with_statistic=True).statistic
    for profile, t in zip(predictions.obs.to_dict('records'), found):
        own, control, _ = rows_of(cells, profile)
        np.testing.assert_allclose(
            t, scipy.stats.ttest_ind(own, control, equal_var=False).statistic, rtol=2e-3, atol=1e-4
        )


def test_the_second_half_against_the_rest(cells, predictions):
    found = differs_from_rest(predictions)
    for i, profile in enumerate(predictions.obs.to_dict('records')):
        own, _, rest = rows_of(cells, profile)
        difference = predictions.layers['second_half'][i] - rest.mean(axis=0)
        error, rest_error = own.var(axis=0, ddof=1) / 4, rest.var(axis=0, ddof=1) / len(rest)
        np.testing.assert_allclose(found[i], welch(difference, error, 7, rest_error, len(rest) - 1), rtol=2e-3)


def test_files_without_replicates_know_nothing():
    old = without_replicates(make_predictions())
    for each in responders(old, old.layers['truth'], np.ones(old.n_obs), with_statistic=True):
        assert each.shape == old.shape
        assert np.isnan(each).all()


def test_control_that_the_scale_defines_has_no_error(cells, predictions):
    defined = predictions.copy()
    defined.obs['control_cells'] = 0
    defined.layers['control_variance'][:] = NAN
    for profile, p, control in zip(defined.obs.to_dict('records'), judged(defined).p_value, defined.layers['control']):
        own, _, _ = rows_of(cells, profile)
        np.testing.assert_allclose(p, scipy.stats.ttest_1samp(own, control).pvalue, rtol=2e-3)


def test_without_rows_behind_it_a_profile_has_weights_but_no_p_values(cells, predictions):
    single = predictions.copy()
    single.obs['cells'] = 1
    single.layers['variance'][:] = NAN
    found = judged(single)
    assert np.isnan(found.p_value).all()
    t = (single.layers['truth'] - single.layers['rest_mean']) / np.sqrt(single.layers['rest_variance'])
    np.testing.assert_allclose(found.weight, [min_max_squared(row) for row in t], rtol=1e-4, atol=1e-7)


def test_a_control_of_one_row_has_an_unknown_error(predictions):
    single = predictions.copy()
    single.obs['control_cells'] = 1
    single.layers['control_variance'][:] = NAN
    assert np.isnan(judged(single).p_value).all()


def test_weights_by_hand():
    difference, variance = np.array([[1.0, -2, 6, NAN, 5]]), np.array([[1.0, 1, 4, 1, 0]])
    # |t| = 1, 2, 3; the others cannot be known.
    np.testing.assert_allclose(response_weight(difference, variance), [[0, 0.2, 0.8, NAN, NAN]])
    assert np.isnan(response_weight(np.ones((1, 3)), np.ones((1, 3)))).all()  # nothing stands out
    assert np.isnan(response_weight(np.full((1, 3), NAN), np.ones((1, 3)))).all()


@settings(max_examples=20)
@given(
    st.floats(-5, 5),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)),
    st.tuples(st.integers(2, 50), st.integers(2, 50)),
)
def test_welch_against_scipy(difference, deviation, number):
    (a, b), (m, n) = deviation, number
    expected = scipy.stats.ttest_ind_from_stats(difference, a, m, 0, b, n, equal_var=False).pvalue
    found = welch(np.array(difference), np.array(a**2 / m), np.array(m - 1), np.array(b**2 / n), np.array(n - 1))
    assert found == pytest.approx(expected, rel=1e-6)
    assert 0 <= found <= 1


def test_welch_without_an_error_is_nan():
    one, zero = np.ones(3), np.zeros(3)
    assert np.isnan(welch(one, zero, one, zero, one)).all()
    assert np.isnan(welch(one, NAN * one, one, one, one)).all()
    assert np.isnan(welch(NAN * one, one, one, one, one)).all()
    # One sample without spread leaves the other's test.
    expected = scipy.stats.ttest_1samp([1.0, 2, 4], 0).pvalue
    error = np.var([1.0, 2, 4], ddof=1) / 3
    assert welch(np.array(7 / 3), np.array(error), np.array(2), np.array(0.0), np.array(9)) == pytest.approx(expected)


def test_halves_of_an_odd_number():
    first, second = half_cells(np.array([5, 4, 2, 1]))
    np.testing.assert_array_equal(first, [3, 2, 1, 1])
    np.testing.assert_array_equal(second, [2, 2, 1, 0])
