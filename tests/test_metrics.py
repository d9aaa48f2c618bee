"""Metrics against hand-worked values, and against plain numpy and scipy where values are missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.evaluation import metrics
from perturbjax.evaluation.metrics import METRICS, Comparison

NAN = np.nan


def profiles(*rows):
    return tuple(jnp.array(row, jnp.float32) for row in rows)


def screen(seed=0, missing=0.2, offset=0.0):
    """Four arrays of 6 profiles by 40 readouts with NaN here and there."""
    rng = np.random.default_rng(seed)
    arrays = rng.normal(offset, 1, (4, 6, 40)).astype(np.float32)
    return [np.where(rng.random((6, 40)) < missing, np.nan, array) for array in arrays]


def test_errors_by_hand():
    truth, prediction = profiles([1, 2, 3, 4], [1, 2, 3, 8])
    assert metrics.mae(truth, prediction) == 1
    assert metrics.mse(truth, prediction) == 4
    assert metrics.rmse(truth, prediction) == 2
    assert metrics.r2(truth, prediction) == pytest.approx(1 - 16 / 5)
    assert metrics.pearson(truth, prediction) == pytest.approx(11 / np.sqrt(5 * 29))


def test_what_is_missing_in_either_is_not_compared():
    truth, prediction = profiles([1, NAN, 3, 5], [2, 7, NAN, 2])
    assert metrics.mae(truth, prediction) == 2
    assert metrics.mse(truth, prediction) == 5
    assert metrics.r2(truth, prediction) == pytest.approx(1 - 10 / 8)
    assert metrics.l2_top(truth, prediction, None) == pytest.approx(np.sqrt(10))
    assert np.isnan(metrics.pearson(truth, prediction))  # the prediction is 2 wherever it counts


def test_l2_is_over_the_readouts_highest_in_control():
    truth, prediction, control = profiles([0, 0, 0, 0, 0], [1, 2, 4, 8, 16], [5, 9, 1, 7, 3])
    assert metrics.l2_top(truth, prediction, control, n=2) == pytest.approx(np.sqrt(4 + 64))
    assert metrics.l2_top(truth, prediction, control, n=5) == pytest.approx(np.sqrt(341))
    assert metrics.l2_top(truth, prediction, control) == pytest.approx(np.sqrt(341))
    assert metrics.l2_top(truth, prediction, None, n=2) == pytest.approx(np.sqrt(341))


def test_l2_ranks_what_was_measured_and_not_what_was_predicted():
    truth, prediction, control = profiles([0, NAN, 0, 0, 0], [1, 2, 4, NAN, 16], [5, 9, 1, 7, 3])
    assert metrics.l2_top(truth, prediction, control, n=2) == 1  # ranks 7 (not predicted) and 5
    assert metrics.l2_top(truth, prediction, control, n=3) == pytest.approx(np.sqrt(1 + 256))
    assert np.isnan(metrics.l2_top(truth, prediction, control, n=1))  # nothing is not a perfect score


def test_equal_levels_are_taken_in_order():
    truth, prediction, control = profiles([0, 0, 0], [1, 2, 4], [1, 1, 1])
    assert metrics.l2_top(truth, prediction, control, n=1) == 1


def test_pearson_delta_by_hand():
    truth, prediction, reference = profiles([11, 22, 33, 44], [12, 24, 36, 40], [10, 20, 30, 40])
    change, predicted = [1, 2, 3, 4], [2, 4, 6, 0]
    expected = np.corrcoef(change, predicted)[0, 1]
    assert metrics.pearson_delta(truth, prediction, reference) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('seed', range(3))
def test_profiles_against_numpy_and_scipy(seed):
    truth, prediction, control, _ = screen(seed)
    found = {
        'mae': metrics.mae(truth, prediction),
        'rmse': metrics.rmse(truth, prediction),
        'r2': metrics.r2(truth, prediction),
        'pearson': metrics.pearson(truth, prediction),
        'delta': metrics.pearson_delta(truth, prediction, control),
        'l2': metrics.l2_top(truth, prediction, control, n=10),
    }
    for i, (y, p, c) in enumerate(zip(truth, prediction, control)):
        both, all_three = ~np.isnan(y + p), ~np.isnan(y + p + c)
        ranked = sorted(np.flatnonzero(~np.isnan(y + c)), key=lambda j: -c[j])[:10]
        expected = {
            'mae': np.abs(y - p)[both].mean(),
            'rmse': np.sqrt(((y - p) ** 2)[both].mean()),
            'r2': 1 - ((y - p) ** 2)[both].sum() / ((y[both] - y[both].mean()) ** 2).sum(),
            'pearson': scipy.stats.pearsonr(y[both], p[both])[0],
            'delta': scipy.stats.pearsonr((y - c)[all_three], (p - c)[all_three])[0],
            'l2': np.sqrt(sum((y[j] - p[j]) ** 2 for j in ranked if not np.isnan(p[j]))),
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, abs=2e-5), name


@pytest.mark.parametrize('values', [[NAN, NAN, NAN], [NAN, 2, NAN], [0.1, 0.1, 0.1]])
def test_no_correlation_of_too_few_or_constant_values(values):
    values, varied = profiles(values, [0.3, 0.5, 0.1])
    assert np.isnan(metrics.pearson(values, varied))
    assert np.isnan(metrics.pearson(varied, values))
    assert np.isnan(metrics.r2(values, varied))
    assert np.isnan(metrics.pearson_delta(varied, varied + values, varied))


def test_no_correlation_of_rounding_errors():
    rng = np.random.default_rng(0)
    truth, reference = rng.normal(5, 1, (2, 1000)).astype(np.float32)
    almost_reference = (reference.astype(float) * (1 + 1e-7 * rng.normal(size=1000))).astype(np.float32)
    assert (almost_reference != reference).any()
    assert np.isnan(metrics.pearson_delta(truth, almost_reference, reference))
    shifted = reference + np.float32(0.3)  # the same change everywhere
    assert np.isnan(metrics.pearson_delta(truth, shifted, reference))


def test_nothing_to_compare_is_nan_everywhere():
    truth, _, control, mean = screen()
    nothing = np.full_like(truth, np.nan)
    comparison = Comparison(truth, nothing, control, mean, control)
    for name, metric in METRICS.items():
        assert np.isnan(metric.of_profile(comparison)).all(), name
    pooled = metrics.pooled(metrics.moments(truth, nothing).sum(axis=0))
    assert all(np.isnan(value) for value in pooled.values())


def test_an_infinite_prediction_is_an_error_and_not_a_gap():
    truth, prediction = profiles([1, 2, 3], [1, np.inf, 3])
    assert metrics.rmse(truth, prediction) == np.inf
    assert metrics.l2_top(truth, prediction, None) == np.inf


@pytest.mark.parametrize('offset', [0, 20])
def test_pooled_is_over_all_values(offset):
    truth, prediction, _, _ = screen(offset=offset)
    both = ~np.isnan(truth + prediction)
    y, p = truth[both].astype(float), prediction[both].astype(float)
    found = metrics.pooled(metrics.moments(truth - offset, prediction - offset).sum(axis=0))
    assert found['rmse'] == pytest.approx(np.sqrt(((y - p) ** 2).mean()), rel=1e-5)
    assert found['mae'] == pytest.approx(np.abs(y - p).mean(), rel=1e-5)
    assert found['r2'] == pytest.approx(1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-5)
    assert found['pearson'] == pytest.approx(scipy.stats.pearsonr(y, p)[0], abs=1e-5)


def test_moments_by_hand():
    truth, prediction = profiles([1, 2, NAN], [3, 5, 7])
    np.testing.assert_array_equal(metrics.moments(truth, prediction), [2, 3, 8, 5, 34, 13, 5, 13])


def test_pooled_constants_have_no_correlation():
    truth, prediction = profiles([0.1, 0.3, 0.2], [0.7, 0.7, 0.7])
    found = metrics.pooled(metrics.moments(truth, prediction))
    assert np.isnan(found['pearson'])
    assert found['r2'] == pytest.approx(float(metrics.r2(truth, prediction)), rel=1e-5)
    assert np.isnan(metrics.pooled(metrics.moments(prediction, truth))['r2'])


def test_the_registry_agrees_with_itself():
    truth, prediction, control, mean = screen(missing=0)
    comparison = Comparison(truth, prediction, control, mean, control)
    pooled = metrics.pooled(metrics.moments(truth, prediction))
    assert {name for name, metric in METRICS.items() if metric.pooled} == set(pooled)
    for name, value in pooled.items():
        np.testing.assert_allclose(METRICS[name].of_profile(comparison), value, rtol=1e-5, err_msg=name)
    for name, metric in METRICS.items():
        perfect = metric.of_profile(comparison._replace(prediction=truth))
        np.testing.assert_allclose(perfect, 0 if metric.lower_is_better else 1, atol=1e-6, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-10, 10))
def test_a_common_constant_changes_no_metric(seed, constant):
    # What `scores` relies on when it takes the mean of all truths from every value.
    truth, prediction, control, mean = screen(seed)
    here = Comparison(truth, prediction, control, mean, control)
    there = Comparison(*(array + np.float32(constant) for array in here[:4]), control)
    for name, metric in METRICS.items():
        np.testing.assert_allclose(metric.of_profile(here), metric.of_profile(there), atol=1e-3, err_msg=name)


def test_leading_axes_are_profiles():
    arrays = screen()
    folded = [array.reshape(2, 3, 40) for array in arrays]
    for name, metric in METRICS.items():
        flat = metric.of_profile(Comparison(*arrays, arrays[2]))
        found = jax.jit(metric.of_profile)(Comparison(*folded, folded[2]))
        assert found.shape == (2, 3)
        np.testing.assert_allclose(found.ravel(), flat, rtol=1e-5, atol=1e-6, err_msg=name)
