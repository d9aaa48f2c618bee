"""Perturbation discrimination against explicit ranking, with ties, gaps and the perturbed genes left out."""

import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import discriminated, with_gaps

from perturbjax.evaluation.metrics.discrimination import (
    cosine,
    discriminate,
    discrimination,
    l1,
    l2,
    perturbed_readouts,
)

NAN = np.nan
DISTANCES = [l1, l2, cosine]

nothing_left_out = np.zeros((6, 40), bool)


def score(prediction, truth, left_out=nothing_left_out, distance=l1):
    return discrimination(prediction, truth, left_out.any(axis=0), distance)


def test_distances_by_hand():
    x, y = np.array([[3.0, 4, NAN, 1]]), np.array([[3.0, 0, 7, NAN]])
    assert l1(x, y) == 2
    assert l2(x, y) == 8
    assert cosine(x, y) == pytest.approx(1 - 9 / 15)
    assert cosine(x, 0 * x) == 1
    assert cosine(x, -x) == pytest.approx(2)
    assert cosine(x, 5 * x) == pytest.approx(0, abs=1e-6)
    for distance in DISTANCES:
        assert np.isnan(distance(x, y * NAN))
        both = distance(np.concatenate([x, y]), np.concatenate([y, x, x]))  # all pairs
        np.testing.assert_allclose(both, [[distance(a, b).item() for b in (y, x, x)] for a in (x, y)], atol=1e-7)


def test_discrimination_by_hand():
    truth = np.full((6, 40), NAN, np.float32)
    truth[:4, :2] = [[0, 0], [1, 0], [3, 0], [6, 0]]
    prediction = truth.copy()
    prediction[:4, 0] = [2.5, 0.5, 3, -9]
    # Of three others: two are nearer; one is as near; none is nearer; all are.
    np.testing.assert_allclose(score(prediction, truth), [1 / 3, 5 / 6, 1, 0, NAN, NAN])
    left_out = nothing_left_out.copy()
    left_out[2, 0] = True  # nothing is left that differs, for any of them
    np.testing.assert_allclose(score(prediction, truth, left_out), [0.5, 0.5, 0.5, 0.5, NAN, NAN])


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize('seed', range(3))
def test_discrimination_against_explicit_ranking(distance, seed):
    truth, prediction, _ = with_gaps(3, seed)
    rng = np.random.default_rng(seed)
    left_out = rng.random(truth.shape) < 0.1
    prediction += truth * rng.choice([0, 2], (6, 1))
    truth[4], prediction[5] = truth[1], 0  # two truths of one distance, and a prediction without change
    truth[3] = NAN if seed else truth[3]
    found = score(prediction, truth, left_out, distance)
    np.testing.assert_allclose(found, discriminated(prediction, truth, left_out, distance), atol=1e-6)
    assert np.isfinite(found).sum() >= 5


@pytest.mark.parametrize('distance', DISTANCES)
def test_the_perturbed_genes_give_nothing_away(distance):
    # The prediction knows its own gene alone: left in, it tells the perturbations apart; left out, nothing does.
    own = np.eye(6, 40, dtype=bool)
    truth = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    truth[own] = -30
    alone = np.where(own, -30, 0).astype(np.float32)
    np.testing.assert_array_equal(score(alone, truth, distance=distance), 1)
    assert score(alone, truth, own, distance).mean() == pytest.approx(0.5, abs=0.04)
    assert score(0 * alone, truth, own, distance).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize('distance', DISTANCES)
def test_one_answer_for_all_scores_a_half(distance):
    truth, prediction = with_gaps(2, missing=0)
    same = np.tile(prediction[:1], (6, 1))
    assert score(same, truth, distance=distance).mean() == pytest.approx(0.5)
    assert score(0 * same, truth, distance=cosine).tolist() == [0.5] * 6  # all are at one distance


@pytest.mark.parametrize('distance', DISTANCES)
@pytest.mark.parametrize(('own', 'other'), [(0, 5), (0, 20), (0, 100), (-20, 0), (7, 7), (0, 0)])
def test_no_constant_profile_leaves_a_half(distance, own, other):
    # Every perturbation has a readout of its own, which a prediction can know without knowing more.
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(50, 300)).astype(np.float32)
    targets = np.eye(50, 300, dtype=bool)
    truth[targets] -= 5
    constant = np.where(targets.any(axis=0), own, other).astype(np.float32)
    assert score(np.tile(constant, (50, 1)), truth, targets, distance).mean() == pytest.approx(0.5, abs=1e-12)
    gaps = np.where(rng.random(300) < 0.2, NAN, constant + rng.normal(size=300))
    assert score(np.tile(gaps, (50, 1)), truth, targets, distance).mean() == pytest.approx(0.5, abs=1e-12)


def test_where_all_readouts_are_left_out_nothing_can_be_told():
    truth, prediction = with_gaps(2, missing=0)
    assert np.isnan(score(prediction, truth, np.ones((6, 40), bool))).all()


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from(DISTANCES))
def test_the_truth_discriminates_and_orders_do_not_matter(seed, distance):
    truth, prediction = with_gaps(2, seed)
    np.testing.assert_array_equal(score(truth, truth, distance=distance), 1)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(6), rng.permutation(40)
    here = score(prediction, truth, distance=distance)
    assert ((here >= 0) & (here <= 1)).all()
    there = score(prediction[rows][:, columns], truth[rows][:, columns], distance=distance)
    np.testing.assert_allclose(there, here[rows], atol=1e-6)
    if distance is cosine:
        np.testing.assert_allclose(score(3 * prediction, truth, distance=cosine), here, atol=1e-6)


def test_at_random_the_scores_are_uniform():
    truth, prediction = (array.reshape(40, 6, 40) for array in with_gaps(2, missing=0, profiles=240))
    scores = np.concatenate([score(*both) for both in zip(prediction, truth)])
    assert scores.mean() == pytest.approx(0.5, abs=0.06)
    assert scipy.stats.chisquare(np.bincount((scores * 5).round().astype(int), minlength=6)).pvalue > 0.001


@pytest.mark.parametrize('distance', DISTANCES)
def test_groups_are_apart_whatever_their_sizes(distance):
    truth, prediction = with_gaps(2, profiles=10)
    left_out = np.random.default_rng(0).random(truth.shape) < 0.1
    group = np.array([0, 1, 0, 2, 1, 0, 0, 1, 0, 0])  # of six, three and one
    found = discriminate(prediction, truth, left_out, group, distance)
    for each in (0, 1):
        rows = group == each
        np.testing.assert_allclose(
            found[rows], discriminated(prediction[rows], truth[rows], left_out[rows], distance), atol=1e-6
        )
    assert np.isnan(found[group == 2]).all()  # there is no other to be told from


def test_perturbed_readouts_by_hand():
    names = ['CRISPRi_STAT1', 'STAT1+CRISPR-KO_IRF1', 'Compound_x-1uM', 'TP53']
    found = perturbed_readouts(names, ['IRF1', 'ACTB', 'STAT1'])
    np.testing.assert_array_equal(found, [[0, 0, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize('distance', DISTANCES)
def test_memory_is_bounded(distance):
    # All differences at once, 600 x 600 x 1,000, would take 2.9 GB.
    profiles = np.random.default_rng(0).normal(size=(600, 1000))
    profiles[0, 0] = NAN
    tracemalloc.start()
    discrimination(profiles, profiles, np.zeros(1000, bool), distance)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
