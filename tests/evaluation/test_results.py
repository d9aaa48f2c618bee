"""Everything at once, also where little is known: old files, few profiles, one readout."""

import numpy as np
import pytest
from predictions_for_tests import make_replicated, without_replicates

from perturbjax.errors import InputError
from perturbjax.evaluation.controls import PERMUTED
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.results import judge
from perturbjax.evaluation.tables import summary_table
from perturbjax.report.results.page import report_page

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")

MODELS = ['mean', 'no_change', 'near']
BOOTSTRAP_SAMPLES = 64


@pytest.fixture
def predictions():
    return make_replicated(effect=3, noise=0.3)


def test_a_run_with_replicates(predictions):
    found = judge(predictions, bootstrap_samples=BOOTSTRAP_SAMPLES)
    models = [*MODELS, PERMUTED]
    assert list(found.summary['model'].unique()) == models
    assert found.calibration['calibrated'].all()
    assert len(found.scores) == 4 * 16 * len(METRICS)
    assert set(found.curves['model']) == set(models)
    assert list(found.collapse['model']) == ['truth', *models]
    assert (found.doubles, found.training, found.linear_sweep) == (None, None, None)
    single = sum(metric.over != 'values' for metric in METRICS.values())
    assert found.verdict[-1].startswith(f'Calibrated here are {single} of the {single} metrics of single profiles')
    assert found.verdict[0].startswith('near beats the best simple rule on ')
    assert list(found.notes) == []
    again = judge(predictions, bootstrap_samples=BOOTSTRAP_SAMPLES)  # the labels are there already
    assert list(again.summary['model'].unique()) == models
    np.testing.assert_array_equal(again.summary['value'], found.summary['value'])


def test_other_metrics_judge_alone(predictions, tmp_path):
    chosen = ['de_pr_auc', 'opposite_top20', 'pds_l2']
    found = judge(predictions, bootstrap_samples=BOOTSTRAP_SAMPLES, metrics=chosen)
    for table in (found.scores, found.summary, found.calibration):
        assert list(table['metric'].unique()) == chosen
    assert found.verdict[0].startswith('near ')
    assert 'of the 3 metrics of single profiles' in found.verdict[-1]
    page = report_page(found, {})
    meanings = page.split('What the metrics mean')[-1]
    assert 'Average precision with which the readouts' in meanings
    assert 'Mean squared error' not in meanings
    assert 'de_pr_auc' in summary_table(found.summary)


def test_an_old_file_without_replicates(predictions):
    found = judge(without_replicates(predictions), bootstrap_samples=BOOTSTRAP_SAMPLES)
    assert list(found.summary['model'].unique()) == [*MODELS, PERMUTED]
    assert found.calibration.empty
    assert found.verdict[-1] == f'Which metrics are calibrated here is not known: {found.calibration_unknown}.'
    assert found.calibration_unknown.startswith('the predictions do not say what is known of the rows')
    known = found.summary.dropna(subset='value')['metric']
    assert set(METRICS) - set(known) == {'weighted_mse', 'weighted_r2_delta', 'des'}


def test_one_perturbation_in_each_context(predictions):
    predictions.obs['context'] = [f'c{i}' for i in range(16)]
    predictions.layers['other'] = predictions.layers['near'].copy()
    predictions.uns['models'] = [*MODELS, 'other']
    found = judge(predictions, bootstrap_samples=BOOTSTRAP_SAMPLES)
    assert list(found.summary['model'].unique()) == [*MODELS, 'other']  # there is no other label
    value = found.summary.set_index(['metric', 'model'])['value']
    for metric in METRICS:
        assert np.isnan(value[metric, 'near']) == (METRICS[metric].over == 'perturbations'), metric
    assert found.collapse['correlation'].isna().all()


def test_one_readout_of_one_profile(predictions):
    found = judge(predictions[:1, :1].copy(), bootstrap_samples=BOOTSTRAP_SAMPLES)
    summary = found.summary.set_index(['metric', 'model'])
    for metric in ('l2', 'rmse', 'mse', 'mae'):
        row = summary.loc[(metric, 'near')]
        assert np.isfinite(row[['value', 'ratio', 'difference', 'baseline_ratio']].astype(float)).all()
        assert row[['low', 'high', 'ratio_low', 'ratio_high', 'difference_low', 'baseline_ratio_high']].isna().all()
        assert row['perturbations'] == 1
        assert row['p_value'] == 1
    undefined = {'r2', 'pearson', 'pearson_delta', 'pearson_delta_perturbed_mean', 'weighted_mse', 'weighted_r2_delta'}
    assert summary.loc[[*undefined, 'pds_l1', 'pds_l2', 'pds_cosine'], 'value'].isna().all()
    assert found.calibration['calibrated'].isna().all()
    assert found.verdict[-1].startswith('Which metrics are calibrated here is not known: 1 of the held-out ')
    assert found.verdict[0].startswith('near: too little is held out or predicted')
    assert found.notes[0].startswith('Few pairs are held out (1)')
    assert found.run_facts['Held out'] == '1 pairs of context and perturbation, 1 profiles'


def test_what_cannot_be_judged_is_told(predictions):
    predictions.uns['models'] = ['near']
    with pytest.raises(InputError, match="'mean among the models'"):
        judge(predictions)
