import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import everything, measurements, two_contexts

from perturbjax.errors import InputError
from perturbjax.models import additive, two_way
from perturbjax.screens.screen import assemble
from perturbjax.training import checkpoints, manifest
from perturbjax.training.fit import read_params

ABOUT = checkpoints.About(two_contexts().vocabulary, {'seed': 0, 'split': {'name': 'any'}}, {'test': [['s', 'a', 'g']]})


def save(folder, errors, params=None):
    with checkpoints.open_folder(folder) as manager:
        for step, error in enumerate(errors, start=1):
            each = {'w': np.full(3, step, np.float32)} if params is None else params
            checkpoints.save(manager, step, each, ABOUT, {'step': np.int32(step)}, {'rmse': error})


def test_the_latest_is_read_and_resumed(tmp_path):
    save(tmp_path / 'c', [3.0, 1.0, 2.0])
    read = checkpoints.read(tmp_path / 'c')
    np.testing.assert_array_equal(read.params['w'], [3, 3, 3])
    assert read.about == ABOUT
    with checkpoints.open_folder(tmp_path / 'c') as manager:
        state, progress = checkpoints.resume(manager, {'step': np.int32(0)})
    assert (state['step'], progress['rmse']) == (3, 2.0)
    assert sorted(each.name for each in (tmp_path / 'c').iterdir()) == ['2', '3']


def test_params_come_back_in_their_structure(tmp_path):
    compendium = two_contexts()
    params = jax.jit(additive().fit)(compendium, everything(compendium))
    save(tmp_path / 'c', [None], params)
    target = jax.tree.map(jnp.zeros_like, params)
    read = checkpoints.read(tmp_path / 'c', target).params
    assert jax.tree.structure(read) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_a_relative_folder_is_one_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save('run/c', [1.0])
    np.testing.assert_array_equal(checkpoints.read('run/c').params['w'], [1, 1, 1])
    assert checkpoints.is_saved(tmp_path / 'run' / 'c')


def test_no_checkpoint_is_told(tmp_path):
    with pytest.raises(InputError, match=r'nowhere: no checkpoint is there; train first'):
        checkpoints.read(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match=r'empty: it holds no finished checkpoint'):
        checkpoints.read(tmp_path / 'empty')


def test_an_older_format_is_refused_whether_read_or_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, 'FORMAT', 1)
    save(tmp_path / 'c', [1.0])
    monkeypatch.undo()
    with pytest.raises(InputError, match=r'c: the checkpoint has format 1, .* train again, in another workdir'):
        checkpoints.read(tmp_path / 'c')
    with checkpoints.open_folder(tmp_path / 'c') as manager, pytest.raises(InputError, match='has format 1'):
        checkpoints.resume(manager, {'step': np.int32(0)})


@pytest.mark.parametrize('item', ['vocabulary', 'params'])
def test_a_broken_checkpoint_is_told(tmp_path, item):
    save(tmp_path / 'c', [1.0])
    shutil.rmtree(tmp_path / 'c' / '1' / item)
    with pytest.raises(InputError, match=r'c: checkpoint 1 is damaged .* remove the folder and train again'):
        checkpoints.read(tmp_path / 'c')


def damage(folder, step):
    path = folder / str(step) / 'split' / 'metadata'
    path.write_text(path.read_text().replace('g', 'h'))


def test_resuming_goes_back_to_the_step_before_a_damaged_one_and_says_so(tmp_path, caplog):
    save(tmp_path, [3.0, 1.0, 2.0])
    damage(tmp_path, 3)
    with pytest.raises(
        InputError, match=r'3 is damaged \(split/metadata was changed\); --mode=train goes on from .* 2\.'
    ):
        checkpoints.read(tmp_path)
    with checkpoints.open_folder(tmp_path) as folder:
        assert checkpoints.resume(folder, {'step': np.int32(0)})[1] == {'rmse': 1.0}
    assert 'checkpoint 3 is damaged (split/metadata was changed); training goes on from checkpoint 2' in caplog.text
    np.testing.assert_array_equal(checkpoints.read(tmp_path).params['w'], [2, 2, 2])


def test_where_all_steps_are_damaged_nothing_is_resumed_or_removed(tmp_path):
    save(tmp_path, [3.0, 1.0])
    damage(tmp_path, 1)
    damage(tmp_path, 2)
    with (
        checkpoints.open_folder(tmp_path) as folder,
        pytest.raises(InputError, match='no earlier one is whole; remove'),
    ):
        checkpoints.resume(folder, {'step': np.int32(0)})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_checkpoint_from_before_manifests_is_read_and_a_lost_manifest_is_told(tmp_path):
    save(tmp_path, [1.0])
    (tmp_path / '1' / 'manifest.json').unlink()
    with pytest.raises(InputError, match=r'manifest.json is missing'):
        checkpoints.read(tmp_path)
    names = tmp_path / '1' / 'vocabulary' / 'metadata'
    names.write_text(
        names.read_text().replace('"sealed":true', '"later":true').replace('"sealed": true', '"later": true')
    )
    assert checkpoints.read(tmp_path).about == ABOUT


def test_sizes_alone_are_compared_where_contents_are_trusted(tmp_path, monkeypatch):
    save(tmp_path, [1.0])
    damage(tmp_path, 1)
    monkeypatch.setattr(manifest, 'compares_contents', False)
    assert checkpoints.read(tmp_path).about.split == {'test': [['s', 'a', 'h']]}


def test_a_step_that_is_removed_while_it_is_read_gives_way_to_the_next(tmp_path, monkeypatch):
    save(tmp_path, [1.0])
    verify = manifest.fault

    def later(path):
        monkeypatch.undo()
        save(tmp_path, [1.0, 2.0])
        shutil.rmtree(tmp_path / '1')
        return verify(path)

    monkeypatch.setattr(manifest, 'fault', later)
    np.testing.assert_array_equal(checkpoints.read(tmp_path).params['w'], [2, 2, 2])


def test_a_rule_that_has_learnt_of_a_further_part_since_is_read_or_told(tmp_path):
    """`two_way` had no effects of whole combinations once: its params were the same but for the last field."""
    rows = [('a', name, np.ones(2)) for name in ('control', 'g', 'h', 'g+h')]
    compendium, rule = assemble([measurements(rows, ['x', 'y'])], ['log1p']), two_way()
    training = everything(compendium)
    params = jax.jit(rule.fit)(compendium, training)
    assert params.known is None
    before = {name: each for name, each in params._asdict().items() if name != 'known'}
    save(tmp_path / 'c', [None], before)
    read = read_params(rule, tmp_path / 'c', compendium, training)
    assert jax.tree.structure(read) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, read, params)
    with pytest.raises(InputError, match="lacks 'known', which this version of the model has; train again"):
        checkpoints.in_structure_of(params._replace(known=np.zeros((1, 2))), before)
