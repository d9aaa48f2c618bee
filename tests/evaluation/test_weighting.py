"""Weighted scores: what they are by hand, what they leave as it is, and where they say so."""

import functools

import numpy as np
import pytest
from predictions_for_tests import MODELS, make_predictions

from perturbjax.errors import InputError
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.results import judge
from perturbjax.evaluation.scores import SHARED, WHOLE, compare, score
from perturbjax.evaluation.summary import summarise
from perturbjax.evaluation.tables import summary_table
from perturbjax.evaluation.weighting import add_weights, note_on_weights, weights_of

SAMPLES = 40


@functools.cache
def predictions(rule=''):
    made = make_predictions()
    made.layers['mean'] = made.layers['perturbed_mean'].copy()
    add_weights(made, rule)
    return made


def table_of(rule=''):
    found = summarise(predictions(rule), compare(predictions(rule)), bootstrap_samples=SAMPLES)
    return found.set_index(['model', 'metric'])


@pytest.mark.parametrize('rule', ['cells', 'replicates', 'on_target'])
def test_each_screen_has_the_mean_weight_1(rule):
    made = predictions(rule)
    for name in ('transcripts', 'proteins'):
        weight = weights_of(made)[made.obs['screen'] == name]
        np.testing.assert_allclose(weight.mean(), 1)
        assert weight.std() > 0.01 or (rule, name) == ('on_target', 'proteins')  # which has no target


def test_numbers_are_weighted_means_and_p_values_are_not():
    plain, found, compared = table_of(), table_of('replicates'), compare(predictions('replicates'))
    weight, metrics = weights_of(predictions('replicates')), list(METRICS)
    for model in ('no_change', 'linear', 'lpm'):
        values = compared.values[:, MODELS.index(model), :, metrics.index('l2')]
        known = ~np.isnan(values[:, WHOLE])
        expected = np.average(values[known, WHOLE], weights=weight[known])
        np.testing.assert_allclose(found.loc[(model, 'l2'), 'value'], expected, rtol=1e-6)
        shared = ~np.isnan(values).any(axis=1)
        ratio = (weight[shared] @ values[shared, SHARED]) / (weight[shared] @ values[shared, 2])
        np.testing.assert_allclose(found.loc[(model, 'l2'), 'ratio'], ratio, rtol=1e-6)
        assert found.loc[(model, 'l2'), 'low'] < expected < found.loc[(model, 'l2'), 'high']
    alike = plain['baseline'] == found['baseline']
    for column in ('p_value', 'perturbations', 'coverage', 'splits'):
        np.testing.assert_array_equal(found[alike][column], plain[alike][column])


def test_a_metric_over_all_values_counts_the_values_of_a_profile_by_its_weight():
    made = predictions('cells')
    squares = (made.layers['no_change'] - made.layers['truth']).astype(float) ** 2
    weight = np.broadcast_to(weights_of(made)[:, None], squares.shape)
    known = ~np.isnan(squares)
    expected = np.sqrt(np.average(squares[known], weights=weight[known]))
    np.testing.assert_allclose(table_of('cells').loc[('no_change', 'rmse'), 'value'], expected, rtol=1e-5)


def test_scores_of_profiles_stay_and_say_their_weight():
    plain, found = score(compare(predictions())), score(compare(predictions('cells')))
    assert [*found.columns] == [*plain.columns, 'weight']
    np.testing.assert_array_equal(found['value'], plain['value'])
    first = found.drop_duplicates(['split', 'screen', 'context', 'perturbation'])
    assert sorted(first['weight']) == sorted(weights_of(predictions('cells')))


def test_weights_are_told_wherever_scores_are():
    made = make_predictions()
    add_weights(made, 'cells')
    results = judge(made, bootstrap_samples=SAMPLES)
    assert results.notes[0].startswith('Scores are weighted by cells: values, ratios')
    assert set(results.summary['weighted_by']) == {'cells'}
    assert summary_table(results.summary).endswith('\nProfiles count by their weights (cells).')


def test_without_a_rule_nothing_is_said_or_weighed():
    made = predictions()
    assert weights_of(made) is None
    assert note_on_weights(made) == []
    assert 'weighted_by' not in table_of()
    assert 'weight' not in made.obs


def test_predictions_that_say_nothing_of_rows_cannot_be_weighed_by_them():
    made = make_predictions()
    made.obs['cells'] = 1
    with pytest.raises(InputError, match=r"proteins: weights.scores='cells' needs the number of rows"):
        add_weights(made, 'cells')
    assert 'weight' not in made.obs
