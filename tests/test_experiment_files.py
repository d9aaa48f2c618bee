"""Experiments by name: in a checkout, and in what a wheel is made of."""

import pathlib
import re
import subprocess
import sys

import ml_collections
import pytest
from absl import flags
from ml_collections import config_flags

from perturbjax.config import as_config
from perturbjax.errors import InputError
from perturbjax.experiment_files import experiment_path, fault_in_experiment, known_experiments

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


# ml_collections still loads files in the old way.
OLD_WAY = pytest.mark.filterwarnings('ignore:the load_module:DeprecationWarning')
HEAD = 'import pathlib\nimport ml_collections\nimport numpy as np\ndef get_config(_=""):\n'


@pytest.fixture
def loaded(monkeypatch):
    """A function that gives the config of an experiment file as the flag `--config` reads it."""

    def load(path, *more):
        sys.modules.pop('config_config', None)  # the one before
        arguments = ['program', f'--config={path}', *more]
        monkeypatch.setattr(sys, 'argv', arguments)  # where ml_collections looks for what is overridden
        values = flags.FlagValues()
        holder = config_flags.DEFINE_config_file('config', None, '', flag_values=values, lock_config=True)
        values(arguments)
        return as_config(holder.value)

    return load


FAULTS = {
    'an attribute': (HEAD + '    return ml_collections.ConfigDict().sede\n', ', line 5: AttributeError: .*sede'),
    'a key': (HEAD + '    return {}["x"]\n', ", line 5: KeyError: 'x'"),
    'an import': ('import nothing_there\n', ", line 1: ModuleNotFoundError: No module named 'nothing_there'"),
    'a file': (HEAD + '    open("/nowhere/a")\n', ', line 5: FileNotFoundError: .*/nowhere/a'),
    'a type': (HEAD + '    x = 1\n    return len(x)\n', ", line 6: TypeError: object of type 'int' has no len"),
    'a division': (HEAD + '    return 1 / 0\n', ', line 5: ZeroDivisionError: division by zero'),
    'no Python': ('def get_config(:\n', ', line 1: this is not Python'),
    'no get_config': ('x = 1\n', ': it has no function get_config'),
}


@OLD_WAY
@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_inside_an_experiment_file_says_file_line_and_cause(tmp_path, loaded, fault):
    text, message = FAULTS[fault]
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(Exception, match='.') as error:
        loaded(tmp_path / 'mine.py')
    sentence = str(fault_in_experiment(error.value))
    assert re.match(re.escape(str(tmp_path / 'mine.py')) + message, sentence), sentence
    assert '\n' not in sentence


@OLD_WAY
def test_other_faults_are_told_as_they_are(tmp_path, loaded):
    text = 'from perturbjax.errors import InputError\ndef get_config():\n    raise InputError("no such screen")\n'
    (tmp_path / 'mine.py').write_text(text)
    with pytest.raises(flags.Error, match='no such screen') as error:
        loaded(tmp_path / 'mine.py')
    assert fault_in_experiment(error.value) is None
    (tmp_path / 'mine.py').write_text(HEAD + '    return ml_collections.ConfigDict({"seed": 0, "n": np.int64(3)})\n')
    with pytest.raises(AttributeError, match='sede') as error:
        loaded(tmp_path / 'mine.py', '--config.sede=1')
    assert fault_in_experiment(error.value) is None
    with pytest.raises(Exception, match='is not supported for overriding') as error:
        loaded(tmp_path / 'mine.py', '--config.n=1')
    assert str(fault_in_experiment(error.value)).startswith('--config.n: the experiment file has a numpy.int64 there')


@OLD_WAY
def test_get_config_may_return_a_dict(tmp_path, loaded):
    (tmp_path / 'mine.py').write_text(HEAD + '    return {"data": {"path": pathlib.Path("a")}, "seed": 1}\n')
    config = loaded(tmp_path / 'mine.py', '--config.seed=3')
    assert isinstance(config, ml_collections.ConfigDict)
    assert (config.seed, config.data.path) == (3, pathlib.Path('a'))
    for text, given in (('    pass\n', 'nothing .is a return missing'), ('    return 3\n', 'a int')):
        (tmp_path / 'mine.py').write_text(HEAD + text)
        with pytest.raises(InputError, match=f'get_config must return .* but gave {given}'):
            loaded(tmp_path / 'mine.py')
