"""The experiment files: all can be read, and those on the real screens give the numbers they say."""

import pathlib
import runpy

import ml_collections
import pytest

from perturbjax import experiment
from perturbjax.config import check
from perturbjax.models import make_models

FOLDER = pathlib.Path(__file__).parents[1] / 'experiments'


def config_of(name, *arguments) -> ml_collections.ConfigDict:
    return runpy.run_path(str(FOLDER / f'{name}.py'))['get_config'](*arguments)


@pytest.mark.parametrize('name', sorted(path.stem for path in FOLDER.glob('[!_]*.py')))
def test_every_config_is_one(name):
    settings = check(config_of(name))
    assert {'no_change', 'mean'} <= set(make_models(settings['models']))


@pytest.mark.parametrize('target', ['ht29_compounds', 'mcf7_crispr'])
def test_a_config_of_an_argument(target):
    assert config_of('lpm_lincs', target).split.target.lower() == target


def errors(name, folder, path, **training):
    config = config_of(name)
    config.data.path = str(path)
    if training:
        config.training.update(training)
        config.split.seeds = (13,)
    summary = experiment.run(config, str(folder))
    return summary.set_index(['metric', 'model'])


def test_korkut_gives_the_known_errors(shared, tmp_path):
    l2 = errors('additive_korkut', tmp_path, shared / 'korkut_2015_skmel133.h5ad').loc['l2']
    assert l2.loc['additive', 'value'] == pytest.approx(2.01, abs=0.005)
    assert l2.loc['no_change', 'value'] == pytest.approx(4.36, abs=0.005)
    assert (l2['perturbations'] == 66).all()


def test_papalexi_runs_from_raw_counts(shared, tmp_path):
    l2 = errors('linear_papalexi', tmp_path, shared / 'papalexi_2021.h5ad').loc['l2']
    assert l2.loc['mean', 'value'] == pytest.approx(2.59, abs=0.005)
    assert 0 < l2.loc['linear', 'coverage'] < 0.5


def test_p100_and_gcp_train_over_both_panels(shared, tmp_path):
    l2 = errors('lpm_lincs_p100_gcp', tmp_path, shared / 'lincs_p100_gcp', epochs=2).loc['l2']
    assert (l2.drop('perturbation_mean')['coverage'] == 1).all()
    assert l2.loc['context_mean', 'ratio_high'] < 1
