"""The command line: exit codes and one sentence for every mistake."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def launch(*flags):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-m', 'perturbjax.main', *flags]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_run_prints_its_summary_and_where_the_report_lies(tmp_path):
    flags = ('--config=experiments/tiny.py', f'--workdir={tmp_path}', '--config.training.epochs=1')
    result = launch(*flags)
    assert result.returncode == 0, result.stderr
    assert '| perturbation_mean ' in result.stdout
    assert result.stdout.rstrip().endswith(f'report: {tmp_path}/report.html')
    assert json.loads((tmp_path / 'config.json').read_text())['training']['epochs'] == 1


MISTAKES = {
    'no config': ([], '--config is needed'),
    'no workdir': (['--config=experiments/tiny.py'], '--workdir is needed'),
    'no such config file': (['--config=experiments/tyni.py', '--workdir=W'], 'tyni.py'),
    'misspelt override': (
        ['--config=experiments/tiny.py', '--workdir=W', '--config.trainig.epochs=1'],
        "did you mean 'training'",
    ),
    'setting the file does not have': (
        ['--config=experiments/additive_korkut.py', '--workdir=W', '--config.models.additive.rank=1'],
        "the experiment file has no setting 'rank'",
    ),
    'misspelt flag': (['--config=experiments/tiny.py', '--workdirr=W'], 'workdir'),
    'no such mode': (['--config=experiments/tiny.py', '--workdir=W', '--mode=tain'], 'train'),
    'no such target': (['--config=experiments/lpm_lincs.py:a459_crispr', '--workdir=W'], "did you mean 'a549_crispr'"),
    'no data': (['--config=experiments/additive_korkut.py', '--workdir=W'], '--config.data.path=FILE'),
    'queries in another mode': (['--config=experiments/tiny.py', '--workdir=W', '--queries=q.csv'], '--mode=predict'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_one_sentence_and_exit_code_2(mistake, tmp_path):
    flags, message = MISTAKES[mistake]
    result = launch(*(flag.replace('=W', f'={tmp_path / "work"}') for flag in flags))
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert 'Traceback' not in result.stderr
    assert result.stderr.startswith('perturbjax: ')
    assert result.stderr.count('\n') == 1
    assert not (tmp_path / 'work').exists()
