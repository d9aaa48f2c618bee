"""Correlations against hand-worked values, and against plain numpy and scipy where values are missing."""

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import with_gaps

from perturbjax.evaluation.metrics import correlations

NAN = np.nan

# Compiled as they are in use, and once for all values worked by hand.
r2, pearson, pearson_delta, weighted_r2_delta = map(
    jax.jit, (correlations.r2, correlations.pearson, correlations.pearson_delta, correlations.weighted_r2_delta)
)


def profiles(*rows):
    """Float32 arrays, padded with NaN to six readouts so that all share one compilation."""
    return tuple(np.array([*row, *[NAN] * (6 - len(row))], np.float32) for row in rows)


def test_r2_and_pearson_by_hand():
    truth, prediction = profiles([1, 2, 3, 4], [1, 2, 3, 8])
    assert r2(truth, prediction) == pytest.approx(1 - 16 / 5)
    assert pearson(truth, prediction) == pytest.approx(11 / np.sqrt(5 * 29))


def test_what_is_missing_in_either_is_not_compared():
    truth, prediction = profiles([1, NAN, 3, 5], [2, 7, NAN, 2])
    assert r2(truth, prediction) == pytest.approx(1 - 10 / 8)
    assert np.isnan(pearson(truth, prediction))  # the prediction is 2 wherever it counts


def test_pearson_delta_by_hand():
    truth, prediction, reference = profiles([11, 22, 33, 44], [12, 24, 36, 40], [10, 20, 30, 40])
    change, predicted = [1, 2, 3, 4], [2, 4, 6, 0]
    expected = np.corrcoef(change, predicted)[0, 1]
    assert pearson_delta(truth, prediction, reference) == pytest.approx(expected, abs=1e-6)


def test_weighted_r2_delta_by_hand():
    truth, prediction, reference = profiles([11, 22, 34], [11, 22, 36], [10, 20, 30])
    (weight,) = profiles([0.5, 0.25, 0.25])
    # Changes 1, 2, 4 of weighted mean 2; they deviate by -1, 0, 2, and the prediction by 0, 0, 2.
    assert weighted_r2_delta(truth, prediction, reference, weight) == pytest.approx(1 - 1 / 1.5)
    assert weighted_r2_delta(truth, reference + 2, reference, weight) == pytest.approx(0)
    assert weighted_r2_delta(truth, reference, reference, weight) == pytest.approx(1 - 5.5 / 1.5)
    assert weighted_r2_delta(truth, truth, reference, weight) == 1
    assert weighted_r2_delta(truth, prediction, reference, 4 * weight) == pytest.approx(1 - 1 / 1.5)


@pytest.mark.parametrize('position', range(4))
def test_weighted_r2_delta_is_over_what_is_left(position):
    rows = [11, 22, 34, 5], [12, 22, 36, 9], [10, 20, 30, 1], [0.5, 0.25, 0.25, 3]
    arrays, expected = list(profiles(*rows)), weighted_r2_delta(*profiles(*(row[:3] for row in rows)))
    arrays[position][3] = NAN
    assert weighted_r2_delta(*arrays) == pytest.approx(float(expected))


def test_weighted_r2_delta_is_nan_where_no_change_varies():
    truth, prediction, reference = profiles([3, 5, 9], [4, 4, 4], [1, 3, 7])
    (weight,) = profiles([0.5, 0.5, 0])
    assert np.isnan(weighted_r2_delta(truth, prediction, reference, weight))
    assert np.isnan(weighted_r2_delta(truth, prediction, reference, NAN * weight))
    one, last = profiles([1, 0, 0], [NAN, NAN, 1])
    assert np.isnan(weighted_r2_delta(truth, prediction, 0 * reference, one))
    assert np.isnan(weighted_r2_delta(truth, last, reference, weight))  # no weight is left


@pytest.mark.parametrize('seed', range(3))
def test_profiles_against_numpy_and_scipy(seed):
    truth, prediction, control, weight = with_gaps(4, seed)
    weight = np.square(weight)
    found = {
        'r2': r2(truth, prediction),
        'pearson': pearson(truth, prediction),
        'delta': pearson_delta(truth, prediction, control),
        'weighted': weighted_r2_delta(truth, prediction, control, weight),
    }
    for i, (y, p, c, w) in enumerate(zip(truth, prediction, control, weight)):
        both, all_three, weighted = ~np.isnan(y + p), ~np.isnan(y + p + c), ~np.isnan(y + p + c + w)
        d, e, v = (y - c)[weighted], (y - p)[weighted], w[weighted]
        expected = {
            'r2': 1 - ((y - p) ** 2)[both].sum() / ((y[both] - y[both].mean()) ** 2).sum(),
            'pearson': scipy.stats.pearsonr(y[both], p[both])[0],
            'delta': scipy.stats.pearsonr((y - c)[all_three], (p - c)[all_three])[0],
            'weighted': 1 - (v * e**2).sum() / (v * (d - np.average(d, weights=v)) ** 2).sum(),
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, abs=2e-5), name


@pytest.mark.parametrize('values', [[NAN, NAN, NAN], [NAN, 2, NAN], [0.1, 0.1, 0.1]])
def test_no_correlation_of_too_few_or_constant_values(values):
    values, varied = profiles(values, [0.3, 0.5, 0.1])
    assert np.isnan(pearson(values, varied))
    assert np.isnan(pearson(varied, values))
    assert np.isnan(r2(values, varied))
    assert np.isnan(pearson_delta(varied, varied + values, varied))


def test_no_correlation_of_rounding_errors():
    rng = np.random.default_rng(0)
    truth, reference = rng.normal(5, 1, (2, 1000)).astype(np.float32)
    almost_reference = (reference.astype(float) * (1 + 1e-7 * rng.normal(size=1000))).astype(np.float32)
    assert (almost_reference != reference).any()
    assert np.isnan(pearson_delta(truth, almost_reference, reference))
    shifted = reference + np.float32(0.3)  # the same change everywhere
    assert np.isnan(pearson_delta(truth, shifted, reference))
    assert np.isnan(weighted_r2_delta(shifted, truth, reference, np.ones(1000, np.float32)))


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-3, 3))
def test_correlations_know_no_scale_and_stay_in_their_range(seed, scale, shift):
    truth, prediction, reference, weight = with_gaps(4, seed)
    weight = np.square(weight)
    stretched = np.float32(scale) * prediction + np.float32(shift)
    np.testing.assert_allclose(pearson(truth, prediction), pearson(truth, stretched), atol=1e-5)
    np.testing.assert_allclose(pearson(truth, prediction), pearson(prediction, truth), atol=1e-6)
    np.testing.assert_allclose(pearson(truth, -prediction), -pearson(truth, prediction), atol=1e-6)
    far = reference + np.float32(scale) * (prediction - reference)
    here, there = (pearson_delta(truth, each, reference) for each in (prediction, far))
    np.testing.assert_allclose(here, there, atol=1e-5)
    for found in (here, pearson(truth, prediction)):
        assert (np.abs(found) <= 1).all()
    assert (r2(truth, stretched) <= 1).all()
    assert (weighted_r2_delta(truth, stretched, reference, weight) <= 1).all()
    np.testing.assert_allclose(weighted_r2_delta(truth, truth, reference, weight), 1)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_order_of_readouts_does_not_matter(seed):
    arrays = with_gaps(4, seed)
    arrays[3] = np.square(arrays[3])
    order = np.random.default_rng(seed).permutation(arrays[0].shape[1])
    moved = [array[:, order] for array in arrays]
    for function, count in ((r2, 2), (pearson, 2), (pearson_delta, 3), (weighted_r2_delta, 4)):
        np.testing.assert_allclose(function(*arrays[:count]), function(*moved[:count]), rtol=1e-4, atol=1e-5)
