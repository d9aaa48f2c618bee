"""LPM learns: on simulated screens it beats what contexts and perturbations do on average, on pairs it has not seen."""

import pytest

from experiments import quickstart
from perturbjax import experiment


# This training is longer than it takes to compile a fast program.
@pytest.mark.usefixtures('as_users_run_it')
def test_lpm_beats_every_baseline_on_unseen_pairs(tmp_path):
    config = quickstart.get_config()
    few = {'training': {'epochs': 4}}  # a third of its recipe is enough
    config.models = {'context_mean': {}, 'perturbation_mean': {}, 'lpm': few}
    summary = experiment.run(config, str(tmp_path)).summary
    errors = summary[summary['metric'] == 'rmse'].set_index('model')
    full = errors[errors['coverage'] > 0.99]['value']
    assert {'no_change', 'mean', 'context_mean', 'perturbation_mean'} <= set(full.index)
    assert full['lpm'] < 0.8 * full.drop('lpm').min()
