"""The summary against plain numpy, explicit resampling and scipy's tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from predictions_for_tests import MODELS, make_predictions

from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.scores import REFERENCE, SHARED, WHOLE, compare
from perturbjax.evaluation.statistics import draw, signed_rank
from perturbjax.evaluation.summary import BASELINES, at_once, best_baselines, clusters_of, estimates, summarise, sums_of

BOOTSTRAP_SAMPLES = 64
INTERVALS = ['value', 'ratio', 'difference', 'baseline_ratio']


@pytest.fixture(scope='module')
def predictions():
    """Those of the other tests with a `mean` without gaps, so that it is the best simple rule by most metrics."""
    predictions = make_predictions()
    predictions.layers['mean'] = predictions.layers['perturbed_mean'].copy()
    return predictions


@pytest.fixture(scope='module')
def compared(predictions):
    return compare(predictions)


@pytest.fixture(scope='module')
def beside(predictions):
    """Beside the other rule."""
    return compare(predictions, 'no_change')


@pytest.fixture(scope='module')
def summary(predictions, compared):
    return summarise(predictions, compared, bootstrap_samples=BOOTSTRAP_SAMPLES).set_index(['model', 'metric'])


def values_of(compared, model, metric, kind):
    return compared.values[:, MODELS.index(model), kind, list(METRICS).index(metric)]


def flat(predictions, *names):
    """The values of all layers wherever none is missing, float64."""
    layers = [predictions.layers[name].astype(float) for name in names]
    seen = ~np.isnan(sum(layers))
    return [layer[seen] for layer in layers]


def with_ends(name):
    return [name, *(('low', 'high') if name == 'value' else (f'{name}_low', f'{name}_high'))]


def test_columns(summary):
    table = summary.reset_index()
    expected = ['model', 'metric', *with_ends('value'), *with_ends('ratio'), 'perturbations', 'coverage', 'splits']
    assert list(table) == [*expected, 'baseline', *with_ends('difference'), *with_ends('baseline_ratio'), 'p_value']
    assert list(table['model'].unique()) == MODELS
    assert list(table['metric'].unique()) == list(METRICS)
    assert (table['splits'] == 2).all()


def test_single_profiles_are_averaged(compared, summary):
    for name, metric in METRICS.items():
        for model in MODELS[:-1]:
            if metric.over != 'values':
                expected = pd.Series(values_of(compared, model, name, WHOLE)).mean()
                assert summary.loc[(model, name), 'value'] == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_values_are_pooled(predictions, summary):
    for model in MODELS[:-1]:
        y, p = flat(predictions, 'truth', model)
        expected = {
            'rmse': np.sqrt(((y - p) ** 2).mean()),
            'mse': ((y - p) ** 2).mean(),
            'mae': np.abs(y - p).mean(),
            'r2': 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum(),
            'pearson': np.corrcoef(y, p)[0, 1],
        }
        assert set(expected) == {name for name, metric in METRICS.items() if metric.over == 'values'}
        for metric, value in expected.items():
            assert summary.loc[(model, metric), 'value'] == pytest.approx(value, abs=1e-4)
        coverage = len(y) / (~np.isnan(predictions.layers['truth'])).sum()
        assert summary.loc[(model, 'rmse'), 'coverage'] == pytest.approx(coverage)


def test_ratio_is_over_what_both_predict(predictions, compared, summary):
    for model in MODELS[:-1]:
        y, p, reference = flat(predictions, 'truth', model, 'mean')
        expected = np.sqrt(((y - p) ** 2).mean() / ((y - reference) ** 2).mean())
        assert summary.loc[(model, 'rmse'), 'ratio'] == pytest.approx(expected, rel=1e-4)
        own, of_mean = (np.nanmean(values_of(compared, model, 'l2', kind)) for kind in (SHARED, REFERENCE))
        assert summary.loc[(model, 'l2'), 'ratio'] == pytest.approx(own / of_mean, rel=1e-4)
    higher = [name for name, metric in METRICS.items() if not metric.lower_is_better]
    ratios = [*with_ends('ratio'), *with_ends('baseline_ratio')]
    assert summary.loc[(slice(None), higher), ratios].isna().all(axis=None)
    # Half way from the mean to the truth: half the error, exactly, in every replicate.
    np.testing.assert_allclose(summary.loc[('lpm', 'rmse'), with_ends('ratio')].astype(float), 0.5, rtol=1e-4)
    np.testing.assert_allclose(summary.loc[('mean', 'l2'), with_ends('ratio')].astype(float), 1)


def test_the_baseline_is_the_best_simple_rule(summary):
    by_metric = summary['baseline'].groupby('metric').unique()
    assert (by_metric.str.len() == 1).all()
    baseline = by_metric.str[0]
    for metric in METRICS:
        values = {name: summary.loc[(name, metric), 'value'] for name in ('mean', 'no_change')}
        known = {name: value for name, value in values.items() if not np.isnan(value)}
        best = min if METRICS[metric].lower_is_better else max
        assert baseline[metric] == (best(known, key=known.get) if known else '')
    assert {'mean', 'no_change'} <= set(baseline)


def test_differences_are_from_the_best_simple_rule(predictions, compared, beside, summary):
    for metric, definition in METRICS.items():
        baseline = summary.loc[('linear', metric), 'baseline']
        against = {'mean': compared, 'no_change': beside}.get(baseline)
        if definition.over != 'values' and against is not None:
            for model in ('linear', 'lpm'):
                own, of_rule = (values_of(against, model, metric, kind) for kind in (SHARED, REFERENCE))
                both = ~np.isnan(own + of_rule)
                found = summary.loc[(model, metric)]
                assert found['difference'] == pytest.approx((own - of_rule)[both].mean(), abs=1e-4)
                if definition.lower_is_better:
                    assert found['baseline_ratio'] == pytest.approx(own[both].mean() / of_rule[both].mean(), rel=1e-4)
            assert summary.loc[(baseline, metric), 'difference'] == 0
    for model in ('linear', 'lpm'):
        y, p, rule = flat(predictions, 'truth', model, summary.loc[(model, 'mae'), 'baseline'])
        expected = np.abs(y - p).mean() - np.abs(y - rule).mean()
        assert summary.loc[(model, 'mae'), 'difference'] == pytest.approx(expected, abs=1e-4)


@functools.partial(jax.jit, static_argnums=0)
def draws(clusters):
    """The weights of the bootstrap with the seed 0."""
    key = jax.random.key(0)
    return jax.vmap(lambda i: draw(jax.random.fold_in(key, i), clusters))(jnp.arange(BOOTSTRAP_SAMPLES))


def resampled(compared, statistic):
    """A statistic of the profiles of (context, perturbation) drawn with replacement, `[BOOTSTRAP_SAMPLES]`."""
    names = (compared.profiles['context'] + compared.profiles['perturbation']).to_numpy()
    members = [np.flatnonzero(names == name) for name in sorted(set(names))]
    drawn_often = np.asarray(draws(len(members))).astype(int)
    return [statistic(np.concatenate([np.tile(*each) for each in zip(members, often)])) for often in drawn_often]


def test_intervals_are_of_clusters_drawn_together(compared, summary):
    own, of_mean = (values_of(compared, 'linear', 'l2', kind) for kind in (SHARED, REFERENCE))
    found = summary.loc[('linear', 'l2')]
    assert found['baseline'] == 'mean'
    statistics = {
        'value': lambda rows: values_of(compared, 'linear', 'l2', WHOLE)[rows].mean(),
        'ratio': lambda rows: own[rows].mean() / of_mean[rows].mean(),
        'difference': lambda rows: (own - of_mean)[rows].mean(),
        'baseline_ratio': lambda rows: own[rows].mean() / of_mean[rows].mean(),
    }
    for name, statistic in statistics.items():
        samples = resampled(compared, statistic)
        ends = found[with_ends(name)[1:]].astype(float)
        np.testing.assert_allclose(ends, np.percentile(samples, [2.5, 97.5]), rtol=1e-4, atol=1e-5, err_msg=name)
    assert found['perturbations'] == clusters_of(compared).max() + 1


def test_pooled_intervals_are_of_clusters_drawn_together(predictions, compared, summary):
    truth, rule, model = (predictions.layers[name].astype(float) for name in ('truth', 'mean', 'linear'))
    seen = ~np.isnan(truth + rule + model)

    def statistic(rows):
        (y, r, p), chosen = (layer[rows] for layer in (truth, rule, model)), seen[rows]
        return [np.sqrt(((y - each)[chosen] ** 2).mean()) for each in (p, r)]

    own, of_mean = np.transpose(resampled(compared, statistic))
    found = summary.loc[('linear', 'rmse')]
    for name, samples in {'ratio': own / of_mean, 'difference': own - of_mean}.items():
        ends = found[with_ends(name)[1:]].astype(float)
        np.testing.assert_allclose(ends, np.percentile(samples, [2.5, 97.5]), rtol=1e-3, atol=1e-5, err_msg=name)


def test_p_values_are_wilcoxons_corrected_by_holm(compared, beside, summary):
    rules = [name for name in MODELS if name in BASELINES]
    assert summary.loc[rules, 'p_value'].isna().all()
    assert summary.loc['silent', 'p_value'].isna().all()
    for metric, name in summary.loc['lpm', 'baseline'].items():
        against = {'mean': compared, 'no_change': beside}.get(name)
        if against is None:
            continue
        p = []
        for model in ('linear', 'lpm'):
            own, of_rule = (values_of(against, model, metric, kind) for kind in (SHARED, REFERENCE))
            means = pd.Series(own - of_rule).groupby(clusters_of(compared)).mean()
            means = means[means.abs() > 1e-6]  # what is left of 0 is rounding
            p.append(signed_rank(means.to_numpy()))
        found = summary.loc[(['linear', 'lpm'], metric), 'p_value']
        least = min(2 * min(p), 1)  # of two tests
        np.testing.assert_allclose(found, [max(each, least) for each in p], rtol=1e-3, err_msg=metric)


def test_a_metric_undefined_for_some_profiles_is_compared_over_the_others(compared):
    # A model without change in half of its profiles: its correlation there is unknown, the baseline's is not.
    position, metric = MODELS.index('lpm'), list(METRICS).index('pearson_delta')
    values = compared.values.copy()
    values[::2, position, [WHOLE, SHARED], metric] = np.nan
    own, of_mean = (values[:, position, kind, metric] for kind in (SHARED, REFERENCE))
    both = ~np.isnan(own + of_mean)
    assert 0 < both.sum() < (~np.isnan(of_mean)).sum()
    statistics = functools.partial(estimates, metrics=compared.metrics)
    found = at_once(statistics, sums_of(compared._replace(values=values)))['difference'][position, metric]
    assert found == pytest.approx((own - of_mean)[both].mean(), abs=1e-5)


def test_a_silent_model_stays(summary):
    silent = summary.loc['silent']
    assert len(silent) == len(METRICS)
    assert (silent[['coverage', 'perturbations']] == 0).all(axis=None)
    assert silent[[column for name in INTERVALS for column in with_ends(name)]].isna().all(axis=None)


def test_rules_with_gaps_are_no_baselines(summary):
    table = summary.reset_index()
    assert best_baselines(table)['rmse'] == 'mean'
    gaps = table.assign(coverage=table['coverage'].where(table['model'] != 'mean', 0.98))
    assert best_baselines(gaps)['rmse'] == 'no_change'
    assert 'pearson_delta' not in best_baselines(gaps)  # of no change there is no correlation
    assert best_baselines(table.assign(coverage=0.5)) == {}
