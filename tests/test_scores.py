"""Scores and summaries of made-up predictions, against plain numpy over the same values."""

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.scores import compare, score, summarise
from perturbjax.evaluation.statistics import draw
from perturbjax.evaluation.tables import best, number, span, summary_table

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

MODELS = ['mean', 'no_change', 'linear', 'lpm', 'silent']
PANELS = {'transcripts': slice(0, 12), 'proteins': slice(9, 20)}


def make_predictions(seed=0):
    """Two screens with overlapping panels of 20 readouts, two splits that share profiles, and models with gaps.

    `linear` lacks some readouts, `lpm` whole profiles, `silent` everything; `mean` lacks one readout that others have.
    """
    rng = np.random.default_rng(seed)
    rows = [
        (screen, context, f'CRISPRi_G{gene}', split)
        for screen in PANELS
        for context in ('K562', 'RPE1')
        for split in (13, 14)
        for gene in rng.choice(8, 5, replace=False)
    ]
    obs = pd.DataFrame(rows, columns=['screen', 'context', 'perturbation', 'split'])
    obs = obs.sample(frac=1, random_state=seed).set_axis([f'profile {i}' for i in range(len(obs))])
    shape = (len(obs), 20)
    panel = np.stack([np.isin(np.arange(20), np.arange(20)[PANELS[screen]]) for screen in obs['screen']])
    control = np.where(obs['context'].to_numpy()[:, None] == 'K562', *rng.normal(2, 1, (2, 1, 20)))
    mean = control + rng.normal(0, 0.3, 20)
    truth = mean + rng.normal(0, 0.5, shape)
    truth[rng.random(shape) < 0.05] = np.nan
    layers = {'truth': truth, 'control': control, 'perturbed_mean': mean, 'mean': mean.copy(), 'no_change': control}
    layers['linear'] = np.where(rng.random(shape) < 0.2, np.nan, mean + rng.normal(0, 0.2, shape))
    layers['lpm'] = np.where((np.arange(len(obs)) % 5 == 0)[:, None], np.nan, (truth + mean) / 2)
    layers['silent'] = np.full(shape, np.nan)
    layers['mean'][:, 3] = np.nan
    layers = {name: np.where(panel, layer, np.nan).astype(np.float32) for name, layer in layers.items()}
    var = pd.DataFrame(index=[f'readout {i}' for i in range(20)])
    uns = {'models': MODELS, 'scale': {'transcripts': 'log1p', 'proteins': 'log2-ratio'}, 'unit': 'as each screen'}
    return anndata.AnnData(obs=obs, var=var, layers=layers, uns=uns)


@pytest.fixture(scope='module')
def predictions():
    return make_predictions()


@pytest.fixture(scope='module')
def scores(predictions):
    return score(compare(predictions))


@pytest.fixture(scope='module')
def summary(predictions):
    return summarise(compare(predictions), replicates=200)


def plain(name, y, p, control, mean):
    """A metric of two vectors without gaps; NaN where it is undefined."""
    error = y - p
    if len(y) == 0:
        return np.nan
    if name == 'l2':
        return np.sqrt((error**2).sum())
    if name == 'rmse':
        return np.sqrt((error**2).mean())
    if name == 'mae':
        return np.abs(error).mean()
    if name == 'r2':
        return 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum()
    reference = {'pearson': 0 * y, 'pearson_delta': control, 'pearson_delta_perturbed_mean': mean}[name]
    x, y = p - reference, y - reference
    return np.corrcoef(x, y)[0, 1] if np.ptp(x) > 1e-5 and np.ptp(y) > 1e-5 else np.nan


def layer(predictions, name):
    return predictions.layers[name].astype(float)


def by_hand(predictions, row, metric, prediction, seen):
    arrays = ('truth', prediction, 'control', 'perturbed_mean')
    return plain(metric, *(layer(predictions, name)[row][seen[row]] for name in arrays))


def seen_by(predictions, *models):
    return ~np.isnan(sum(layer(predictions, name) for name in ('truth', *models)))


def test_every_score_against_plain_numpy(predictions, scores):
    assert len(scores) == len(MODELS) * predictions.n_obs * len(METRICS)
    by = dict(iter(scores.groupby(['model', 'metric'])))
    for model in MODELS:
        own, shared = seen_by(predictions, model), seen_by(predictions, model, 'mean')
        for metric in METRICS:
            found = by[model, metric]
            rows = range(predictions.n_obs)
            value = [by_hand(predictions, row, metric, model, own) for row in rows]
            reference = [by_hand(predictions, row, metric, 'mean', shared) for row in rows]
            np.testing.assert_allclose(found['value'], value, atol=1e-4, err_msg=f'{model} {metric}')
            np.testing.assert_allclose(found['reference'], reference, atol=1e-4, err_msg=f'{model} {metric}')


def test_scores_say_what_they_are_of(predictions, scores):
    assert list(scores) == [
        *('model', 'split', 'screen', 'context', 'perturbation', 'metric'),
        *('value', 'reference', 'coverage', 'readouts'),
    ]
    one = scores[(scores['model'] == 'linear') & (scores['metric'] == 'rmse')].reset_index(drop=True)
    for name in ('split', 'screen', 'context', 'perturbation'):
        assert list(one[name]) == list(predictions.obs[name])
    measured = (~np.isnan(predictions.layers['truth'])).sum(axis=1)
    assert list(one['readouts']) == list(measured)
    np.testing.assert_allclose(one['coverage'], seen_by(predictions, 'linear').sum(axis=1) / measured)


def test_a_silent_model_stays(scores, summary):
    silent = scores[scores['model'] == 'silent']
    assert silent['value'].isna().all()
    assert (silent['coverage'] == 0).all()
    silent = summary[summary['model'] == 'silent']
    assert len(silent) == len(METRICS)
    assert (silent[['coverage', 'perturbations']] == 0).all(axis=None)
    assert silent[['value', 'low', 'high', 'ratio', 'ratio_low', 'ratio_high']].isna().all(axis=None)


def test_summary_pools_or_averages(predictions, scores, summary):
    assert list(summary['model'].unique()) == MODELS
    assert (summary['splits'] == 2).all()
    by = summary.set_index(['model', 'metric'])
    for model in ('mean', 'no_change', 'linear', 'lpm'):
        seen = seen_by(predictions, model)
        flat = [layer(predictions, name)[seen] for name in ('truth', model, 'control', 'perturbed_mean')]
        for metric in METRICS:
            rows = scores[(scores['model'] == model) & (scores['metric'] == metric)]
            expected = plain(metric, *flat) if METRICS[metric].pooled else rows['value'].mean()
            assert by.loc[(model, metric), 'value'] == pytest.approx(expected, abs=1e-4, nan_ok=True)
            coverage = seen.sum() / (~np.isnan(predictions.layers['truth'])).sum()
            assert by.loc[(model, metric), 'coverage'] == pytest.approx(coverage)


def test_ratio_is_over_what_both_predict(predictions, summary):
    by = summary.set_index(['model', 'metric'])
    for model in ('mean', 'no_change', 'linear', 'lpm'):
        seen = seen_by(predictions, model, 'mean')
        y, p, reference = (layer(predictions, name)[seen] for name in ('truth', model, 'mean'))
        expected = np.sqrt(((y - p) ** 2).mean() / ((y - reference) ** 2).mean())
        assert by.loc[(model, 'rmse'), 'ratio'] == pytest.approx(expected, rel=1e-4)
        l2, l2_reference = (
            np.nanmean([by_hand(predictions, row, 'l2', name, seen) for row in range(predictions.n_obs)])
            for name in (model, 'mean')
        )
        assert by.loc[(model, 'l2'), 'ratio'] == pytest.approx(l2 / l2_reference, rel=1e-4)
    lower = summary['metric'].map(lambda name: METRICS[name].lower_is_better)
    assert summary.loc[~lower, ['ratio', 'ratio_low', 'ratio_high']].isna().all(axis=None)
    # Half way from the mean to the truth: half the error, exactly, in every replicate.
    np.testing.assert_allclose(by.loc[('lpm', 'rmse'), ['ratio', 'ratio_low', 'ratio_high']], 0.5, rtol=1e-4)
    np.testing.assert_allclose(by.loc[('mean', 'l2'), ['ratio', 'ratio_low', 'ratio_high']], 1)


def test_intervals_are_of_clusters_drawn_together(predictions, scores, summary):
    seed, replicates = 0, 200
    pairs = predictions.obs['context'] + predictions.obs['perturbation']
    names = sorted(set(pairs))
    members = [np.flatnonzero(pairs == name) for name in names]
    rows = scores[(scores['model'] == 'linear') & (scores['metric'] == 'l2')]
    value, samples = rows['value'].to_numpy(), []
    key = jax.random.key(seed)
    drawn_often = jax.vmap(lambda i: draw(jax.random.fold_in(key, i), len(names)))(jnp.arange(replicates))
    for weights in np.asarray(drawn_often).astype(int):
        drawn = [row for rows, weight in zip(members, weights) for row in rows for _ in range(weight)]
        samples.append(value[drawn].mean())
    found = summary.set_index(['model', 'metric']).loc[('linear', 'l2')]
    np.testing.assert_allclose(found[['low', 'high']].astype(float), np.percentile(samples, [2.5, 97.5]), rtol=1e-4)
    assert found['perturbations'] == len(names)


def test_one_perturbation_has_no_interval(predictions):
    one = predictions.copy()
    one.obs = one.obs.assign(perturbation='CRISPRi_G0', context='K562')
    found = summarise(compare(one), replicates=200).set_index(['model', 'metric'])
    found = found.xs('no_change').loc['rmse']
    assert np.isfinite(found['value'])
    assert found['perturbations'] == 1
    assert found[['low', 'high', 'ratio_low', 'ratio_high']].isna().all()


def test_the_scale_decides_how_l2_is_ranked():
    truth, control = np.random.default_rng(0).normal(size=(2, 1, 1010)).astype(np.float32)
    layers = dict.fromkeys(('control', 'perturbed_mean', 'mean'), control) | {'truth': truth}
    obs = pd.DataFrame({'screen': ['ranked', 'not'], 'context': 'K562', 'perturbation': 'CRISPRi_G0', 'split': 13})
    predictions = anndata.AnnData(
        obs=obs.set_axis(['a', 'b']),
        layers={name: np.repeat(layer, 2, axis=0) for name, layer in layers.items()},
        uns={'models': ['mean'], 'scale': {'ranked': 'log1p', 'not': 'z-score'}},
    )
    found = score(compare(predictions)).query("metric == 'l2'")['value']
    squares = (truth - control)[0] ** 2
    expected = [squares[np.argsort(-control[0])[:1000]].sum(), squares.sum()]
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-5)


def test_predictions_read_back_from_a_file_score_the_same(predictions, scores, tmp_path):
    predictions.write_h5ad(tmp_path / 'predictions.h5ad')
    found = score(compare(anndata.read_h5ad(tmp_path / 'predictions.h5ad')))
    pd.testing.assert_frame_equal(found, scores, check_dtype=False, check_categorical=False)


def test_what_is_missing_is_named(predictions):
    def without(change):
        broken = predictions.copy()
        change(broken)
        return broken

    cases = {
        'needs the truth layer; predictions without truth can only be written': lambda p: p.layers.pop('truth'),
        'every value of the truth layer': lambda p: p.layers.update(truth=np.full(p.shape, np.nan)),
        'control': lambda p: p.layers.pop('control'),
        "'lpm'": lambda p: p.layers.pop('lpm'),
        'mean among the models': lambda p: p.uns.update(models=['lpm']),
        "'scale'": lambda p: p.uns.pop('scale'),
        "'proteins'": lambda p: p.uns.update(scale={'transcripts': 'log1p'}),
        "'split'": lambda p: p.obs.pop('split'),
    }
    for message, change in cases.items():
        with pytest.raises(InputError, match=message):
            score(compare(without(change)))
        with pytest.raises(InputError, match=message):
            summarise(compare(without(change)))


def test_best_needs_coverage(summary):
    chosen = summary[best(summary)]
    assert set(chosen['model']) <= {'no_change'}  # all others have gaps, `mean` too
    full = summary.assign(coverage=1.0)
    assert list(full[best(full) & (full['metric'] == 'rmse')]['model']) == ['lpm']
    assert list(full[best(full) & (full['metric'] == 'r2')]['model']) == ['lpm']


def test_numbers_are_short():
    values = [0.5, 12.34, 123.4, 1234.5, 0.01234, 1e-9, 0, -0.25, np.nan, np.inf]
    texts = ['0.500', '12.3', '123', '1.23e+03', '0.0123', '1e-09', '0', '-0.250', '-', 'inf']
    assert [number(value) for value in values] == texts
    assert span(0.5, 1) == '[0.500, 1.00]'
    assert span(np.nan, np.nan) == ''


def test_the_table_can_be_read(summary):
    text = summary_table(summary)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    assert text.isascii()
    blocks = [block.splitlines() for block in text.split('\n\n')[:-1]]
    headers = [header.strip() for block in blocks for header in block[0].strip('|').split('|')]
    assert [header for header in headers if header != 'model'] == [
        *('n', 'coverage', 'l2', 'l2 / mean', 'rmse', 'rmse / mean', 'mae', 'r2', 'pearson'),
        *('pearson_delta', 'pearson_delta_perturbed_mean'),
    ]
    for block in blocks:
        assert len({line.count('|') for line in block}) == 1
        assert [line.split('|')[1].strip() for line in block[2:]] == MODELS
    row = summary.set_index(['model', 'metric']).loc[('linear', 'l2')]
    assert f'{number(row["value"])} [{number(row["low"])}, {number(row["high"])}]' in text


def test_a_narrow_table_has_one_column_in_each_block(summary):
    blocks = summary_table(summary, width=10).split('\n\n')[:-1]
    assert all(block.splitlines()[0].count('|') == 3 for block in blocks)
