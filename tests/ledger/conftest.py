"""One small run, by simple rules alone, whose files the tests copy and change."""

import ml_collections
import pytest

from perturbjax import experiment


@pytest.fixture(scope='session')
def run(tmp_path_factory):
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'simulation', 'contexts': 3, 'panels': 1, 'targets': 20, 'readouts': 24, 'programs': 3, 'cells': 6
    }  # fmt: skip
    config.split = {'name': 'unseen_in_context', 'context': 'context1', 'test': 0.5, 'seeds': (13, 14)}
    config.models = {'perturbation_mean': {}}
    config.evaluation = {'bootstrap_samples': 50}
    folder = tmp_path_factory.mktemp('small') / 'run'
    experiment.run(config, str(folder))
    return folder
