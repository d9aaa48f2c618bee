"""Full disks, folders without rights and folders that vanish: a sentence, and what was written before is whole."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from etils import epath
from faults_for_tests import outcome
from screens_for_tests import two_contexts

from perturbjax import workdir
from perturbjax.errors import InputError, of_system
from perturbjax.training import checkpoints
from perturbjax.training.metric_writer import MetricWriter

ABOUT = checkpoints.About(two_contexts().vocabulary, {}, {}, 'lpm')


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB; skipped where none may be mounted."""
    folder = tmp_path / 'small'
    folder.mkdir()
    line = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(folder)]
    if not shutil.which('mount') or subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip('no file system may be mounted here')
    yield folder
    subprocess.run(['umount', str(folder)], check=True)


def save(folder, step, size):
    with checkpoints.open_folder(folder) as saving:
        checkpoints.save(saving, step, {'w': np.random.default_rng(step).normal(size=size)}, ABOUT)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(small_disk):
    save(small_disk / '13', 1, 100)
    _, sentence = outcome(save, small_disk / '13', 2, 10**6)
    assert 'checkpoint 2 could not be saved' in sentence
    assert 'free space' in sentence
    assert [each.name for each in (small_disk / '13').iterdir()] == ['1']
    assert checkpoints.read(small_disk / '13').params['w'].shape == (100,)
    save(small_disk / '13', 2, 100)
    assert sorted(each.name for each in (small_disk / '13').iterdir()) == ['1', '2']


def test_a_file_that_does_not_fit_leaves_the_one_before(small_disk):
    path = epath.Path(small_disk) / 'a.txt'
    workdir.write_text(path, 'old', checked=True)
    with pytest.raises(OSError) as raised:
        workdir.write_text(path, 2**21 * 'x', checked=True)
    assert 'No space left on device; free space there, and launch again to go on.' in of_system(raised.value)
    assert path.read_text() == 'old'
    assert {each.name for each in small_disk.iterdir()} == {'a.txt', '.a.txt.sha256'}
    workdir.check_unchanged(path, '')


def test_where_nothing_may_be_written_it_is_told(small_disk):
    save(small_disk / '13', 1, 100)
    subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
    _, sentence = outcome(save, small_disk / '13', 2, 100)
    assert 'checkpoint 2 could not be saved (Read-only file system)' in sentence
    assert checkpoints.read(small_disk / '13').params['w'].shape == (100,)
    with pytest.raises(OSError) as raised:
        workdir.write_text(epath.Path(small_disk) / 'a.txt', 'new')
    assert 'Read-only file system; give another --workdir' in of_system(raised.value)


def test_a_removed_checkpoint_folder_is_made_again_and_a_removed_workdir_is_told(tmp_path):
    folder = epath.Path(tmp_path) / 'run'
    writer = MetricWriter(folder / 'metrics.jsonl', 'lpm', 13)
    writer.write({'epoch': 1})
    with checkpoints.open_folder(folder / 'checkpoints' / 'lpm') as saving:
        checkpoints.save(saving, 1, {'w': np.ones(3)}, ABOUT)
        saving.wait()
        shutil.rmtree(folder / 'checkpoints')
        checkpoints.save(saving, 2, {'w': np.ones(3)}, ABOUT)
    assert checkpoints.is_saved(folder / 'checkpoints' / 'lpm')
    shutil.rmtree(folder)
    with pytest.raises(InputError, match=r'run: it was removed while the run went on'):
        writer.write({'epoch': 2})
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_without_the_right_to_write_is_told(tmp_path):
    pathlib.Path(tmp_path).chmod(0o500)
    _, sentence = outcome(save, tmp_path / '13', 1, 3)
    assert 'Permission denied' in sentence
