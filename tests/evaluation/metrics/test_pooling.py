"""Metrics over all values against numpy and scipy on all of them at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from predictions_for_tests import with_gaps

from perturbjax.evaluation.metrics import pooling
from perturbjax.evaluation.metrics.correlations import r2

NAN = np.nan

# Compiled as they are in use.
moments, pooled = jax.jit(pooling.moments), pooling.pooled


def profiles(*rows):
    return tuple(jnp.array(row, jnp.float32) for row in rows)


def test_moments_by_hand():
    truth, prediction = profiles([1, 2, NAN], [3, 5, 7])
    np.testing.assert_array_equal(moments(truth, prediction), [2, 3, 8, 5, 34, 13, 5, 13])


def test_pooled_by_hand():
    truth, prediction = profiles([[1, 2], [3, 4]], [[1, 2], [3, 8]])
    found = pooled(moments(truth, prediction).sum(axis=0))
    expected = {'rmse': 2, 'mse': 4, 'mae': 1, 'r2': 1 - 16 / 5, 'pearson': 11 / np.sqrt(5 * 29)}
    assert found == {name: pytest.approx(value, rel=1e-6) for name, value in expected.items()}


@pytest.mark.parametrize('offset', [0, 20])
def test_pooled_is_over_all_values(offset):
    truth, prediction = with_gaps(2, offset=offset)
    both = ~np.isnan(truth + prediction)
    y, p = truth[both].astype(float), prediction[both].astype(float)
    found = pooled(moments(truth - offset, prediction - offset).sum(axis=0))
    assert found['rmse'] == pytest.approx(np.sqrt(((y - p) ** 2).mean()), rel=1e-5)
    assert found['mse'] == pytest.approx(((y - p) ** 2).mean(), rel=1e-5)
    assert found['mae'] == pytest.approx(np.abs(y - p).mean(), rel=1e-5)
    assert found['r2'] == pytest.approx(1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-5)
    assert found['pearson'] == pytest.approx(scipy.stats.pearsonr(y, p)[0], abs=1e-5)


def test_pooled_constants_have_no_correlation():
    truth, prediction = profiles([0.1, 0.3, 0.2], [0.7, 0.7, 0.7])
    found = pooled(moments(truth, prediction))
    assert np.isnan(found['pearson'])
    assert found['r2'] == pytest.approx(float(r2(truth, prediction)), rel=1e-5)
    assert np.isnan(pooled(moments(prediction, truth))['r2'])


def test_nothing_to_compare_is_nan():
    (truth,) = with_gaps(1)
    found = pooled(moments(truth, np.full_like(truth, np.nan)).sum(axis=0))
    assert all(np.isnan(value) for value in found.values())
