"""Experiments by name: in a checkout, and in what a wheel is made of."""

import pathlib
import subprocess
import sys

import pytest

from perturbjax.errors import InputError
from perturbjax.experiment_files import experiment_path, known_experiments

ROOT = pathlib.Path(__file__).parents[1]


def test_a_name_is_that_of_a_file_and_keeps_its_argument(tmp_path):
    assert experiment_path('tiny') == str(ROOT / 'experiments' / 'tiny.py')
    assert experiment_path('lpm_lincs:a549_crispr') == str(ROOT / 'experiments' / 'lpm_lincs.py') + ':a549_crispr'
    mine = tmp_path / 'mine.py'
    mine.touch()
    assert experiment_path(f'{mine}:a:b') == f'{mine}:a:b'


@pytest.mark.parametrize(
    ('config', 'what'), [('tyni', 'experiment'), ('experiments/tyni.py', 'file'), ('', 'experiment')]
)
def test_an_unknown_one_lists_those_that_are_known(config, what):
    with pytest.raises(InputError, match=f"--config: there is no {what} '{config}'; .*quickstart, tiny"):
        experiment_path(config)


def test_a_wheel_holds_every_experiment(tmp_path):
    pytest.importorskip('setuptools')
    build = [
        sys.executable,
        'setup.py',
        '--quiet',
        'build',
        '--build-base',
        tmp_path,
        'build_py',
        '--build-lib',
        tmp_path / 'lib',
    ]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    code = 'from perturbjax.experiment_files import known_experiments; print(*known_experiments().values())'
    found = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path / 'lib', check=True, capture_output=True, text=True
    ).stdout.split()
    folder = tmp_path / 'lib' / 'perturbjax' / 'experiments'
    assert found == [str(folder / f'{name}.py') for name in known_experiments()]
    assert (folder / 'p100_gcp_mechanisms.csv').exists()
    assert (tmp_path / 'lib' / 'perturbjax' / 'py.typed').exists()
