"""Metrics over the readouts that respond most strongly, against sorting."""

import jax
import numpy as np
import pytest
from predictions_for_tests import with_gaps

from perturbjax.evaluation.metrics import strongest

NAN = np.nan
mse = jax.jit(strongest.mse_strongest, static_argnames='n')
pearson = jax.jit(strongest.pearson_strongest, static_argnames='n')
opposite = jax.jit(strongest.opposite_strongest, static_argnames='n')


def test_by_hand():
    truth, control = np.array([1.0, 2, 3, 4]), np.array([2.0, 2, 2, 2])
    prediction = np.array([3.0, 0, 2, 5])
    t = np.array([-9.0, NAN, 2, 3])  # the two strongest are the first and the last
    assert mse(truth, prediction, t, n=2) == pytest.approx((4 + 1) / 2)
    assert pearson(truth, prediction, t, n=2) == pytest.approx(1)
    assert opposite(truth, prediction, control, t, n=2) == pytest.approx(1 / 2)
    # Three have a statistic; without change nothing is opposite.
    assert mse(truth, prediction, t) == pytest.approx((4 + 1 + 1) / 3)
    assert opposite(truth, prediction, control, t) == pytest.approx(1 / 3)
    assert opposite(truth, control, control, t) == 0
    # Of equal ones the first, and a readout that was not measured is none of them.
    assert mse(truth, prediction, np.array([1.0, -1, 1, 1]), n=2) == pytest.approx((4 + 4) / 2)
    assert mse(np.array([NAN, 2, 3, 4]), prediction, t, n=2) == pytest.approx((1 + 1) / 2)


def test_not_known():
    truth = np.arange(5.0)
    for t, prediction in ((NAN * truth, truth), (truth, NAN * truth)):
        assert np.isnan(mse(truth, prediction, t))
        assert np.isnan(pearson(truth, prediction, t))
        assert np.isnan(opposite(truth, prediction, 0 * truth, t))
    assert np.isnan(pearson(truth, 0 * truth, truth))


@pytest.mark.parametrize('seed', range(3))
def test_by_sorting(seed):
    truth, prediction, control, t = with_gaps(4, seed)
    found = mse(truth, prediction, t), pearson(truth, prediction, t), opposite(truth, prediction, control, t)
    for i in range(len(truth)):
        strength = np.where(np.isnan(truth + t), -1, np.abs(t))[i]
        chosen = np.argsort(-strength, kind='stable')[:20]
        assert (strength[chosen] >= 0).all()
        both = chosen[~np.isnan(prediction[i][chosen])]
        y, p = truth[i][both], prediction[i][both]
        assert found[0][i] == pytest.approx(np.mean((y - p) ** 2), rel=1e-5)
        assert found[1][i] == pytest.approx(np.corrcoef(y, p)[0, 1], abs=1e-5)
        known = both[~np.isnan(control[i][both])]
        signs = np.sign(truth[i][known] - control[i][known]), np.sign(prediction[i][known] - control[i][known])
        assert found[2][i] == pytest.approx(np.mean(np.abs(signs[0] - signs[1]) == 2), abs=1e-6)
