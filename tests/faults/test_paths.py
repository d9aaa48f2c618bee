"""Paths as users write them become absolute where they enter, whatever they are for."""

import os

import numpy as np
import pandas as pd
import pytest
from screens_for_tests import two_contexts

from perturbjax.errors import InputError
from perturbjax.paths import absolute, refuse_endless, work_folder
from perturbjax.readers.files import find_files
from perturbjax.readers.split_file import read_split_lists
from perturbjax.readers.table import read_matrix
from perturbjax.screens import store
from perturbjax.training import checkpoints


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder that is the user's home, the current one, and `$SCREENS`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('SCREENS', str(tmp_path))
    return tmp_path


WAYS = ['{}', './{}', '~/{}', '$SCREENS/{}', '${{SCREENS}}/{}', 'deep/../{}']


@pytest.mark.parametrize('way', WAYS)
def test_each_way_names_the_same_file(home, way):
    path = way.format('a.csv')
    assert absolute(path) == work_folder(path) == str(home / 'a.csv')
    pd.DataFrame({'x': [1.0]}).to_csv(home / 'a.csv', index=False)
    (home / 's.json').write_text('{"train": ["a"]}')
    assert find_files(path) == [str(home / 'a.csv')]
    assert find_files(way.format('*.csv')) == [str(home / 'a.csv')]
    assert read_matrix(path)['x'].tolist() == [1.0]
    assert read_split_lists(way.format('s.json')) == {'train': ['a']}
    compendium = two_contexts()
    store.write(compendium, way.format('prepared'))
    assert store.read(way.format('prepared')).vocabulary == compendium.vocabulary
    with checkpoints.open_folder(way.format('lpm/13')) as folder:
        checkpoints.save(folder, 1, {'w': np.ones(2)}, checkpoints.About(compendium.vocabulary, {}, {}))
    assert checkpoints.is_saved(way.format('lpm/13'))
    assert checkpoints.read(way.format('lpm/13')).params['w'].tolist() == [1, 1]
    assert {each.name for each in home.iterdir()} == {'a.csv', 's.json', 'prepared', 'lpm'}


def test_a_file_that_is_there_as_written_is_taken(home):
    (home / '$SCREENS').write_text('')
    assert absolute('$SCREENS') == str(home / '$SCREENS')
    assert absolute('gs://bucket/~/$X') == 'gs://bucket/~/$X'


REFUSED = {
    '': '--workdir: the path is empty',
    ' ': '--workdir: the path is empty',
    '$NOWHERE/run': r"\$NOWHERE/run: nothing is called '\$NOWHERE' here",
    '~no-such-user/run': "nothing is called '~no-such-user' here",
    'run*': r'run\*: Orbax cannot save under a name with',
    'run[1]': 'Orbax cannot save under a name with',
    'run?': 'Orbax cannot save under a name with',
    'a\0b': 'holds a character that no path may have',
    'file': 'file: it is a file; give the name of a folder',
}


@pytest.mark.parametrize('path', REFUSED)
def test_a_workdir_that_cannot_be_is_refused(home, path):
    (home / 'file').write_text('')
    with pytest.raises(InputError, match=REFUSED[path]):
        work_folder(path)
    assert [each.name for each in home.iterdir()] == ['file']


def test_pipes_and_devices_are_refused_before_they_are_opened(home):
    os.mkfifo('pipe.csv')
    os.symlink('/dev/zero', 'zero.csv')
    for path in ('pipe.csv', 'zero.csv'):
        for read in (find_files, read_matrix, refuse_endless):
            with pytest.raises(InputError, match='it is a pipe, a device or a socket'):
                read(path)
