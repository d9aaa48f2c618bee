"""Metrics of the responding readouts, against scipy over explicit subsets."""

import jax
import numpy as np
import pytest
import scipy.stats
from predictions_for_tests import with_gaps

from perturbjax.evaluation.metrics import direction

NAN = np.nan
FUNCTIONS = (direction.de_direction_match, direction.de_spearman, direction.de_roc_auc, direction.de_pr_auc)
# Compiled as they are in use.
match, spearman, roc, pr = map(jax.jit, FUNCTIONS)


def test_by_hand():
    p = np.array([0.001, 0.9, 0.002, 0.003, 0.8])  # readouts 0, 2 and 3 respond
    control = np.full(5, 5.0)
    truth, prediction = np.array([7, 5, 6, 1, 5.0]), np.array([8, 3, 5, 4.5, 5.2])
    assert match(truth, prediction, control, p) == pytest.approx(2 / 3)  # no change is no direction
    assert spearman(truth, prediction, control, p) == pytest.approx(1)
    assert spearman(truth, 10 - prediction, control, p) == pytest.approx(-1)
    # The sizes are 3, 2, 0, 0.5, 0.2: the first readout is above both others,
    # the fourth above one, the third above none.
    assert roc(truth, prediction, control, p) == pytest.approx((2 + 0 + 1) / 6)
    assert pr(truth, prediction, control, p) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_without_change():
    p, control = np.array([0.001, 0.9, 0.002, 0.003, 0.8]), np.full(5, 5.0)
    truth = control + np.arange(1, 6)
    assert match(truth, control, control, p) == pytest.approx(0)
    assert np.isnan(spearman(truth, control, control, p))
    assert roc(truth, control, control, p) == pytest.approx(0.5)
    assert pr(truth, control, control, p) == pytest.approx(3 / 5)


@pytest.mark.parametrize('function', [match, spearman, roc, pr])
def test_nothing_responds_or_is_known(function):
    truth = np.arange(5.0)
    for p in (np.full(5, 0.9), np.full(5, NAN)):
        assert np.isnan(function(truth, truth, 0 * truth, p))
    assert np.isnan(function(truth, NAN * truth, 0 * truth, np.full(5, 1e-4)))


@pytest.mark.parametrize('seed', range(3))
def test_against_scipy(seed):
    truth, prediction, control, p = with_gaps(4, seed, readouts=100)
    p = np.exp(-8 * np.abs(p))
    found = [np.asarray(function(truth, prediction, control, p)) for function in (match, spearman, roc)]
    for i in range(len(truth)):
        seen = ~np.isnan(truth + prediction + control + p)[i]
        change, predicted = (truth - control)[i][seen], (prediction - control)[i][seen]
        responds = scipy.stats.false_discovery_control(p[i][seen]) <= 0.05
        assert responds.sum() > 2
        assert found[0][i] == pytest.approx(np.mean(change[responds] * predicted[responds] > 0))
        assert found[1][i] == pytest.approx(scipy.stats.spearmanr(change[responds], predicted[responds])[0], abs=1e-6)
        wins = scipy.stats.mannwhitneyu(np.abs(predicted[responds]), np.abs(predicted[~responds])).statistic
        assert found[2][i] == pytest.approx(wins / (responds.sum() * (~responds).sum()), abs=1e-6)
