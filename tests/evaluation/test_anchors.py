"""The common scale: its ends, values by hand, and when it is not known."""

import numpy as np
import pytest
from predictions_for_tests import make_replicated, without_replicates

from perturbjax.evaluation.anchors import PERFECT, REPEAT
from perturbjax.evaluation.results import judge

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")


def scored(predictions):
    return judge(predictions, bootstrap_samples=64).summary.set_index(['model', 'metric'])


@pytest.fixture(scope='module')
def replicated():
    """Models: the other half of the rows itself, the mean of the context, and half-way between."""
    predictions = make_replicated(effect=3, noise=0.3)
    second, mean = predictions.layers['second_half'], predictions.layers['perturbed_mean']
    for name, layer in {'twin': second.copy(), 'mean': mean.copy(), 'between': (second + mean) / 2}.items():
        predictions.layers[name] = layer
    predictions.layers['gaps'] = np.where(np.arange(len(second))[:, None] % 2, second, np.nan)
    predictions.uns['models'] = ['mean', 'twin', 'between', 'gaps']
    return predictions


@pytest.fixture(scope='module')
def table(replicated):
    return scored(replicated)


def test_the_mean_of_the_context_is_0_and_the_other_half_is_1(table):
    assert (table['anchor'] == REPEAT).all()
    for name in ('anchored', 'anchored_low', 'anchored_high'):
        np.testing.assert_allclose(table.loc['twin', name].dropna(), 1, atol=1e-5)
        np.testing.assert_allclose(table.loc['mean', name].dropna(), 0, atol=1e-5)
    assert table.loc['twin', 'anchored'].notna().sum() > 8
    inside = table.loc['between'].loc[['l2', 'mae', 'rmse']]
    assert inside['anchored'].between(0.4, 0.8).all()
    assert (inside['anchored_low'] <= inside['anchored']).all()
    assert (inside['anchored'] <= inside['anchored_high']).all()
    assert table.loc['gaps', 'anchored'].isna().all()


def test_a_value_by_hand(replicated, table):
    first, second, mean = (
        replicated.layers[name].astype(float) for name in ('first_half', 'second_half', 'perturbed_mean')
    )
    u, b, r = (np.abs(first - each).mean(axis=1).mean() for each in ((second + mean) / 2, mean, second))
    assert table.loc[('between', 'mae'), 'anchored'] == pytest.approx((u - b) / (r - b), rel=1e-4)


def test_without_replicates_the_top_is_a_perfect_prediction(replicated):
    alone = without_replicates(replicated)
    truth, mean = (alone.layers[name].astype(float) for name in ('truth', 'perturbed_mean'))
    alone.layers['between'] = ((3 * truth + mean) / 4).astype(np.float32)
    alone.layers['twin'] = alone.layers['truth'].copy()
    table = scored(alone)
    assert (table['anchor'] == PERFECT).all()
    np.testing.assert_allclose(table.loc['twin', 'anchored'].dropna(), 1, atol=1e-5)
    np.testing.assert_allclose(table.loc[('between', ['l2', 'mae', 'rmse']), 'anchored'], 0.75, atol=1e-5)
    assert table.loc[('between', 'mse'), 'anchored'] == pytest.approx(1 - 1 / 16, abs=1e-5)


def test_where_no_metric_is_calibrated_nothing_is_on_the_scale():
    table = scored(make_replicated(effect=0))
    assert table['anchored'].isna().all()


def test_the_verdict_says_how_far_a_model_gets(replicated):
    sentences = judge(replicated, bootstrap_samples=64).verdict
    (of_twin,) = (each for each in sentences if each.startswith('twin '))
    assert 'By l2 it goes 1.00 (95% 1.00 to 1.00) of the way from the mean of the context to a repeat' in of_twin
    (of_gaps,) = (each for each in sentences if each.startswith('gaps '))
    assert 'of the way' not in of_gaps
