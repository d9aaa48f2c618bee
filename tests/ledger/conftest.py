"""One small run, by simple rules alone, whose files the tests copy and change."""

import pytest
from ledger_for_tests import small_config

from perturbjax import experiment


@pytest.fixture(scope='session')
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp('small') / 'run'
    experiment.run(small_config(), str(folder))
    return folder
