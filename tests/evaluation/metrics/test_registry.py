"""The registry: every metric's direction, range and invariances, from the metrics' functions as they are named."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions_for_tests import with_gaps

from perturbjax.errors import InputError
from perturbjax.evaluation.metrics import ALL_METRICS, METRICS, MORE_METRICS, Comparison, check_metrics
from perturbjax.evaluation.metrics.pooling import moments, pooled

OF_PROFILE = {name: metric for name, metric in ALL_METRICS.items() if metric.over != 'perturbations'}


@jax.jit
def measure(comparison):
    return {name: metric.function(comparison) for name, metric in OF_PROFILE.items()}


def comparison(seed=0, missing=0.2):
    """Profiles along two axes, `[2, 3, 40]`."""
    truth, prediction, control, mean, weight, p_value, statistic = (
        array.reshape(2, 3, 40) for array in with_gaps(7, seed, missing)
    )
    return Comparison(
        truth, prediction, control, mean, control, np.abs(weight), np.exp(-5 * np.abs(p_value)), statistic
    )


def test_every_metric_is_described():
    for metric in ALL_METRICS.values():
        assert metric.definition.endswith('.')
        assert metric.source
        assert metric.perfect == (0 if metric.lower_is_better else 1)
        assert metric.over in ('profiles', 'values', 'perturbations')
    undefined = {name for name, metric in ALL_METRICS.items() if metric.chance is not None}
    of_changes = {'pearson_delta', 'pearson_delta_perturbed_mean', 'de_spearman'}
    assert undefined == {'pearson', 'pearson_top20', *of_changes}


def test_every_run_computes_what_it_did():
    assert list(METRICS) == [
        'l2', 'rmse', 'mse', 'mae', 'r2', 'pearson', 'pearson_delta', 'pearson_delta_perturbed_mean', 'weighted_mse',
        'weighted_r2_delta', 'pds_l1', 'pds_l2', 'pds_cosine', 'des',
    ]  # fmt: skip
    assert not METRICS.keys() & MORE_METRICS.keys()


@pytest.mark.parametrize(
    ('names', 'words'),
    [((), 'at least one'), ('l2', 'names'), (('l2', 'l2'), 'each once'), (('l2', 'de_roc'), 'de_roc_auc')],
)
def test_a_choice_that_is_none(names, words):
    check_metrics(('l2', 'mse_top20'))
    with pytest.raises(InputError, match=f'^evaluation.metrics: .*{words}'):
        check_metrics(names)


def test_metrics_over_all_values_are_the_pooled_ones():
    given = comparison(missing=0)
    found = pooled(moments(given.truth, given.prediction))
    assert {name for name, metric in METRICS.items() if metric.over == 'values'} == set(found)
    single = measure(given)
    for name, value in found.items():
        np.testing.assert_allclose(single[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize('missing', [0, 0.2])
def test_the_truth_is_perfect_and_stays_in_the_range(missing):
    given = comparison(missing=missing)
    # Where the truth is the prediction, the readouts that respond must be those that it moves most.
    size = np.abs(given.truth - given.control)
    given = given._replace(p_value=np.where(size > np.nanmedian(size, axis=-1, keepdims=True), 1e-4, 0.9))
    for name, values in measure(given._replace(prediction=given.truth)).items():
        np.testing.assert_allclose(values, ALL_METRICS[name].perfect, atol=1e-6, err_msg=name)
    low = {'0 or more': 0, 'at most 1': -np.inf, '-1 to 1': -1, '0 to 1': 0}
    for name, values in measure(given).items():
        assert np.isfinite(values).all(), name
        assert (np.asarray(values) >= low[ALL_METRICS[name].range]).all(), name
        assert (np.asarray(values) <= (np.inf if ALL_METRICS[name].lower_is_better else 1)).all(), name
        worse = np.sign(np.asarray(values) - ALL_METRICS[name].perfect)
        np.testing.assert_array_equal(worse, 1 if ALL_METRICS[name].lower_is_better else -1, err_msg=name)


def test_nothing_to_compare_is_nan_everywhere():
    given = comparison()
    for name, values in measure(given._replace(prediction=np.full_like(given.truth, np.nan))).items():
        assert np.isnan(values).all(), name


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(-10, 10))
def test_a_common_constant_changes_no_metric(seed, constant):
    # What `scores` relies on when it takes the mean of all truths from every value.
    here = comparison(seed)
    there = Comparison(*(array + np.float32(constant) for array in here[:4]), *here[4:])
    for (name, one), other in zip(measure(here).items(), measure(there).values()):
        np.testing.assert_allclose(one, other, atol=1e-3, err_msg=name)


def test_leading_axes_are_profiles():
    given, order = comparison(), np.random.default_rng(0).permutation(6)
    moved = measure(Comparison(*(array.reshape(6, 40)[order].reshape(2, 3, 40) for array in given)))
    for name, values in measure(given).items():
        assert values.shape == (2, 3)
        np.testing.assert_allclose(moved[name].ravel(), np.ravel(values)[order], rtol=1e-5, atol=1e-6, err_msg=name)
