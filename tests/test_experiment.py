"""The whole story on the tiny experiment: every file of a workdir, every mode, resuming, refusing."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import anndata
import jax
import numpy as np
import pandas as pd
import pytest
from networks_for_tests import mlp

from experiments import tiny
from perturbjax import experiment, setup
from perturbjax.analysis.embeddings import read_embeddings
from perturbjax.analysis.whatif import what_if
from perturbjax.errors import InputError
from perturbjax.models import MODELS as REGISTRY
from perturbjax.models import RESERVED, Model, no_change, register_model
from perturbjax.training import checkpoints

FILES = {
    'config.json',
    'data.json',
    'vocabulary.json',
    'split.json',
    'metrics.jsonl',
    'checkpoints',
    'predictions.h5ad',
    'scores.csv',
    'summary.csv',
    'report.html',
    'calibration.csv',
    'curves.csv',
    'times.json',
    'embeddings.h5ad',
    'interactions.csv',
    'interaction_ranking.csv',
}
MODELS = ['no_change', 'mean', 'context_mean', 'perturbation_mean', 'additive', 'linear', 'lpm']


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('tiny')
    experiment.run(tiny.get_config(), str(folder))
    return folder


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in pathlib.Path(folder).rglob('*') if path.is_file()}


def names_in(folder):
    """What is in a workdir, without locks and hashes."""
    return {path.name for path in folder.iterdir() if not path.name.startswith('.')}


def test_a_run_gives_the_whole_workdir(workdir):
    assert names_in(workdir) == FILES
    assert {path.name for path in (workdir / 'checkpoints').iterdir()} == set(MODELS)
    held_out = json.loads((workdir / 'split.json').read_text())
    assert [split['seed'] for split in held_out] == [13, 14]
    assert all(context == 'context1' for split in held_out for _, context, _ in split['test'])


def test_predictions_name_their_rows_columns_scale_and_models(workdir):
    predicted = anndata.read_h5ad(workdir / 'predictions.h5ad')
    assert set(predicted.layers) | {'cells', 'control_cells'} == {*RESERVED, *MODELS} - {'permuted_labels'}
    assert (predicted.obs[['cells', 'control_cells']] >= 1).all(axis=None)
    assert list(predicted.uns['models']) == MODELS
    assert set(predicted.uns['scale'].values()) == {'log1p'}
    held_out = json.loads((workdir / 'split.json').read_text())
    rows = [[*profile, split['seed']] for split in held_out for profile in split['test']]
    assert predicted.obs[['screen', 'context', 'perturbation', 'split']].values.tolist() == rows


def test_the_summary_has_every_model_beside_its_baselines(workdir):
    summary = pd.read_csv(workdir / 'summary.csv')
    assert set(summary['model']) == {*MODELS, 'permuted_labels'}
    l2 = summary[summary['metric'] == 'l2'].set_index('model')
    assert l2.loc['mean', 'ratio'] == 1
    assert (l2.loc[['no_change', 'lpm'], 'coverage'] == 1).all()
    assert (l2.loc[['no_change', 'lpm'], 'low'] < l2.loc[['no_change', 'lpm'], 'value']).all()


def test_scores_follow_from_the_predictions(workdir):
    predicted = anndata.read_h5ad(workdir / 'predictions.h5ad')
    scores = pd.read_csv(workdir / 'scores.csv')
    row = scores[(scores['model'] == 'lpm') & (scores['metric'] == 'l2')].iloc[0]
    here = (predicted.obs[['context', 'perturbation', 'split']] == [row.context, row.perturbation, row.split]).all(
        axis=1
    )
    error = predicted[here.to_numpy()].layers['truth'] - predicted[here.to_numpy()].layers['lpm']
    assert row.value == pytest.approx(np.sqrt(np.nansum(error**2)), rel=1e-5)


def test_embeddings_name_every_row(workdir):
    tables = anndata.read_h5ad(workdir / 'embeddings.h5ad')
    names = json.loads((workdir / 'vocabulary.json').read_text())
    assert tables.shape == (2 * sum(map(len, names.values())), 4)
    compounds = tables.obs[tables.obs['type'] == 'Compound']
    assert set(compounds['axis']) == {'perturbation'}
    assert (tables.obs['training_profiles'] > 0).any()


def test_predictions_of_another_tool_take_part(workdir, tmp_path):
    """LPM's own, exported in both forms and read again, score as LPM does."""
    experiment.run(tiny.get_config(), str(workdir), 'export')
    exported = workdir / 'exported' / 'lpm'
    config = tiny.get_config()
    config.evaluation.predictions = {
        'json': [{'path': str(exported / 'ahlmann_eltze' / str(split)), 'split': split} for split in (13, 14)],
        'cell_eval': [
            {'path': str(exported / 'cell_eval' / str(split) / 'pred.h5ad'), 'split': split} for split in (13, 14)
        ],
    }
    shutil.copy(workdir / 'predictions.h5ad', tmp_path)
    config.evaluation.lacks = {'json': 'it is there after all.', 'scgpt': 'it has no weights.'}
    results = experiment.run(config, str(tmp_path), 'evaluate')
    assert [note for note in results.notes if 'lacks' in note] == ['This run lacks scgpt: it has no weights.']
    assert 'This run lacks scgpt' in (tmp_path / 'report.html').read_text()
    shutil.rmtree(workdir / 'exported')
    table = results.summary.set_index(['model', 'metric'])['value'].unstack()
    for label in ('json', 'cell_eval'):
        np.testing.assert_allclose(table.loc[label], table.loc['lpm'], rtol=1e-5)


def test_a_second_launch_does_nothing_again(workdir):
    before = contents(workdir / 'checkpoints')
    summary = (workdir / 'summary.csv').read_text()
    experiment.run(tiny.get_config(), str(workdir))
    assert contents(workdir / 'checkpoints') == before
    assert (workdir / 'summary.csv').read_text() == summary


def test_the_stages_one_by_one_equal_the_whole(workdir, tmp_path):
    for mode in ('train', 'predict', 'evaluate', 'embed'):
        experiment.run(tiny.get_config(), str(tmp_path), mode)
    assert (tmp_path / 'scores.csv').read_text() == (workdir / 'scores.csv').read_text()
    assert (tmp_path / 'summary.csv').read_text() == (workdir / 'summary.csv').read_text()
    assert names_in(tmp_path) == FILES


def test_another_config_on_the_workdir_is_refused(workdir):
    before = contents(workdir)
    config = tiny.get_config()
    config.training.epochs = 2
    with pytest.raises(InputError, match=r'another config \(training.epochs is 2, there 3\)'):
        experiment.run(config, str(workdir))
    assert contents(workdir) == before


def test_other_data_under_the_same_config_are_refused(workdir):
    path = workdir / 'vocabulary.json'
    before = path.read_text()
    path.write_text(before.replace('context1', 'context9'))
    with pytest.raises(InputError, match=r'vocabulary.json: the data are not those this workdir was made with'):
        experiment.run(tiny.get_config(), str(workdir))
    path.write_text(before)


def test_other_values_under_the_same_names_are_refused(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / 'copy')
    path = tmp_path / 'copy' / 'data.json'
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(InputError, match=r'data.json: the data are not those this workdir was made with'):
        experiment.run(tiny.get_config(), str(tmp_path / 'copy'))


def test_a_run_starts_from_what_was_prepared(workdir, tmp_path, monkeypatch, capsys):
    config = tiny.get_config()
    config.models = {}
    experiment.run(config, str(tmp_path), 'prepare')
    assert names_in(tmp_path) == {
        'prepared',
        'data.html',
        'data.txt',
        'shared_perturbations.csv',
    }
    assert capsys.readouterr().out.endswith(f'summary: {tmp_path}/data.html\n')
    assert (tmp_path / 'data.txt').read_text().startswith('Of ')
    monkeypatch.setattr(setup, 'load', None)
    experiment.run(config, str(tmp_path), 'train')
    for file in ('data.json', 'vocabulary.json', 'split.json'):
        assert (tmp_path / file).read_text() == (workdir / file).read_text()


def test_what_was_prepared_from_other_data_is_refused(tmp_path):
    experiment.run(tiny.get_config(), str(tmp_path), 'prepare')
    config = tiny.get_config()
    config.data.cells = 7
    with pytest.raises(InputError, match='prepared: it was prepared with other settings of the data; run --mode=prep'):
        experiment.run(config, str(tmp_path), 'train')


def test_a_half_written_checkpoint_is_made_again(workdir):
    folder = workdir / 'checkpoints' / 'linear' / '13'
    (folder / '0').rename(folder / '0.orbax-checkpoint-tmp-1')
    experiment.run(tiny.get_config(), str(workdir), 'train')
    assert (folder / '0' / 'params').is_dir()


def test_predicting_without_truth_tells_what_it_cannot(workdir, tmp_path, caplog):
    names = json.loads((workdir / 'vocabulary.json').read_text())
    known, other = names['perturbations'][1:3]
    asked = [('context2', known), ('context2', f'{other}+{known}'), ('context2', 'CRISPRi_none'), ('mars', known)]
    pd.DataFrame(asked, columns=['context', 'perturbation']).to_csv(tmp_path / 'asked.csv', index=False)
    experiment.run(tiny.get_config(), str(workdir), 'predict', queries=str(tmp_path / 'asked.csv'))
    out = workdir / 'predictions_asked.h5ad'
    predicted = anndata.read_h5ad(out)
    out.unlink()
    assert '2 of 4 profiles have a name outside the vocabulary' in caplog.text
    assert 'truth' not in predicted.layers
    finite = np.isfinite(predicted.layers['lpm']).all(axis=1)
    np.testing.assert_array_equal(finite, [True, True, False, False] * 2)


def test_an_ensemble_predicts_its_mean_and_says_its_spread(tmp_path):
    """Of three learning rates, one that learns nothing: validation chooses, and its two seeds are kept."""
    config = tiny.get_config()
    config.models = {'lpm': {'model': 'lpm_released', 'embedding_dim': 4, 'hidden_dims': (8, 8)}}
    config.split.seeds = (13,)
    config.training.update({'seeds': 2, 'sweep': {'learning_rate': (1e-6, 0.01)}, 'weight_decay': 0.0})
    experiment.run(config, str(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    assert [(line['member'], line['learning_rate']) for line in lines[:4]] == [
        (0, 1e-6),
        (1, 1e-6),
        (0, 0.01),
        (1, 0.01),
    ]
    params = checkpoints.read(tmp_path / 'checkpoints' / 'lpm' / '13').params
    predicted = anndata.read_h5ad(tmp_path / 'predictions.h5ad')
    assert list(predicted.uns['models']) == ['no_change', 'mean', 'lpm']
    spread = predicted.layers['lpm_spread']
    np.testing.assert_array_equal(np.isnan(spread), np.isnan(predicted.layers['lpm']))
    assert np.nanmin(spread) > 0
    tables = read_embeddings(tmp_path / 'checkpoints' / 'lpm' / '13')
    assert set(tables.obs['split']) == {'13/0', '13/1'}
    second = tables[(tables.obs['split'] == '13/1') & (tables.obs['axis'] == 'context')]
    np.testing.assert_array_equal(second.X, params['weights']['context'][1])


def test_a_model_of_ones_own_joins(tmp_path):
    config = tiny.get_config()
    config.models = {}
    config.split.seeds = (13,)

    def predict(params, query):
        return no_change().predict(params, query) + 1

    summary = experiment.run(config, str(tmp_path), models={'one_more': Model(no_change().fit, predict)}).summary
    assert set(summary['model']) == {'no_change', 'mean', 'one_more', 'permuted_labels'}
    assert not (tmp_path / 'embeddings.h5ad').exists()


def test_a_network_of_ones_own_runs_resumes_fills_the_grid_and_answers(tmp_path, request):
    """Registered by a name, so that a config and its checkpoints know it."""
    register_model('small_mlp', mlp)
    request.addfinalizer(lambda: REGISTRY.pop('small_mlp'))
    config = tiny.get_config()
    config.models = {'small_mlp': {'width': 5}}
    config.split.seeds = (13,)
    config.training.seeds = 2
    summary = experiment.run(config, str(tmp_path)).summary
    assert set(summary['model']) == {'no_change', 'mean', 'small_mlp', 'permuted_labels'}
    assert (summary[summary['model'] == 'small_mlp']['coverage'] == 1).all()
    assert not (tmp_path / 'embeddings.h5ad').exists()
    predicted = (tmp_path / 'predictions.h5ad').read_bytes()
    experiment.run(config, str(tmp_path), 'predict')
    experiment.run(config, str(tmp_path), 'grid')
    assert len(predicted) == len((tmp_path / 'predictions.h5ad').read_bytes())
    assert {'small_mlp', 'small_mlp_spread'} <= set(anndata.read_h5ad(tmp_path / 'grid.h5ad').layers)
    folder = tmp_path / 'checkpoints' / 'small_mlp' / '13'
    assert len(what_if([folder], 'context1', 'GENE01', top=2)) == 4


def test_a_network_that_only_run_was_given_is_asked_by_its_label(tmp_path):
    config = tiny.get_config()
    config.models = {}
    config.split.seeds = (13,)
    models = {'mine': mlp()}
    experiment.run(config, str(tmp_path), 'train', models=models)
    folder = tmp_path / 'checkpoints' / 'mine' / '13'
    assert len(what_if([folder], 'context1', 'GENE01', top=2, models=models)) == 4
    with pytest.raises(InputError, match="none is called 'mine'; give a folder .* models={'mine': ...}"):
        what_if([folder], 'context1', 'GENE01')


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('models.lmp', {}, "models.lmp: no such choice 'lmp'; did you mean 'lpm'"),
        ('models.lpm', {'embeding': 3}, "models.lpm: no such setting 'embeding'; did you mean 'embedding_dim'"),
        ('training.epoch', 3, "training: no such setting 'epoch'; did you mean 'epochs'"),
        ('trainin', {}, "config: no such setting 'trainin'; did you mean 'training'"),
        ('evaluation.bootstrap_sample', 3, "did you mean 'bootstrap_samples'"),
        ('split.name', 'unseen', 'split.name: no such choice'),
        ('training.batch_size', 0, 'training.batch_size: 0 must be at least 1'),
        ('training', {'epochs': 2.5}, r'training.epochs: 2.5 is of the wrong type; it must be int'),
        ('models.lpm', {'hidden_dims': 8}, 'models.lpm.hidden_dims: 8 is of the wrong type'),
        ('models.lpm', {'embedding_dim': (4, 4)}, 'must be one number, or three'),
        ('models.linear.rank', 0, 'models.linear.rank: 0 must be at least 1'),
        ('models.truth', {'model': 'mean'}, "cannot be called 'truth'"),
        ('models.lpm_spread', {'model': 'mean'}, "cannot be called 'lpm_spread'"),
        ('models.lpm*', {'model': 'mean'}, r"cannot be called 'lpm\*'"),
        (
            'evaluation.metrics',
            ('l2', 'de_roc'),
            "evaluation.metrics: no such metric 'de_roc'; did you mean 'de_roc_auc'",
        ),
        ('evaluation.bootstrap_samples', 0, 'evaluation.bootstrap_samples: 0 must be at least 1'),
        ('seed', -1, 'seed: .* must be whole numbers'),
        ('split.seeds', (3, 3), 'split.seeds: .* each once'),
        ('split.test', 'half', r"\(unseen_in_context\).test: 'half' is of the wrong type"),
        ('split.context', 'context9', "no context matches 'context9'; there are 'context1'"),
        ('data.cells', -1, 'cells'),
        ('models.linear_transfer', {'reference': 'mars'}, "no context 'mars'"),
    ],
)
def test_a_bad_config_leaves_the_workdir_untouched(tmp_path, name, value, message):
    config = tiny.get_config()
    with config.unlocked():
        section, _, key = name.rpartition('.')
        (config[section] if section else config)[key] = value
    with pytest.raises(InputError, match=message):
        experiment.run(config, str(tmp_path / 'workdir'))
    assert not os.path.exists(tmp_path / 'workdir')


def test_evaluating_before_predicting_is_told(tmp_path):
    with pytest.raises(InputError, match=r'predictions.h5ad: not there; run --mode=predict first'):
        experiment.run(tiny.get_config(), str(tmp_path), 'evaluate')


def test_the_whole_grid_is_predicted_into_one_file(workdir, tmp_path):
    """By the models of both splits; the held-out profiles have the values that predicting them gave."""
    shutil.copytree(workdir, tmp_path / 'copy')
    experiment.run(tiny.get_config(), str(tmp_path / 'copy'), 'grid')
    grid = anndata.read_h5ad(tmp_path / 'copy' / 'grid.h5ad')
    predicted = anndata.read_h5ad(workdir / 'predictions.h5ad')
    assert set(grid.layers) == {f'{model}_{seed}' for model in MODELS for seed in (13, 14)}
    names = json.loads((workdir / 'vocabulary.json').read_text())
    assert grid.shape == (len(names['contexts']) * len(names['perturbations']), len(names['readouts']))
    single = predicted[~predicted.obs['perturbation'].str.contains('+', regex=False)]
    for row in (0, single.n_obs - 1):
        profile = single.obs.iloc[row]
        place = f'{profile["context"]}/{profile["perturbation"]}'
        again = grid[place, single.var_names].layers[f'lpm_{profile["split"]}']
        known = ~np.isnan(single[row].layers['lpm'])
        np.testing.assert_allclose(again[known], single[row].layers['lpm'][known], rtol=1e-5)


def test_predicting_before_training_is_told(tmp_path):
    with pytest.raises(InputError, match='no checkpoint is there; train first'):
        experiment.run(tiny.get_config(), str(tmp_path), 'predict')
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_four_devices_is_read_on_one(workdir, tmp_path):
    assert jax.local_device_count() == 4
    folder = workdir / 'checkpoints' / 'lpm' / '13'
    program = (
        'import sys, jax, numpy as np, perturbjax; assert jax.local_device_count() == 1; '
        'np.save(sys.argv[2], perturbjax.read_embeddings(sys.argv[1]).X)'
    )
    one = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '', 'JAX_NUM_CPU_DEVICES': '1'}
    subprocess.run([sys.executable, '-c', program, str(folder), str(tmp_path / 'x.npy')], env=one, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / 'x.npy'), read_embeddings(folder).X)


def test_embeddings_answer_what_the_config_asks(workdir, tmp_path):
    config = tiny.get_config()
    (tmp_path / 'pairs.csv').write_text('first,second\nGENE01,GENE02\nGENE02,GENE03\nGENE05,GENE06\nGENE04,GENE07\n')
    config.analysis = {
        'pairs': {'made_up': {'path': str(tmp_path / 'pairs.csv'), 'axis': 'readout'}},
        'what_if': ({'context': 'context1', 'readout': 'GENE01', 'top': 3},),
    }
    experiment.run(config, str(workdir), 'analyse')
    found = {path.stem: path for path in (workdir / 'analysis').iterdir()}
    names = {'agreement_lpm_perturbation', 'agreement_lpm_readout', 'pairs_made_up', 'what_if', 'what_if_1'}
    assert set(found) == names
    pairs = pd.read_csv(found['pairs_made_up'])
    assert set(pairs['source']) == {'lpm', 'profiles'}
    assert (pairs['pairs'] == 4).all()
    assert len(pd.read_csv(found['what_if'])) == 6
    assert found['what_if_1'].read_text().startswith('<?xml')
    shutil.rmtree(workdir / 'analysis')


def test_an_analysis_that_asks_for_nothing_or_for_what_is_not_there_is_told(workdir):
    config = tiny.get_config()
    with pytest.raises(InputError, match='analysis: the config asks for nothing'):
        experiment.run(config, str(workdir), 'analyse')
    config.analysis = {'targets': 'nowhere.tsv'}
    with pytest.raises(InputError, match='nowhere.tsv'):
        experiment.run(config, str(workdir), 'analyse')
    assert not (workdir / 'analysis').exists()
