"""Runs with weights: predictions move, all that says so says so, and what cannot be weighed stops before anything."""

from unittest import mock

import anndata
import numpy as np
import pandas as pd
import pytest
from ledger_for_tests import small_config

from perturbjax import experiment, setup
from perturbjax.errors import InputError
from perturbjax.ledger.runs import rows_of


def config_of(weights=None):
    config = small_config()
    if weights is not None:
        config.weights = weights
    return config


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp('plain') / 'run'
    experiment.run(config_of(), str(folder))
    return folder


def predicted(folder):
    return anndata.read_h5ad(folder / 'predictions.h5ad').layers


def test_without_weights_a_run_is_what_it_was(plain, tmp_path):
    experiment.run(config_of({'fitting': '', 'scores': ''}), str(tmp_path))
    for name in predicted(plain):
        np.testing.assert_array_equal(predicted(tmp_path)[name], predicted(plain)[name])
    assert 'weight' not in pd.read_csv(plain / 'scores.csv')
    assert (tmp_path / 'summary.csv').read_bytes() == (plain / 'summary.csv').read_bytes()


def test_weights_in_fitting_move_models_and_not_what_they_are_compared_with(plain, tmp_path):
    experiment.run(config_of({'fitting': 'replicates'}), str(tmp_path))
    before, after = predicted(plain), predicted(tmp_path)
    for name in ('truth', 'control', 'perturbed_mean', 'no_change'):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ('mean', 'perturbation_mean'):
        assert 1e-4 < np.abs(after[name] - before[name]).max() < 1
    assert 'weight' not in pd.read_csv(tmp_path / 'scores.csv')
    with pytest.raises(InputError, match=r'another config \(weights.fitting is .cells., there .replicates.\)'):
        experiment.run(config_of({'fitting': 'cells'}), str(tmp_path))


def test_scores_can_be_weighted_afterwards_and_are_no_part_of_a_ledger(tmp_path):
    experiment.run(config_of(), str(tmp_path))
    values = pd.read_csv(tmp_path / 'summary.csv')['value']
    experiment.run(config_of({'scores': 'replicates'}), str(tmp_path), mode='evaluate')
    summary = pd.read_csv(tmp_path / 'summary.csv')
    assert set(summary['weighted_by']) == {'replicates'}
    assert not np.allclose(summary['value'], values, equal_nan=True)
    assert pd.read_csv(tmp_path / 'scores.csv')['weight'].nunique() > 10
    assert 'Scores are weighted by replicates' in (tmp_path / 'report.html').read_text()
    with pytest.raises(
        InputError, match="summary.csv: its scores are weighted by replicates, .* set weights.scores=''"
    ):
        rows_of(str(tmp_path))
    experiment.run(config_of(), str(tmp_path), mode='evaluate')
    assert len(rows_of(str(tmp_path)))


def of_table(folder, rows, weights):
    """The config of a table with so many rows for each profile."""
    rng = np.random.default_rng(0)
    names = [(c, p) for c in ('context1', 'b', 'c') for p in ('control', *(f'g{i}' for i in range(6)))] * rows
    table = pd.DataFrame(names, columns=['context', 'perturbation'])
    table[['x', 'y', 'z']] = rng.normal(size=(len(names), 3))
    table.to_csv(folder / 'screen.csv', index=False)
    config = config_of(weights)
    fields = {'context': 'context', 'perturbation': 'perturbation', 'control': ('control',)}
    config.data = {'source': 'wide', 'path': str(folder / 'screen.csv'), 'scale': 'log2-ratio', 'fields': fields}
    return config


def test_equal_weights_are_told(tmp_path):
    config = of_table(tmp_path, 2, {'fitting': 'cells'})
    with mock.patch.object(setup.logging, 'warning') as warning:
        experiment.run(config, str(tmp_path / 'run'), mode='train')
    told = [str(each.args) for each in warning.call_args_list]
    assert any('weights.fitting: it does nothing, because all profiles have the same weight.' in each for each in told)


@pytest.mark.parametrize(
    ('weights', 'sentence'),
    [
        (
            {'fitting': 'cells'},
            "screen: weights.fitting='cells' needs the number of rows behind each profile, but every",
        ),
        ({'fitting': 'on_target'}, "'screen': weights.fitting='on_target' needs perturbations whose target is among"),
        ({'fitting': 'cell'}, "weights.fitting: no such weights 'cell'; did you mean 'cells'?"),
        ({'score': 'cells'}, "weights: no such setting 'score'; did you mean 'scores'?"),
        ({'scores': True}, 'weights.scores: True is of the wrong type; it must be str.'),
    ],
)
def test_what_cannot_be_weighed_is_told_before_anything_is_written(tmp_path, weights, sentence):
    with pytest.raises(InputError) as error:
        experiment.run(of_table(tmp_path, 1, weights), str(tmp_path / 'run'))
    assert str(error.value).startswith(sentence)
    assert not (tmp_path / 'run').exists()
