import json
import pickle

import pytest

from perturbjax.errors import InputError
from perturbjax.readers.split_file import read_split_lists, resolve

LISTS = {'train': ['ctrl', 'g1+ctrl'], 'val': ['g3+ctrl'], 'test': ['g6+g5']}


@pytest.mark.parametrize('form', ['json', 'pkl', 'pickle'])
def test_lists_come_back(tmp_path, form):
    path = tmp_path / f'split.{form}'
    path.write_bytes(json.dumps(LISTS).encode() if form == 'json' else pickle.dumps(LISTS))
    assert read_split_lists(str(path)) == LISTS
    settings = {'name': 'custom', 'seeds': (1, 2), 'path': str(path)}
    resolved = {'name': 'custom', 'seeds': (1, 2), 'lists': LISTS, 'source': str(path)}
    assert resolve(settings) == resolved
    assert resolve(resolved) == resolved


def test_only_custom_reads_a_file():
    settings = {'name': 'unseen_single', 'seeds': (1,), 'test': 0.3}
    assert resolve(settings) == settings


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({}, "the setting 'path' is needed"),
        ({'pth': 'x'}, "no such setting 'pth'; did you mean 'path'"),
        ({'path': 3}, r'split \(custom\).path: 3 is of the wrong type; it must be str'),
        ({'path': '/nowhere/s.json'}, '/nowhere/s.json: there is no such file'),
    ],
)
def test_settings_without_lists_are_told(settings, message):
    with pytest.raises(InputError, match=message):
        resolve({'name': 'custom', **settings})


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'it cannot be read as JSON'),
        ('[]', 'it holds no lists by name'),
        ('{"train": 3, "test": []}', "'train' is not a list of conditions"),
        ('{"train": ["A", 3], "test": []}', "'train' holds something that is not text"),
    ],
)
def test_a_bad_file_is_told(tmp_path, text, message):
    path = tmp_path / 'split.json'
    path.write_text(text)
    with pytest.raises(InputError, match=f'split.json: not a split: {message}'):
        read_split_lists(str(path))


class Opens:
    """Pickled, it is a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path, made = tmp_path / 'split.pkl', tmp_path / 'made'
    path.write_bytes(pickle.dumps(Opens(made)))
    with pytest.raises(InputError, match='split.pkl: '):
        read_split_lists(str(path))
    assert not made.exists()
