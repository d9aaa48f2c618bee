"""Interactions with known truth, and rankings against brute force."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.evaluation.interactions import (
    CLASSES,
    UNKNOWN,
    classify,
    expected_interaction,
    interactions,
    rank,
    rank_by_split,
)

NAN = np.nan
CALLED, NOT = 0.05, 0.06


def planted(doubles=40, readouts=100, seed=0):
    """Truth, additive and control of doubles of which 5% of the values interact, and which do."""
    rng = np.random.default_rng(seed)
    control = rng.uniform(0, 4, readouts)
    additive = control + rng.normal(0, 1, (doubles, readouts))
    real = rng.random(additive.shape) < 0.05
    interaction = np.where(real, rng.choice([-1, 1], additive.shape) * rng.normal(1.5, 0.2, additive.shape), 0)
    return additive + interaction + rng.normal(0, 0.1, additive.shape), additive, control, real


def test_planted_interactions_are_called():
    truth, additive, control, real = planted()
    found = interactions(truth, additive, control)
    np.testing.assert_allclose(found.value, truth - additive)
    assert found.null.sigma == pytest.approx(0.1, abs=0.015)
    assert found.null.p0 == pytest.approx(0.95, abs=0.03)
    assert found.called[real].mean() > 0.95
    assert real[found.called].mean() > 0.95
    np.testing.assert_array_equal(found.called, found.fdr <= 0.05)
    assert set(found.kind[found.called]) == {'buffering', 'synergistic', 'opposite'}


def test_what_was_not_measured_is_neither_called_nor_ranked():
    truth, additive, control, real = planted()
    truth[3], additive[:, 5] = NAN, NAN
    found = interactions(truth, additive, control)
    missing = np.isnan(truth) | np.isnan(additive)
    np.testing.assert_array_equal(np.isnan(found.fdr), missing)
    np.testing.assert_array_equal(found.kind == UNKNOWN, missing)
    assert not found.called[missing].any()
    prediction = np.where(real, additive + 1, additive)
    prediction[7] = NAN
    ranking = rank(found.fdr, expected_interaction(prediction, additive, control))
    assert ranking.ranked == 38 * 99
    assert ranking.positives == np.delete(found.called, 7, axis=0).sum()


def test_values_without_a_null_are_told():
    with pytest.raises(InputError, match='empirical null: 6 of 6 values'):
        interactions(np.ones((2, 3)), np.zeros((2, 3)), np.zeros(3))


def test_classes_by_hand():
    cases = [  # delta of the combination, expected delta, class; sigma is 0.5
        (1, 2, 'buffering'),
        (-1, -2, 'buffering'),
        (0.1, 2, 'buffering'),
        (-0.1, 2, 'buffering'),  # masked whole; the sign is noise
        (3, 2, 'synergistic'),
        (-3, -2, 'synergistic'),
        (2, 0, 'synergistic'),
        (-2, 0.1, 'synergistic'),  # nothing was expected; the sign is noise
        (1, -2, 'opposite'),
        (-3, 2, 'opposite'),
        (0.4, -0.4, 'other'),
        (0.5, 0.2, 'other'),
        (2, 2, 'other'),
        (NAN, 2, UNKNOWN),
        (2, NAN, UNKNOWN),
    ]
    delta, expected, kinds = zip(*cases)
    control = np.linspace(0, 8, len(cases))
    found = classify(control + delta, control + expected, control, 0.5)
    assert list(found) == list(kinds)
    assert list(classify(control + delta, control + expected, np.full(len(cases), NAN), 0.5)) == [UNKNOWN] * len(cases)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0, 1), st.floats(-5, 5))
@settings(max_examples=50)
def test_classes_know_no_direction(delta, expected, sigma, control):
    one, mirrored = (
        classify(*(np.array([sign * each]) for each in (control + delta, control + expected, control)), sigma)[0]
        for sign in (1, -1)
    )
    assert one == mirrored
    assert one in CLASSES


def test_rounding_is_no_expected_interaction():
    above = np.nextafter(np.float32(3), np.float32(4))
    additive = np.array([3, 0, 3, 3, 0, NAN, 1], np.float32)
    prediction = np.array([above, above - 3, 3.5, 2.5, 0.25, 1, NAN], np.float32)
    found = expected_interaction(prediction, additive, np.float32(3))
    np.testing.assert_array_equal(found, [0, 0, 0.5, 0.5, 0.25, NAN, NAN])


def test_ranking_by_hand():
    fdr = np.array([[CALLED, NOT, CALLED], [NOT, CALLED, 0.9]])
    score = np.array([[4.0, 3.0, 2.0], [2.0, NAN, 1.0]])
    found = rank(fdr, score)  # 4: called; 3: not; 2: one of each; 1: not
    np.testing.assert_allclose(found.true_positive_rate, [1 / 2, 1 / 2, 1, 1])
    np.testing.assert_allclose(found.false_discovery_proportion, [0, 1 / 2, 1 / 2, 3 / 5])
    assert found.auprc == pytest.approx(1 / 2 * 1 + 1 / 2 * 1 / 2)
    assert found.auroc == pytest.approx((3 + 1 + 1 / 2) / 6)
    assert (found.positives, found.ranked) == (2, 5)


def test_a_perfect_and_a_reversed_ranking():
    fdr = np.array([CALLED, CALLED, NOT, NOT, NOT])
    best, worst = (rank(fdr, sign * np.array([5.0, 4, 3, 2, 1])) for sign in (1, -1))
    assert (best.auprc, best.auroc) == (1, 1)
    assert worst.auroc == 0
    assert worst.auprc == pytest.approx(1 / 2 * 1 / 4 + 1 / 2 * 2 / 5)


def test_an_additive_model_ranks_by_chance():
    truth, additive, control, _ = planted()
    found = interactions(truth, additive, control)
    again = np.float32(control) + np.float32(additive - control)
    ranking = rank(found.fdr, expected_interaction(again, additive, control))
    assert ranking.auroc == 0.5
    assert ranking.auprc == pytest.approx(ranking.positives / ranking.ranked)
    np.testing.assert_array_equal(ranking.true_positive_rate, [1])


def test_a_model_that_knows_ranks_best():
    truth, additive, control, _ = planted()
    found = interactions(truth, additive, control)
    no_change = np.broadcast_to(control, truth.shape)
    knows, nothing = (rank(found.fdr, expected_interaction(guess, additive, control)) for guess in (truth, no_change))
    assert knows.auprc > 0.99
    assert nothing.auprc < 0.5


@pytest.mark.parametrize('rate', [CALLED, NOT])
def test_one_kind_of_value_leaves_nothing_to_tell_apart(rate):
    found = rank(np.full(3, rate), np.array([1.0, 2.0, 2.0]))
    assert np.isnan(found.auroc)
    assert found.auprc == 1 if rate == CALLED else np.isnan(found.auprc)
    assert np.isnan(found.true_positive_rate).all() == (rate == NOT)


def test_nothing_to_rank():
    found = rank(np.full((2, 2), NAN), np.ones((2, 2)))
    assert found.ranked == 0
    assert np.isnan([found.auprc, found.auroc]).all()
    assert len(found.true_positive_rate) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=25))
@settings(max_examples=50)
def test_ranking_is_brute_force(pairs):
    called, score = (np.array(each) for each in zip(*pairs))
    if called.all() or not called.any():
        return
    found = rank(np.where(called, CALLED, NOT), score.astype(float))
    wins = [(p > n) + (p == n) / 2 for p, n in itertools.product(score[called], score[~called])]
    assert found.auroc == pytest.approx(np.mean(wins))
    levels = sorted(set(score), reverse=True)
    recall = [called[score >= level].sum() / called.sum() for level in levels]
    precision = [called[score >= level].mean() for level in levels]
    steps = np.diff([0, *recall])
    assert found.auprc == pytest.approx(sum(steps * precision))
    np.testing.assert_allclose(found.true_positive_rate, recall)
    np.testing.assert_allclose(found.false_discovery_proportion, 1 - np.array(precision))


def test_splits_are_ranked_apart():
    fdr = np.array([[CALLED, NOT], [CALLED, NOT], [CALLED, NOT]])
    score = np.array([[2.0, 1], [1, 2], [2, 1]])
    found = rank_by_split(fdr, score, np.array([7, 3, 7]))
    assert {split: ranking.auroc for split, ranking in found.items()} == {3: 0, 7: 1}
    assert {split: ranking.ranked for split, ranking in found.items()} == {3: 2, 7: 4}


def test_growth_of_norman_doubles_is_mostly_buffered(shared):
    folder = shared / 'norman_2019_fitness'
    double = pd.read_csv(folder / 'double_fitness.csv', index_col=0)
    single = pd.read_csv(folder / 'single_fitness.csv', index_col=0)['average_fitness'].reindex(double.index).to_numpy()
    one, other = np.triu_indices(len(double), 1)
    truth, additive = double.to_numpy()[one, other], single[one] + single[other]
    found = interactions(truth[:, None], additive[:, None], np.zeros(1))
    assert abs(found.null.delta) < found.null.sigma < found.value.std()
    assert 0.7 < found.null.p0 < 1
    assert 0.02 < found.called.mean() < 0.25
    assert (found.kind[found.called] == 'buffering').mean() > 0.5
