"""LPM learns: on simulated screens it beats every baseline on pairs it has not seen."""

from experiments import quickstart
from perturbjax import experiment


def test_lpm_beats_every_baseline_on_unseen_pairs(tmp_path):
    summary = experiment.run(quickstart.get_config(), str(tmp_path)).summary
    errors = summary[summary['metric'] == 'rmse'].set_index('model')
    full = errors[errors['coverage'] > 0.99]['value']
    assert {'no_change', 'mean', 'context_mean', 'perturbation_mean'} <= set(full.index)
    assert full['lpm'] < 0.9 * full.drop('lpm').min()
