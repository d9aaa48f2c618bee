"""Distances against hand-worked values, and against plain numpy where values are missing."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import with_gaps

from perturbjax.evaluation.metrics import distances

NAN = np.nan

# Compiled as they are in use, and once for all values worked by hand.
mae, mse, rmse, weighted_mse = map(jax.jit, (distances.mae, distances.mse, distances.rmse, distances.weighted_mse))
l2_top = jax.jit(distances.l2_top, static_argnames='n')


def profiles(*rows):
    """Float32 arrays, padded with NaN to six readouts so that all share one compilation."""
    return tuple(np.array([*row, *[NAN] * (6 - len(row))], np.float32) for row in rows)


def weights(shape, seed=0):
    """Weights that add up to 1 in each profile, some 0 and some NaN."""
    rng = np.random.default_rng(seed)
    weight = np.where(rng.random(shape) < 0.1, 0, rng.random(shape))
    weight = np.where(rng.random(shape) < 0.1, np.nan, weight)
    return (weight / np.nansum(weight, axis=-1, keepdims=True)).astype(np.float32)


def test_errors_by_hand():
    truth, prediction = profiles([1, 2, 3, 4], [1, 2, 3, 8])
    assert mae(truth, prediction) == 1
    assert mse(truth, prediction) == 4
    assert rmse(truth, prediction) == 2


def test_what_is_missing_in_either_is_not_compared():
    truth, prediction = profiles([1, NAN, 3, 5], [2, 7, NAN, 2])
    assert mae(truth, prediction) == 2
    assert mse(truth, prediction) == 5
    assert rmse(truth, prediction) == pytest.approx(np.sqrt(5))
    assert l2_top(truth, prediction, None) == pytest.approx(np.sqrt(10))


def test_l2_is_over_the_readouts_highest_in_control():
    truth, prediction, control = profiles([0, 0, 0, 0, 0], [1, 2, 4, 8, 16], [5, 9, 1, 7, 3])
    assert l2_top(truth, prediction, control, n=2) == pytest.approx(np.sqrt(4 + 64))
    assert l2_top(truth, prediction, control, n=5) == pytest.approx(np.sqrt(341))
    assert l2_top(truth, prediction, control) == pytest.approx(np.sqrt(341))
    assert l2_top(truth, prediction, None, n=2) == pytest.approx(np.sqrt(341))


def test_l2_is_over_the_1000_highest_unless_told():
    truth, prediction, control = with_gaps(3, missing=0, profiles=1, readouts=1010)
    squares = np.square(truth - prediction)[0]
    expected = np.sqrt(squares[np.argsort(-control[0])[:1000]].sum())
    np.testing.assert_allclose(l2_top(truth, prediction, control), expected, rtol=1e-5)


def test_l2_ranks_what_was_measured_and_not_what_was_predicted():
    truth, prediction, control = profiles([0, NAN, 0, 0, 0], [1, 2, 4, NAN, 16], [5, 9, 1, 7, 3])
    assert l2_top(truth, prediction, control, n=2) == 1  # ranks 7 (not predicted) and 5
    assert l2_top(truth, prediction, control, n=3) == pytest.approx(np.sqrt(1 + 256))
    assert np.isnan(l2_top(truth, prediction, control, n=1))  # nothing is not a perfect score


def test_equal_levels_are_taken_in_order():
    truth, prediction, control = profiles([0, 0, 0], [1, 2, 4], [1, 1, 1])
    assert l2_top(truth, prediction, control, n=1) == 1


def test_weighted_mse_by_hand():
    truth, prediction, weight = profiles([0, 0, 0], [1, 2, 3], [0.5, 0.25, 0.25])
    assert weighted_mse(truth, prediction, weight) == pytest.approx(0.5 + 1 + 2.25)
    assert weighted_mse(truth, prediction, 8 * weight) == pytest.approx(0.5 + 1 + 2.25)


@pytest.mark.parametrize('position', range(3))
def test_weighted_mse_is_over_what_is_left(position):
    arrays = profiles([0, 0, 0], [1, 2, 3], [0.5, 0.25, 0.25])
    arrays[position][2] = NAN
    assert weighted_mse(*arrays) == pytest.approx((0.5 + 1) / 0.75)


def test_weighted_mse_without_weight_is_nan():
    assert np.isnan(weighted_mse(*profiles([0, 0], [1, NAN], [0, 1])))
    assert np.isnan(weighted_mse(*profiles([0, 0], [1, 2], [NAN, NAN])))


@pytest.mark.parametrize('seed', range(3))
def test_profiles_against_numpy(seed):
    truth, prediction, control = with_gaps(3, seed)
    weight = weights(truth.shape, seed)
    found = {
        'mae': mae(truth, prediction),
        'mse': mse(truth, prediction),
        'rmse': rmse(truth, prediction),
        'l2': l2_top(truth, prediction, control, n=10),
        'weighted': weighted_mse(truth, prediction, weight),
    }
    for i, (y, p, c, w) in enumerate(zip(truth, prediction, control, weight)):
        both, weighted = ~np.isnan(y + p), ~np.isnan(y + p + w)
        ranked = sorted(np.flatnonzero(~np.isnan(y + c)), key=lambda j: -c[j])[:10]
        expected = {
            'mae': np.abs(y - p)[both].mean(),
            'mse': ((y - p) ** 2)[both].mean(),
            'rmse': np.sqrt(((y - p) ** 2)[both].mean()),
            'l2': np.sqrt(sum((y[j] - p[j]) ** 2 for j in ranked if not np.isnan(p[j]))),
            'weighted': np.average((y - p)[weighted] ** 2, weights=w[weighted]),
        }
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, abs=2e-5), name


def test_nothing_to_compare_is_nan():
    truth, control = with_gaps(2)
    nothing = np.full_like(truth, np.nan)
    for distance in (mae, mse, rmse):
        assert np.isnan(distance(truth, nothing)).all()
    assert np.isnan(l2_top(truth, nothing, control, n=10)).all()
    assert np.isnan(weighted_mse(truth, nothing, weights(truth.shape))).all()


def test_an_infinite_prediction_is_an_error_and_not_a_gap():
    truth, prediction, weight = profiles([1, 2, 3], [1, np.inf, 3], [0.2, 0.4, 0.4])
    assert rmse(truth, prediction) == np.inf
    assert l2_top(truth, prediction, None) == np.inf
    assert weighted_mse(truth, prediction, weight) == np.inf


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_the_truth_is_at_distance_0_and_twice_the_error_is_farther(seed, times):
    truth, prediction, control = with_gaps(3, seed)
    weight = weights(truth.shape, seed)
    farther = truth + times * (prediction - truth)
    for distance, power in (
        (mae, 1),
        (rmse, 1),
        (mse, 2),
        (lambda y, p: l2_top(y, p, control, n=10), 1),
        (lambda y, p: weighted_mse(y, p, weight), 2),
    ):
        assert (distance(truth, truth) == 0).all()
        np.testing.assert_allclose(distance(truth, farther), times**power * distance(truth, prediction), rtol=1e-4)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_order_of_readouts_does_not_matter(seed):
    truth, prediction, control = with_gaps(3, seed)
    weight = weights(truth.shape, seed)
    order = np.random.default_rng(seed).permutation(truth.shape[1])
    for distance in (
        lambda y, p, c, w: rmse(y, p),
        lambda y, p, c, w: l2_top(y, p, c, n=10),
        lambda y, p, c, w: weighted_mse(y, p, w),
    ):
        here = distance(truth, prediction, control, weight)
        there = distance(*(array[:, order] for array in (truth, prediction, control, weight)))
        np.testing.assert_allclose(here, there, rtol=1e-5)
