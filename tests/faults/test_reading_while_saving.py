"""Checkpoints that are read while training saves: every read gives a whole step, and none fails."""

import threading

import numpy as np
import pytest
from screens_for_tests import two_contexts

from perturbjax.training import checkpoints


def save_many(folder, steps, about):
    with checkpoints.open_folder(folder) as saving:
        for step in steps:
            checkpoints.save(saving, step, {'w': np.full(100, step), 'v': np.full(7, step)}, about)


@pytest.mark.parametrize('steps', [12, pytest.param(300, marks=pytest.mark.campaign)])
def test_every_read_gives_a_whole_step(tmp_path, steps):
    about = checkpoints.About(two_contexts().vocabulary, {}, {}, 'lpm')
    save_many(tmp_path, [1], about)
    saving = threading.Thread(target=save_many, args=(tmp_path, range(2, steps + 1), about))
    saving.start()
    seen = []
    while saving.is_alive():
        params = checkpoints.read(tmp_path).params
        assert len({*params['w'].tolist(), *params['v'].tolist()}) == 1
        assert checkpoints.is_saved(tmp_path)
        assert set(checkpoints.param_names(tmp_path)) == {'w', 'v'}
        seen.append(int(params['w'][0]))
    saving.join()
    assert seen == sorted(seen)
    assert checkpoints.read(tmp_path).params['w'][0] == steps
    assert len(set(seen)) > steps // 4
