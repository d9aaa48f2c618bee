"""The command line: exit codes and one sentence for every mistake."""

import json
import os
import pathlib
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from experiments import tiny
from perturbjax import experiment, main

ROOT = pathlib.Path(__file__).parents[1]


def launch(*flags, command=(sys.executable, '-m', 'perturbjax.main')):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    return subprocess.run([*command, *flags], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_prints_its_summary_and_where_the_report_lies(tmp_path, monkeypatch):
    monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    flags = ('--config=experiments/tiny.py', f'--workdir={tmp_path}/run', '--config.training.epochs=1')
    result = launch(*flags)
    assert result.returncode == 0, result.stderr
    assert '| perturbation_mean ' in result.stdout
    assert 'lpm: too few perturbations are held out and predicted ' in result.stdout
    assert result.stdout.rstrip().endswith(f'report: {tmp_path}/run/report.html')
    assert json.loads((tmp_path / 'run' / 'config.json').read_text())['training']['epochs'] == 1
    assert result.stderr.count('after launch') == 1
    _evaluate_with_damaged_programs(tmp_path, flags)


def _evaluate_with_damaged_programs(folder, flags):
    """What a full disk left of the compiled programs is compiled again, and the scores are the same."""
    (kept,) = (folder / 'cache' / 'perturbjax' / 'compiled').iterdir()
    programs = list(kept.glob('*-cache'))
    assert programs
    for path in programs:
        path.write_bytes(path.read_bytes()[:100])
    before = (folder / 'run' / 'scores.csv').read_bytes()
    result = launch(*flags, '--mode=evaluate')
    assert result.returncode == 0
    assert 'compilation cache' not in result.stderr
    assert (folder / 'run' / 'scores.csv').read_bytes() == before


def test_without_a_cache_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    flags = ('--config=experiments/tiny.py', f'--workdir={tmp_path}/run', '--mode=train', '--config.training.epochs=1')
    assert launch(*flags, '--compilation_cache=').returncode == 0
    assert not (tmp_path / 'cache' / 'perturbjax').exists()


def conditions(*names):
    return pd.DataFrame({'condition': names, 'cell_line': 'a'}, index=[f'c{i}' for i in range(len(names))])


def write_screen(path, **changes):
    """A file like Korkut's with one thing wrong."""
    obs = conditions('control', 'd1', 'd2', 'd1+d2')
    screen = anndata.AnnData(np.ones((4, 3), np.float32), obs, pd.DataFrame(index=['x', 'y', 'z']))
    for name, value in changes.items():
        setattr(screen, name, value)
    screen.write_h5ad(path)


WRONG_FILES = {
    'no such file': (None, [], 'screen.h5ad: no such file'),
    'not an h5ad': ('text', [], 'screen.h5ad: '),
    'column missing': ({}, ['--config.data.fields.context=cell'], "'condition', 'cell_line'"),
    'no control': (
        {'obs': conditions('d0', 'd1', 'd2', 'd1+d2')},
        ['--config.data.scale=log1p'],
        "no control in the context 'a'",
    ),
    'duplicate gene names': ({'var_names': ['x', 'x', 'z']}, [], "named twice: 'x'"),
    'fractions for counts': ({'X': np.full((4, 3), 0.5, np.float32)}, ['--config.data.counts=True'], 'are no counts'),
    'negatives for counts': ({'X': np.full((4, 3), -1, np.float32)}, ['--config.data.counts=True'], 'are no counts'),
    'empty split': ({}, ['--config.split.test=0.0'], 'it leaves no perturbation to test'),
}


@pytest.mark.filterwarnings('ignore:(Variable|Observation) names are not unique')
@pytest.mark.parametrize('wrong', WRONG_FILES)
def test_a_wrong_file_is_one_sentence_and_exit_code_2(wrong, tmp_path):
    content, flags, message = WRONG_FILES[wrong]
    path, workdir = tmp_path / 'screen.h5ad', tmp_path / 'work'
    if content == 'text':
        path.write_text('condition,cell_line\n')
    elif content is not None:
        write_screen(path, **content)
    flags = ['--config=experiments/benchmark_korkut.py', f'--workdir={workdir}', f'--config.data.path={path}', *flags]
    assert_one_sentence(launch(*flags), message)
    assert not workdir.exists()


def assert_one_sentence(result, message):
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert 'Traceback' not in result.stderr
    (line,) = [each for each in result.stderr.splitlines() if not each.startswith('W')]  # warnings have W
    assert line.startswith('perturbjax: ')


MISTAKES = {
    'no config': ([], '--config is needed'),
    'no workdir': (['--config=experiments/tiny.py'], '--workdir is needed'),
    'no such config file': (['--config=experiments/tyni.py', '--workdir=W'], "there is no file 'experiments/tyni.py'"),
    'no such experiment': (['--config=tyni', '--workdir=W'], 'by name there are benchmark_fly_mapk, '),
    'misspelt override': (
        ['--config=experiments/tiny.py', '--workdir=W', '--config.trainig.epochs=1'],
        "did you mean 'training'",
    ),
    'setting the file does not have': (
        ['--config=experiments/benchmark_korkut.py', '--workdir=W', '--config.models.additive.rank=1'],
        "the experiment file has no setting 'rank'",
    ),
    'renamed setting': (
        ['--config=tiny', '--workdir=W', '--config.training.batch=5'],
        "no setting 'batch'; it is called 'batch_size' now",
    ),
    'misspelt flag': (['--config=experiments/tiny.py', '--workdirr=W'], 'workdir'),
    'no such mode': (['--config=experiments/tiny.py', '--workdir=W', '--mode=tain'], 'train'),
    'no such target': (['--config=experiments/lpm_lincs.py:a459_crispr', '--workdir=W'], "did you mean 'a549_crispr'"),
    'no data': (['--config=experiments/benchmark_korkut.py', '--workdir=W'], '--config.data.path=FILE'),
    'queries in another mode': (['--config=experiments/tiny.py', '--workdir=W', '--queries=q.csv'], '--mode=predict'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(mistake, tmp_path):
    flags, message = MISTAKES[mistake]
    result = launch(*(flag.replace('=W', f'={tmp_path / "work"}') for flag in flags))
    assert_one_sentence(result, message)
    assert not (tmp_path / 'work').exists()


SCRIPT = 'import sys; from perturbjax.main import run; sys.argv[0] = "perturbjax"; run()'


@pytest.mark.parametrize('command', [('-m', 'perturbjax.main'), ('-c', SCRIPT)], ids=['module', 'script'])
@pytest.mark.parametrize('flags', [['--help'], ['--config=nothing.py', '--help']], ids=' '.join)
def test_help_shows_the_flags(command, flags):
    result = launch(*flags, command=(sys.executable, *command))
    assert result.returncode == 0, result.stderr
    for flag in ('config', 'workdir', 'mode', 'queries', '[no]multihost', 'hosts'):
        assert f'\n  --{flag}: ' in result.stdout
    assert not result.stderr


def test_help_and_mistakes_import_nothing_heavy():
    code = 'import sys, perturbjax.main; print([name for name in ("jax", "anndata", "pandas") if name in sys.modules])'
    assert launch('-c', code, command=(sys.executable,)).stdout == '[]\n'


def test_the_modes_are_those_of_the_experiment():
    assert main.MODES == experiment.MODES


@pytest.fixture(scope='module')
def predicted(tmp_path_factory):
    """A workdir with predictions, and its settings."""
    folder = tmp_path_factory.mktemp('predicted')
    config = tiny.get_config()
    config.models = {'context_mean': {}}
    config.evaluation.bootstrap_samples = 50
    experiment.run(config, str(folder))
    return folder, config


FOREIGN = {
    'other genes': (lambda table: table.add_prefix('other_'), '0 of the 19 readouts here are among its 19'),
    'nothing but NaN': (lambda table: table * np.nan, 'values of held-out profiles are missing'),
    'swapped axes': (lambda table: table.T, 'the axes look swapped'),
    'unknown conditions': (lambda table: table.set_axis([f'KO_{i}' for i in table.index]), 'none of its'),
}


@pytest.mark.parametrize('case', FOREIGN)
def test_predictions_that_do_not_fit_are_one_sentence(predicted, tmp_path, case):
    folder, config = predicted
    change, sentence = FOREIGN[case]
    block = anndata.read_h5ad(folder / 'predictions.h5ad')
    block = block[(block.obs['split'] == 13).to_numpy()]
    table = pd.DataFrame(block.layers['context_mean'], block.obs['perturbation'].astype(str), block.var_names)
    change(table.dropna(axis=1, how='all')).to_csv(tmp_path / 'foreign.csv')
    settings = json.loads(config.to_json())
    settings['evaluation']['predictions'] = {'foreign': str(tmp_path / 'foreign.csv')}
    (tmp_path / 'config.py').write_text(
        f'import ml_collections\n\ndef get_config():\n    return ml_collections.ConfigDict({settings!r})\n'
    )
    before = (folder / 'summary.csv').read_bytes()
    result = launch(f'--config={tmp_path}/config.py', f'--workdir={folder}', '--mode=evaluate')
    assert result.returncode == 2, result.stdout + result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('perturbjax: ')]
    assert sentence in line
    assert (folder / 'summary.csv').read_bytes() == before


def test_a_cache_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / 'file').write_text('')
    flags = ('--config=experiments/tiny.py', f'--workdir={tmp_path}/run', f'--compilation_cache={tmp_path}/file/x')
    result = launch(*flags)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f'perturbjax: {tmp_path}/file')
