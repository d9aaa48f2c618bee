"""A study: every question is checked before anything is computed, and its table is there."""

import numpy as np
import pytest
from models_for_tests import one_unit, save_model
from screens_for_tests import two_contexts
from tables_for_tests import FIELDS, write_cells

from perturbjax.analysis.settings import Study, check_study
from perturbjax.analysis.study import study
from perturbjax.errors import InputError

NETWORK = {'context': 'a', 'path': 'cells.h5ad', 'fields': FIELDS}


def test_networks_can_be_asked_for(tmp_path):
    path = write_cells(tmp_path / 'cells.h5ad', np.tile(np.arange(8.0)[:, None], 2))
    models = {'lpm': [save_model(tmp_path / 'lpm' / '1', one_unit([0, 2, -0.5]))]}
    asked = Study(networks={'cells': NETWORK | {'path': path, 'top': 2}})
    found = study(models, two_contexts(), [np.ones(6, bool)], asked)
    assert set(found) == {'networks_cells'}
    assert set(found['networks_cells']['network']) == {'lpm', 'measured', 'random'}


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        ({'networks': {'n': NETWORK | {'tops': 3}}}, "networks.n: no such setting 'tops'; did you mean 'top'"),
        ({'networks': {'n': {'context': 'a', 'fields': {}}}}, "analysis.networks.n: the setting 'path' is needed"),
        ({'networks': {'n': NETWORK | {'fields': {'gene': 'g'}}}}, "networks.n.fields: no such setting 'gene'"),
        ({'networks': {'n': NETWORK | {'folders': {}}}}, "no such setting 'folders'"),
        ({'pairs': {'p': {'file': 'a.csv'}}}, "analysis.pairs.p: no such setting 'file'"),
        ({'sets': {'p': {'path': 'a.csv', 'axis': 'readouts'}}}, "there is no axis 'readouts'; did you mean 'readout'"),
        ({'what_if': [{'context': 'a', 'gene': 'x'}]}, "analysis.what_if: no such setting 'gene'"),
    ],
)
def test_settings_that_nothing_reads_are_told(asked, message):
    with pytest.raises(InputError, match=message):
        check_study(Study(**asked))


def test_an_empty_study_is_right():
    check_study(Study())
    check_study(Study(pairs={'p': 'pairs.csv'}, sets={'s': {'path': 'sets.gmt', 'axis': 'readout'}}))
