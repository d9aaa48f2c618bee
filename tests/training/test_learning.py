"""LPM learns: on simulated screens it beats what contexts and perturbations do on average, on pairs it has not seen."""

import jax
import pytest

from experiments import quickstart
from perturbjax import experiment


@pytest.fixture
def as_users_run_it():
    """Programs are compiled as fast ones, see conftest.py: this training is longer than that takes."""
    jax.config.update('jax_disable_most_optimizations', False)
    yield
    jax.config.update('jax_disable_most_optimizations', True)


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
