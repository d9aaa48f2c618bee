"""Responding readouts against scipy's Benjamini and Hochberg, and their overlap against explicit sets."""

import itertools

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import with_gaps

from perturbjax.evaluation.metrics import overlap

NAN = np.nan

# Compiled as they are in use.
significant, de_overlap = jax.jit(overlap.significant, static_argnames='level'), jax.jit(overlap.de_overlap)


def p_values(seed, shape=(6, 40), missing=0.2):
    """p values of which many are small, NaN here and there."""
    rng = np.random.default_rng(seed)
    values = (rng.random(shape) ** rng.choice([1, 6], (shape[0], 1))).astype(np.float32)
    return np.where(rng.random(shape) < missing, np.nan, values)


def test_significant_by_hand():
    # 4 tests: the thresholds by rank are 0.0125, 0.025, 0.0375, 0.05; the third is met, so the first two count too.
    p = np.array([0.037, NAN, 0.03, 0.02, 0.9])
    np.testing.assert_array_equal(significant(p), [True, False, True, True, False])
    assert not significant(np.array([0.013, 0.5, NAN, 0.6, 0.7])).any()
    assert not significant(np.full(5, NAN)).any()
    np.testing.assert_array_equal(significant(np.array([0.04, 0.5, NAN, NAN, NAN]), level=0.1), np.arange(5) == 0)


@pytest.mark.parametrize('seed', range(3))
def test_significant_against_scipy(seed):
    p = p_values(seed)
    found = np.asarray(significant(p))
    for values, responds in zip(p, found):
        known = ~np.isnan(values)
        np.testing.assert_array_equal(responds[known], scipy.stats.false_discovery_control(values[known]) <= 0.05)
        assert not responds[~known].any()
    assert 0 < found.sum() < found.size


def test_overlap_by_hand():
    p = np.array([0.001, 0.9, 0.002, 0.003, 0.8])  # readouts 0, 2 and 3 respond
    control = np.full(5, 5.0)
    prediction = np.array([8, 3, 6, 5, 5.5])  # moves 0, 1 and 2 most
    assert de_overlap(control, prediction, control, p) == pytest.approx(2 / 3)
    assert de_overlap(control, control + 9 * (p < 0.05), control, p) == 1
    assert de_overlap(control, control + 9 * (p > 0.05), control, p) == pytest.approx(1 / 3)  # three of five positions
    assert np.isnan(de_overlap(control, prediction, control, np.full(5, 0.9)))
    assert np.isnan(de_overlap(control, prediction, control, np.full(5, NAN)))
    assert np.isnan(de_overlap(control, prediction, control, np.full(5, 0.001)))  # all respond: nothing to find


def test_readouts_that_cannot_be_compared_are_no_tests_and_take_no_place():
    control, p = np.zeros(5), np.array([0.001, 0.9, 0.02, 0.8, 0.8])
    prediction = np.array([1.0, 9, 0.5, 0, 0])
    assert de_overlap(control, prediction, control, p) == pytest.approx(1 / 2)
    for position in range(4):
        arrays = [array.copy() for array in (control, prediction, control, p)]
        arrays[position][1] = NAN
        assert de_overlap(*arrays) == 1


def overlap_by_sets(change, p):
    """By explicit sets, of a prediction without ties or gaps."""
    responds = set(np.flatnonzero(scipy.stats.false_discovery_control(p) <= 0.05))
    moved = set(sorted(range(len(p)), key=lambda j: -abs(change[j]))[: len(responds)])
    return len(responds & moved) / len(responds) if responds else np.nan


@pytest.mark.parametrize('seed', range(3))
def test_overlap_against_sets(seed):
    truth, prediction, control = with_gaps(3, seed)
    p = p_values(seed)
    found = np.asarray(de_overlap(truth, prediction, control, p))
    for i in range(len(truth)):
        seen = ~np.isnan(truth + prediction + control + p)[i]
        assert found[i] == pytest.approx(overlap_by_sets((prediction - control)[i][seen], p[i][seen]), nan_ok=True)
    assert np.isfinite(found).any()


def test_ties_are_worth_what_breaking_them_at_random_is_worth():
    p = np.array([0.001, 0.9, 0.002, 0.003, 0.8, 0.7])
    change = np.array([2.0, 1, -1, 0, 1, 1])  # two positions for the four that move by 1
    broken = [
        overlap_by_sets(np.abs(change) + 1e-6 * np.array(order), p) for order in itertools.permutations(range(len(p)))
    ]
    found = de_overlap(np.zeros(6), change, np.zeros(6), p)
    assert found == pytest.approx(np.mean(broken), rel=1e-5)
    assert de_overlap(np.zeros(6), np.zeros(6), np.zeros(6), p) == pytest.approx(3 / 6)  # chance, N / M


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_order_of_readouts_and_the_size_of_the_change_do_not_matter(seed):
    truth, prediction, control = with_gaps(3, seed)
    arrays = truth, prediction, 0 * control, p_values(seed)
    order = np.random.default_rng(seed).permutation(truth.shape[1])
    here = np.asarray(de_overlap(*arrays))
    np.testing.assert_allclose(here, de_overlap(*(array[:, order] for array in arrays)), rtol=1e-6)
    np.testing.assert_array_equal(here, de_overlap(truth, -4 * prediction, *arrays[2:]))
    known = here[~np.isnan(here)]
    assert ((known >= 0) & (known <= 1)).all()
