"""Two processes with two devices each, launched by the same line, train what one process with four does."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from perturbjax.training import checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]


def launch(workdir, devices, *more):
    line = [sys.executable, '-m', 'perturbjax.main', '--config=experiments/tiny.py', f'--workdir={workdir}', *more]
    lpm = "{'model': 'lpm_released', 'embedding': 4, 'hidden': (8,), 'dropout': 0.1}"
    small = ['--config.split.seeds=(13,)', f"--config.models={{'lpm': {lpm}}}"]
    quick = ['--mode=train', '--config.training={"batch": 200, "epochs": 3, "shards": 4, "block": (2, 5)}']
    settings = {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(devices)}
    return subprocess.Popen(
        [*line, *small, *quick], env=os.environ | settings, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def free_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return server.getsockname()[1]


def params(workdir):
    return checkpoints.read(workdir / 'checkpoints' / 'lpm' / '13').params


@pytest.fixture(scope='module')
def two_hosts(tmp_path_factory):
    folder, where = tmp_path_factory.mktemp('hosts'), f'--coordinator=127.0.0.1:{free_port()}'
    started = [launch(folder, 2, '--multihost', where, '--hosts=2', f'--host={i}') for i in range(2)]
    said = [each.communicate(timeout=240)[0].decode() for each in started]
    assert [each.returncode for each in started] == [0, 0], said
    return folder, said


def test_two_hosts_train_what_one_does(two_hosts, tmp_path):
    alone = launch(tmp_path, 4)
    alone.communicate(timeout=240)
    assert alone.returncode == 0
    both = params(two_hosts[0]), params(tmp_path)
    difference = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), *both)
    assert max(jax.tree.leaves(difference)) < 2e-6


def test_the_first_host_alone_reports(two_hosts):
    folder, (first, second) = two_hosts
    assert 'first step' in first
    assert 'first step' not in second
    assert (folder / 'metrics.jsonl').read_text().count('\n') == 3


def test_hosts_that_do_not_find_each_other_are_told(tmp_path):
    lost = launch(tmp_path, 1, '--multihost')
    said = lost.communicate(timeout=60)[0].decode()
    assert lost.returncode == 2
    assert 'the hosts did not find each other' in said
    assert not list(tmp_path.iterdir())
