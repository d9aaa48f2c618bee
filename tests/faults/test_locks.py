"""Two launches on one workdir: the second is refused by name, and a lock is gone when its process is."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from perturbjax.errors import InputError
from perturbjax.lock import locked, refuse_locked

ROOT = pathlib.Path(__file__).parents[2]
HOLDER = """
import sys, time
from perturbjax.lock import locked
with locked(sys.argv[1], 'training'):
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    line = [sys.executable, '-c', HOLDER, str(tmp_path)]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_by_process_and_host(tmp_path, holder):
    before = (tmp_path / '.training.lock').stat().st_mtime_ns
    expected = f'another launch is using it for training .process {holder.pid} on {socket.gethostname()}, since '
    for refuse in (lambda: refuse_locked(tmp_path, 'training'), lambda: locked(tmp_path, 'training').__enter__()):
        with pytest.raises(InputError, match=expected):
            refuse()
    assert (tmp_path / '.training.lock').stat().st_mtime_ns == before
    with locked(tmp_path, 'results'):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert str(holder.pid) in (tmp_path / '.training.lock').read_text()
    with locked(tmp_path, 'training'):
        assert f'process {os.getpid()} on' in (tmp_path / '.training.lock').read_text()
        with pytest.raises(InputError, match='another launch'), locked(tmp_path, 'training'):
            pass
    refuse_locked(tmp_path, 'training')


@pytest.mark.parametrize('content', ['', 'process 1 on a-host-that-restarted', '\0\xff'])
def test_what_a_lock_file_says_holds_nothing(tmp_path, content):
    (tmp_path / '.training.lock').write_text(content)
    with locked(tmp_path, 'training'):
        pass


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with locked(tmp_path / 'none', 'results'):
        refuse_locked(tmp_path / 'none', 'results')
    assert not list(tmp_path.iterdir())
