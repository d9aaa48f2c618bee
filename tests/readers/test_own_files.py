"""A run's own file is no other screen: what is held out would be known."""

import os

import ml_collections
import pytest
from screens_for_tests import two_contexts

import perturbjax
from perturbjax.errors import InputError
from perturbjax.readers.own_files import refuse_own_screens
from perturbjax.screens import store


@pytest.fixture
def files(tmp_path):
    """Two files, a link to the first, and a store made from the first."""
    for name in ('own.h5ad', 'other.h5ad'):
        (tmp_path / name).touch()
    os.symlink(tmp_path / 'own.h5ad', tmp_path / 'link.h5ad')
    store.write(two_contexts(), tmp_path / 'prepared', {'source': 'h5ad', 'path': str(tmp_path / 'own.h5ad')}, [])
    return tmp_path


def data_of(files, kind):
    path = {'prepared': files / 'prepared', 'pattern': files / 'ow*.h5ad'}.get(kind, files / 'own.h5ad')
    one = {'source': 'prepared' if kind == 'prepared' else 'h5ad', 'path': str(path)}
    return {'screens': {'a': one}} if kind == 'several' else one


@pytest.mark.parametrize('kind', ['file', 'pattern', 'several', 'prepared'])
@pytest.mark.parametrize('name', ['own.h5ad', 'link.h5ad', 'prepared'])
def test_the_own_file_is_refused_in_every_form(files, kind, name):
    models = {'mine': {'model': 'lpm', 'features': {'perturbation': ['numbers', f'screen:{files / name}']}}}
    with pytest.raises(InputError, match=f'models.mine: .*{name} is read by data too'):
        refuse_own_screens(models, data_of(files, kind))


@pytest.mark.parametrize('kind', ['file', 'pattern', 'several', 'prepared'])
def test_another_file_is_not(files, kind):
    source = f'screen:{files / "other.h5ad"}'
    refuse_own_screens({'a': {'embedding': source}, 'b': {}, 'c': {'rank': 3}}, data_of(files, kind))


def test_a_run_refuses_it_before_anything_is_read_or_written(files):
    config = ml_collections.ConfigDict({'seed': 0, 'split': {'name': 'unseen_single', 'seeds': (0,)}})
    config.data = {**data_of(files, 'file'), 'scale': 'log1p', 'fields': {'context_name': 'x'}}
    config.models = {'kernel': {'embedding': f'screen:{files / "own.h5ad"}'}}
    with pytest.raises(InputError, match='models.kernel: .* is read by data too'):
        perturbjax.run(config, str(files / 'workdir'))
    assert not (files / 'workdir').exists()


def test_without_another_screen_data_are_not_looked_at():
    refuse_own_screens({'a': {'embedding': 'x.tsv'}}, {'source': 'simulation'})
