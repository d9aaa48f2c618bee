"""Every file of a checkpoint, damaged in every way: told in a sentence, and resumed from the step before."""

import jax
import numpy as np
import pytest
from faults_for_tests import copy_damaged, damaged, damages, outcome
from screens_for_tests import two_contexts

from perturbjax.training import checkpoints

ABOUT = checkpoints.About(two_contexts().vocabulary, {'seed': 0}, {'name': 'any', 'test': [['s', 'a', 'g']]}, 'lpm')
STATE = {'moments': np.zeros((3, 2), np.float32), 'step': np.int32(0)}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('checkpoint') / '13'
    with checkpoints.open_folder(path) as saving:
        for step in (1, 2):
            state = jax.tree.map(lambda each, step=step: each + each.dtype.type(step), STATE)
            params = {'weights': {'context': np.full((2, 3), step, np.float32)}}
            checkpoints.save(saving, step, params, ABOUT, state, {'epoch': step})
    return path


def resume(path):
    with checkpoints.open_folder(path) as saved:
        state, progress = checkpoints.resume(saved, STATE)
    assert (state['moments'] == progress['epoch']).all()
    assert state['step'] == progress['epoch']
    return progress['epoch']


def read(path):
    read = checkpoints.read(path)
    assert read.about == ABOUT
    return int(read.params['weights']['context'][0, 0])


def test_damage_is_told(folder):
    tried = 0
    for path, kind, content in damages(folder / '2', seed=1):
        with damaged(path, content):
            found, sentence = outcome(read, folder)
        what = f'{path.relative_to(folder)} {kind}'
        assert found is None, f'{what}: read in silence'
        assert 'checkpoint 2 is damaged' in sentence, what
        assert 'goes on from checkpoint 1' in sentence, what
        tried += 1
    assert tried > 100
    assert read(folder) == 2


@pytest.mark.campaign
@pytest.mark.parametrize('seed', range(2, 6))
def test_resuming_goes_back_to_the_step_before(folder, tmp_path, seed, caplog):
    tried, target = 0, tmp_path / 'copy'
    for path, kind, content in damages(folder / '2', seed, flips=5):
        copy_damaged(folder, target, path, content)
        assert outcome(resume, target) == (1, ''), f'{path.relative_to(folder)} {kind}'
        tried += 1
    assert tried > 150
    assert caplog.text.count('training goes on from checkpoint 1') == tried


def test_an_emptied_step_counts_as_damaged(folder, tmp_path):
    copy_damaged(folder, tmp_path / 'copy', folder / '2' / 'manifest.json', b'{}')
    assert 'checkpoint 2 is damaged' in outcome(read, tmp_path / 'copy')[1]
