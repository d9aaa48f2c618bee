"""Scores of made-up predictions, against plain numpy over the same values."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from predictions_for_tests import MODELS, discriminated, make_predictions, without_replicates

from perturbjax.errors import InputError
from perturbjax.evaluation.metrics import ALL_METRICS, METRICS
from perturbjax.evaluation.metrics.discrimination import perturbed_readouts
from perturbjax.evaluation.responders import responders
from perturbjax.evaluation.scores import PROFILE, REFERENCE, SHARED, WHOLE, compare, score

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

OF_PROFILE = [name for name, metric in METRICS.items() if metric.over != 'perturbations']
OF_RESPONDERS = ['weighted_mse', 'weighted_r2_delta', 'des']


@pytest.fixture(scope='module')
def predictions():
    return make_predictions()


@pytest.fixture(scope='module')
def compared(predictions):
    return compare(predictions)


@pytest.fixture(scope='module')
def scores(compared):
    return score(compared)


def plain(name, y, p, control, mean, weight, p_value):
    """A metric of vectors without gaps; NaN where it is undefined."""
    error = y - p
    if len(y) == 0:
        return np.nan
    if name in ('l2', 'rmse', 'mse', 'mae'):
        of_error = {'l2': np.linalg.norm, 'rmse': lambda e: np.sqrt((e**2).mean()), 'mse': lambda e: (e**2).mean()}
        return of_error.get(name, lambda e: np.abs(e).mean())(error)
    if name == 'r2':
        return 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum()
    if name == 'weighted_mse':
        return np.average(error**2, weights=weight)
    if name == 'weighted_r2_delta':
        deviation = y - mean - np.average(y - mean, weights=weight)
        return 1 - (weight * error**2).sum() / (weight * deviation**2).sum()
    if name == 'des':
        return overlap(p - control, p_value)
    reference = {'pearson': 0 * y, 'pearson_delta': control, 'pearson_delta_perturbed_mean': mean}[name]
    x, y = p - reference, y - reference
    return np.corrcoef(x, y)[0, 1] if np.ptp(x) > 1e-5 and np.ptp(y) > 1e-5 else np.nan


def overlap(change, p_value):
    """Of the readouts that respond the share among as many that change most; equal changes share ranks."""
    responds = scipy.stats.false_discovery_control(p_value) <= 0.05
    n = responds.sum()
    if not n:
        return np.nan
    last = np.sort(np.abs(change))[-n]
    above, tied = np.abs(change) > last, np.abs(change) == last
    return (responds[above].sum() + responds[tied].sum() * (n - above.sum()) / tied.sum()) / n


def layer(predictions, name):
    return predictions.layers[name].astype(float)


def seen_by(predictions, *models):
    return ~np.isnan(sum(layer(predictions, name) for name in ('truth', *models)))


def by_hand(predictions, metric, prediction, seen):
    """A metric of every profile over the readouts that are `seen`, `[N]`."""
    known = responders(predictions, layer(predictions, 'truth'), predictions.obs['cells'].to_numpy())[:2]
    arrays = [layer(predictions, name) for name in ('truth', prediction, 'control', 'perturbed_mean')]
    return [plain(metric, *(array[i][seen[i]] for array in (*arrays, *known))) for i in range(len(seen))]


def discriminated_by_hand(predictions, metric, prediction, seen):
    """The same of a metric that needs the other perturbations."""
    scores = np.full(predictions.n_obs, np.nan)
    left_out = perturbed_readouts(predictions.obs['perturbation'], predictions.var_names)
    control = layer(predictions, 'control')
    change = np.where(seen, layer(predictions, prediction), np.nan) - control
    truth = layer(predictions, 'truth') - control
    for rows in predictions.obs.groupby(['screen', 'split', 'context']).indices.values():
        scores[rows] = discriminated(change[rows], truth[rows], left_out[rows], METRICS[metric].function)
    return scores


def test_every_score_against_plain_numpy(predictions, scores):
    assert len(scores) == len(MODELS) * predictions.n_obs * len(METRICS)
    by = dict(iter(scores.groupby(['model', 'metric'])))
    for model in MODELS:
        own, shared = seen_by(predictions, model), seen_by(predictions, model, 'mean')
        for metric in OF_PROFILE:
            value, reference = (by_hand(predictions, metric, *given) for given in ((model, own), ('mean', shared)))
            found = by[model, metric]
            np.testing.assert_allclose(found['value'], value, atol=1e-4, err_msg=f'{model} {metric}')
            np.testing.assert_allclose(found['reference'], reference, atol=1e-4, err_msg=f'{model} {metric}')
    known = scores[scores['model'] != 'silent'].groupby('metric')['value'].count()
    assert (known > 0).all()


@pytest.mark.parametrize('metric', ['pds_l1', 'pds_l2', 'pds_cosine'])
def test_discrimination_against_explicit_ranking(predictions, scores, metric):
    assert perturbed_readouts(predictions.obs['perturbation'], predictions.var_names).any()
    by = dict(iter(scores[scores['metric'] == metric].groupby('model')))
    predicted = {name: ~np.isnan(layer(predictions, name)) for name in MODELS}
    for model in MODELS:
        value = discriminated_by_hand(predictions, metric, model, predicted[model])
        reference = discriminated_by_hand(predictions, metric, 'mean', predicted[model] & predicted['mean'])
        np.testing.assert_allclose(by[model]['value'], value, atol=1e-5, err_msg=model)
        np.testing.assert_allclose(by[model]['reference'], reference, atol=1e-5, err_msg=model)


def test_discrimination_is_over_the_same_readouts_also_where_the_own_truth_is_missing(predictions):
    # `lpm` then lacks what was not measured and nothing else; the baseline has it, and other truths do.
    complete = predictions.copy()
    complete.layers['mean'] = complete.layers['perturbed_mean'].copy()
    complete.layers['lpm'] = (complete.layers['truth'] + complete.layers['mean']) / 2
    compared = compare(complete)
    predicted = ~np.isnan(complete.layers['lpm'])
    for metric in ('pds_l1', 'pds_l2', 'pds_cosine'):
        found = compared.values[:, MODELS.index('lpm'), :, list(METRICS).index(metric)]
        for kind, model in ((SHARED, 'lpm'), (REFERENCE, 'mean')):
            expected = discriminated_by_hand(complete, metric, model, predicted)
            np.testing.assert_allclose(found[:, kind], expected, atol=1e-5)


def test_any_rule_may_be_the_baseline(predictions, compared):
    other = compare(predictions, 'no_change')
    np.testing.assert_array_equal(other.values[:, :, WHOLE], compared.values[:, :, WHOLE])
    for model in ('linear', 'lpm'):
        shared = seen_by(predictions, model, 'no_change')
        for metric in ('l2', 'weighted_r2_delta', 'des'):
            found = other.values[:, MODELS.index(model), REFERENCE, list(METRICS).index(metric)]
            np.testing.assert_allclose(found, by_hand(predictions, metric, 'no_change', shared), atol=1e-4)


def test_a_config_may_choose_other_metrics(predictions, compared):
    chosen = ('de_roc_auc', 'pds_l2', 'mse_top20', 'l2')
    found = compare(predictions, metrics=chosen)
    assert found.metrics == chosen
    for metric in ('pds_l2', 'l2'):
        here, there = found.metrics.index(metric), compared.metrics.index(metric)
        np.testing.assert_array_equal(found.values[..., here], compared.values[..., there])
    other = compare(predictions, 'no_change', known=found)
    np.testing.assert_array_equal(other.values, compare(predictions, 'no_change', metrics=chosen).values)
    truth, lpm = layer(predictions, 'truth'), layer(predictions, 'lpm')
    strength = np.abs(responders(predictions, truth, predictions.obs['cells'].to_numpy(), True).statistic)
    is_strong = strength >= np.sort(np.nan_to_num(strength))[:, [-20]]
    error = np.where(is_strong, (truth - lpm) ** 2, np.nan)
    shown = ~np.isnan(error).all(axis=1)
    found = found.values[:, MODELS.index('lpm'), WHOLE, 2]
    np.testing.assert_allclose(found[shown], np.nanmean(error[shown], axis=1), rtol=1e-4)
    assert np.isnan(found[~shown]).all()


@pytest.mark.parametrize('metric', ALL_METRICS)
def test_every_metric_can_be_the_only_one(predictions, metric):
    scores = score(compare(predictions, metrics=(metric,)))
    assert set(scores['metric']) == {metric}
    old = score(compare(without_replicates(predictions), metrics=(metric,)))
    assert len(old) == (0 if ALL_METRICS[metric].needs else len(scores))


def test_scores_say_what_they_are_of(predictions, scores):
    assert list(scores) == ['model', *PROFILE, 'metric', 'value', 'reference', 'coverage', 'readouts']
    one = scores[(scores['model'] == 'linear') & (scores['metric'] == 'rmse')].reset_index(drop=True)
    for name in PROFILE:
        assert list(one[name]) == list(predictions.obs[name])
    measured = (~np.isnan(predictions.layers['truth'])).sum(axis=1)
    assert list(one['readouts']) == list(measured)
    np.testing.assert_allclose(one['coverage'], seen_by(predictions, 'linear').sum(axis=1) / measured)


def test_a_silent_model_stays(scores):
    silent = scores[scores['model'] == 'silent']
    assert silent['value'].isna().all()
    assert (silent['coverage'] == 0).all()


def test_without_replicates_all_is_known_but_what_needs_them(predictions, scores):
    found = score(compare(without_replicates(predictions)))
    assert not found['metric'].isin(OF_RESPONDERS).any()
    known = scores[~scores['metric'].isin(OF_RESPONDERS)]
    pd.testing.assert_frame_equal(found, known.reset_index(drop=True))


def test_the_scale_decides_how_l2_is_ranked(predictions):
    # A readout without control has no rank; where control gives no level, nothing is ranked.
    gap = predictions.copy()
    gap.layers['control'][:, [5, 15]] = np.nan
    found = score(compare(gap)).query("metric == 'l2' and model == 'lpm'")['value']
    seen = seen_by(predictions, 'lpm')
    has_level = (predictions.obs['screen'] == 'transcripts').to_numpy()
    ranked = np.where(has_level[:, None], seen & ~np.isnan(gap.layers['control']), seen)
    np.testing.assert_allclose(found, by_hand(predictions, 'l2', 'lpm', ranked), rtol=1e-5)
    assert (ranked != seen).any()


def test_predictions_read_back_from_a_file_score_the_same(predictions, scores, tmp_path):
    predictions.write_h5ad(tmp_path / 'predictions.h5ad')
    found = score(compare(anndata.read_h5ad(tmp_path / 'predictions.h5ad')))
    pd.testing.assert_frame_equal(found, scores, check_dtype=False, check_categorical=False)


CASES = {
    'needs the truth layer; predictions without truth can only be written': lambda p: p.layers.pop('truth'),
    'every value of the truth layer': lambda p: p.layers.update(truth=np.full(p.shape, np.nan)),
    'control': lambda p: p.layers.pop('control'),
    "'lpm'": lambda p: p.layers.pop('lpm'),
    'mean among the models': lambda p: p.uns.update(models=['lpm']),
    "'scale'": lambda p: p.uns.pop('scale'),
    "'proteins'": lambda p: p.uns.update(scale={'transcripts': 'log1p'}),
    "'split'": lambda p: p.obs.pop('split'),
}


@pytest.mark.parametrize('message', CASES)
def test_what_is_missing_is_named(predictions, message):
    broken = predictions.copy()
    CASES[message](broken)
    with pytest.raises(InputError, match=message):
        compare(broken)
