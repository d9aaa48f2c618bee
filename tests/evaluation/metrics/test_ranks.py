"""Ranks and the areas that follow from them, against scipy and against counting all pairs."""

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.evaluation.metrics import ranks

# Compiled as they are in use.
average_ranks, roc_auc, average_precision = map(jax.jit, (ranks.average_ranks, ranks.roc_auc, ranks.average_precision))


def tied(seed, shape=(4, 30)):
    """Values of which many are equal, those of half of the readouts true, some not seen."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, shape).astype(np.float32)
    return values, rng.random(shape) < 0.5, rng.random(shape) < 0.8


def test_ranks_by_hand():
    values = np.array([3.0, -1, 3, np.nan, 0, 3])
    np.testing.assert_array_equal(average_ranks(values, ~np.isnan(values)), [4, 1, 4, 0, 2, 4])
    np.testing.assert_array_equal(average_ranks(np.array([0.0, -0.0]), np.ones(2, bool)), [1.5, 1.5])


@pytest.mark.parametrize('seed', range(3))
def test_ranks_are_scipys(seed):
    values, _, seen = tied(seed)
    for row, known, found in zip(values, seen, np.asarray(average_ranks(values, seen))):
        np.testing.assert_array_equal(found[known], scipy.stats.rankdata(row[known]))
        assert not found[~known].any()


def test_areas_by_hand():
    # Scores 4, 3, 3, 1: the true ones are the first, one of the tied pair, and not the last.
    score, true, seen = np.array([4.0, 3, 3, 1]), np.array([1, 1, 0, 0], bool), np.ones(4, bool)
    assert roc_auc(score, true, seen) == pytest.approx((2 + 1.5) / 4)
    assert average_precision(score, true, seen) == pytest.approx((1 + 2 / 3) / 2)
    assert roc_auc(-score, true, seen) == pytest.approx(0.5 / 4)
    assert average_precision(0 * score, true, seen) == pytest.approx(2 / 4)
    for nothing in (np.zeros(4, bool), np.ones(4, bool)):
        assert np.isnan(roc_auc(score, nothing, seen))
        assert np.isnan(average_precision(score, nothing, seen))


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_areas_by_counting(seed):
    values, true, seen = tied(seed)
    found = np.asarray(roc_auc(values, true, seen)), np.asarray(average_precision(values, true, seen))
    for i in range(len(values)):
        score, is_true = values[i, seen[i]], true[i, seen[i]]
        pairs = np.sign(score[is_true][:, None] - score[~is_true])
        assert found[0][i] == pytest.approx((pairs + 1).mean() / 2, abs=1e-6)
        precision = [is_true[score >= each].mean() for each in score[is_true]]
        assert found[1][i] == pytest.approx(np.mean(precision), abs=1e-6)


def test_many_readouts_keep_their_digits():
    rng = np.random.default_rng(0)
    score, true = rng.normal(size=(1, 40_000)).astype(np.float32), rng.random((1, 40_000)) < 0.3
    seen = np.ones_like(true)
    exact = scipy.stats.mannwhitneyu(score[true], score[~true]).statistic / (true.sum() * (~true).sum())
    assert roc_auc(score, true, seen).item() == pytest.approx(exact, abs=1e-5)
