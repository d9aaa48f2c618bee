"""Calibration on simulated cells: everything is calibrated where effects are strong, nothing where there are none."""

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from predictions_for_tests import make_predictions, make_replicated, without_replicates

from perturbjax.evaluation.calibration import COLUMNS, calibrate, why_unknown
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.responders import differs_from_rest
from perturbjax.evaluation.statistics import draw

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

BOOTSTRAP_SAMPLES = 64


@pytest.fixture(scope='module')
def strong():
    """Effects of ten standard deviations of a cell."""
    return make_replicated(effect=3, noise=0.3)


@pytest.fixture(scope='module')
def table(strong):
    return calibrate(strong, bootstrap_samples=BOOTSTRAP_SAMPLES).set_index('metric')


def layers(predictions, *names):
    return [predictions.layers[name].astype(float) for name in names]


def l2(truth, prediction):
    return np.sqrt(((truth - prediction) ** 2).sum(axis=1))


def correlations(x, y):
    return np.array([np.corrcoef(*rows)[0, 1] for rows in zip(x, y)])


def test_where_effects_are_strong_a_repeat_is_nearly_perfect(table):
    assert list(table.reset_index()) == COLUMNS
    assert list(table.index) == list(METRICS)
    assert table['calibrated'].all()
    near = ['l2', 'rmse', 'mae', 'pearson_delta', 'pearson_delta_perturbed_mean', 'weighted_r2_delta', 'des']
    assert (table.loc[near, 'drf'] > 0.85).all()
    assert (table.loc[['mse', 'r2', 'pearson', 'weighted_mse', 'pds_l1', 'pds_l2', 'pds_cosine'], 'drf'] > 0.97).all()
    assert (table['bds'].drop(['pds_l1', 'pds_l2', 'pds_cosine']) == 1).all()
    # One answer for all is now and then next to its own truth, and then as good as the duplicate.
    assert (table.loc[['pds_l1', 'pds_l2', 'pds_cosine'], 'bds'] > 0.9).all()
    assert (table['drf_low'] <= table['drf']).all()
    assert (table['drf'] <= table['drf_high']).all()
    assert (table['drf_high'] <= 1).all()
    np.testing.assert_allclose(table.loc[['pds_l1', 'pds_l2', 'pds_cosine'], 'negative'], 0.5)


@pytest.mark.parametrize('seed', [0, 1, 2, 3])
def test_where_there_are_none_nothing_is_calibrated(seed):
    table = calibrate(make_replicated(effect=0, seed=seed), bootstrap_samples=BOOTSTRAP_SAMPLES)
    assert not table['calibrated'].any()


def test_every_number_of_l2_by_hand(strong, table):
    first, second, negative = layers(strong, 'first_half', 'second_half', 'perturbed_mean')
    p = differs_from_rest(strong)
    found, predicted = (
        table.loc['l2'],
        {
            'negative': negative,
            'duplicate': second,
            'interpolated': (1 - p) * second + p * negative,
        },
    )
    scores = {name: l2(first, prediction) for name, prediction in predicted.items()}
    for name, values in scores.items():
        assert found[name] == pytest.approx(values.mean(), rel=1e-4)
    assert found['drf'] == pytest.approx(1 - scores['duplicate'].mean() / scores['negative'].mean(), rel=1e-4)
    assert found['drf_interpolated'] == pytest.approx(
        1 - scores['interpolated'].mean() / scores['negative'].mean(), rel=1e-4
    )
    assert found['bds'] == (scores['duplicate'] < scores['negative']).mean()


def test_the_interval_is_of_perturbations_drawn_again(strong, table):
    first, second, negative = layers(strong, 'first_half', 'second_half', 'perturbed_mean')
    own, of_negative = l2(first, second), l2(first, negative)
    key = jax.random.key(0)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(BOOTSTRAP_SAMPLES))
    weights = np.asarray(jax.jit(jax.vmap(draw, (0, None)), static_argnums=1)(keys, 16))
    order = strong.obs.groupby(['context', 'perturbation']).ngroup().to_numpy()
    samples = [1 - (each[order] @ own) / (each[order] @ of_negative) for each in weights]
    ends = table.loc['l2', ['drf_low', 'drf_high']].astype(float)
    np.testing.assert_allclose(ends, np.percentile(samples, [2.5, 97.5]), rtol=1e-3)


def test_permuted_halves_belong_to_others(strong, table):
    first = strong.layers['first_half']
    possible = [
        [l2(first[[i]], first[[j]])[0] for j in rows if j != i]
        for rows in strong.obs.groupby('context').indices.values()
        for i in rows
    ]
    low, high = (np.mean([end(each) for each in possible]) for end in (min, max))
    assert low < table.loc['l2', 'permuted'] < high
    assert table.loc['l2', 'permuted'] > 5 * table.loc['l2', 'duplicate']


def test_an_undefined_correlation_of_the_negative_is_that_of_the_permuted(strong, table):
    # The negative is the reference itself, so it has no change from it.
    found = table.loc['pearson_delta_perturbed_mean']
    assert found['negative'] == found['permuted']
    first, second, reference = layers(strong, 'first_half', 'second_half', 'perturbed_mean')
    assert found['duplicate'] == pytest.approx(correlations(first - reference, second - reference).mean(), abs=1e-4)
    drf = (found['duplicate'] - found['negative']) / (1 - found['negative'])
    assert found['drf'] == pytest.approx(drf, rel=1e-4)


def test_alone_in_its_context_the_negative_has_the_correlation_of_chance(strong):
    alone = strong.copy()
    alone.obs['context'] = [f'c{i}' for i in range(16)]
    table = calibrate(alone, bootstrap_samples=BOOTSTRAP_SAMPLES).set_index('metric')
    assert table.loc['pearson_delta_perturbed_mean', 'negative'] == 0
    assert table.loc[['pds_l1', 'pds_l2', 'pds_cosine'], ['negative', 'duplicate', 'drf', 'bds']].isna().all(axis=None)
    assert table.loc[['pds_l1', 'pds_l2', 'pds_cosine'], 'calibrated'].isna().all()
    assert table['permuted'].isna().all()


def test_without_replicates_nothing_is_said(strong):
    old = without_replicates(make_predictions())
    single, context = strong.copy(), strong.copy()
    single.layers['second_half'] = np.full(single.shape, np.nan, np.float32)
    context.layers['perturbed_mean'] = np.full(single.shape, np.nan, np.float32)
    mixed = strong.copy()
    half = (strong.obs['context'] == 'a').to_numpy()
    mixed.layers['perturbed_mean'] = np.where(half[:, None], np.nan, strong.layers['perturbed_mean'])
    mixed.layers['second_half'] = np.where(half[:, None], strong.layers['second_half'], np.nan)
    reasons = {
        'the predictions do not say what is known of the rows behind the profiles': old,
        'no held-out profile has replicates': single,
        'the held-out contexts have no training perturbation': context,
        'that have replicates lie in contexts without a training perturbation': mixed,
    }
    for reason, predictions in reasons.items():
        assert reason in why_unknown(predictions)
        found = calibrate(predictions)
        assert found.empty
        assert list(found) == COLUMNS
    assert why_unknown(strong) == ''


@pytest.mark.parametrize(('pairs', 'known'), [(1, False), (5, False), (6, True)])
def test_few_duplicates_say_nothing(strong, pairs, known):
    few = strong.copy()
    few.layers['second_half'] = np.where(np.arange(16)[:, None] < pairs, strong.layers['second_half'], np.nan)
    table = calibrate(few, bootstrap_samples=BOOTSTRAP_SAMPLES).set_index('metric')
    assert (table.loc[['l2', 'rmse', 'pearson_delta'], 'duplicates'] == pairs).all()
    assert table.loc[['l2', 'rmse', 'pearson_delta'], 'calibrated'].notna().all() == known
    assert table['calibrated'].any() == known


def test_profiles_of_one_row_are_left_out(strong, table):
    single = strong[:4].copy()
    for name in ('first_half', 'second_half', 'variance'):
        single.layers[name][:] = np.nan
    more = anndata.concat({'several': strong, 'one': single}, index_unique='/', uns_merge='same')
    assert more.n_obs == 20
    pd.testing.assert_frame_equal(calibrate(more, bootstrap_samples=BOOTSTRAP_SAMPLES).set_index('metric'), table)
