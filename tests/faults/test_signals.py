"""SIGTERM, Ctrl-C and kills: nothing is lost, and a relaunch ends bit for bit as a run that nobody stopped."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from faults_for_tests import ROOT, launch, results, said, wait_for_lines

STOPPED = """
import os, signal, sys, time
from perturbjax.training import interruption
interruption.listen()
try:
    {}
except interruption.Stopped as stopped:
    print(stopped)
"""
IN_TRAINING = """with interruption.training():
        os.kill(os.getpid(), signal.{})
        time.sleep(0.01)
        interruption.stop(3)"""


def stopped(code):
    line = [sys.executable, '-c', STOPPED.format(code)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT'])
def test_a_signal_outside_of_training_stops_at_once(name):
    ended = stopped(f'os.kill(os.getpid(), signal.{name}); time.sleep(60)')
    word = 'Ctrl-C' if name == 'SIGINT' else name
    assert ended.stdout == f'{word}: stopped; what is finished is kept, and launch the same line again to go on.\n'
    assert ended.returncode == 0
    assert not ended.stderr


def test_a_signal_in_training_waits_for_some_steps():
    ended = stopped(IN_TRAINING.format('SIGTERM'))
    assert ended.stdout == 'SIGTERM: stopped and saved after epoch 3; launch the same line again to go on.\n'
    assert 'the next steps are finished and saved, then the run stops' in ended.stderr


def test_a_second_ctrl_c_stops_at_once():
    twice = 'os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT); time.sleep(60)'
    ended = stopped(f'with interruption.training(): {twice}')
    assert ended.returncode == 130
    assert 'stopped at once' in ended.stderr
    assert 'Traceback' not in ended.stderr


def test_an_epoch_that_does_not_end_in_time_is_given_up():
    late = 'interruption.GRACE = 0.1; interruption._Asked.is_training = True; '
    ended = stopped(late + 'os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)')
    assert ended.returncode == 0
    assert 'no time was left to finish and save' in ended.stderr


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('undisturbed')
    code, output = said(launch(folder, epochs=12))
    assert code == 0, output
    return results(folder)


@pytest.mark.campaign
@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT'])
def test_a_launch_that_is_asked_to_stop_saves_and_goes_on(undisturbed, tmp_path, name):
    process = launch(tmp_path, epochs=12)
    wait_for_lines(tmp_path / 'metrics.jsonl', 4, process)
    asked = time.monotonic()
    process.send_signal(getattr(signal, name))
    code, output = said(process)
    assert code == 0
    assert time.monotonic() - asked < 30
    assert 'stopped and saved after epoch ' in output
    assert said(launch(tmp_path, epochs=12))[0] == 0
    assert results(tmp_path) == undisturbed


@pytest.mark.campaign
@pytest.mark.parametrize('seed', range(4))
def test_a_launch_that_is_killed_goes_on(undisturbed, tmp_path, seed):
    rng = random.Random(seed)
    for _ in range(2):
        process = launch(tmp_path, epochs=12)
        if rng.random() < 0.6:
            wait_for_lines(tmp_path / 'metrics.jsonl', rng.randrange(1, 12), process)
            time.sleep(rng.random() * 0.05)
        else:
            time.sleep(rng.uniform(1, 15))
        process.kill()
        said(process)
    assert said(launch(tmp_path, epochs=12))[0] == 0
    assert results(tmp_path) == undisturbed


@pytest.mark.campaign
@pytest.mark.parametrize('pause', [0, 2])
def test_of_two_launches_one_runs_and_one_is_refused(undisturbed, tmp_path, pause):
    first = launch(tmp_path, epochs=12)
    time.sleep(pause)
    second = launch(tmp_path, epochs=12)
    ended = sorted(said(each) for each in (first, second))
    assert [code for code, _ in ended] == [0, 2], ended
    other = {first.pid, second.pid} - {each.pid for each in (first, second) if each.returncode == 2}
    assert f'another launch is using it for training (process {other.pop()} on ' in ended[1][1]
    assert results(tmp_path) == undisturbed


@pytest.mark.campaign
def test_more_epochs_go_on_where_the_run_ended(undisturbed, tmp_path):
    assert said(launch(tmp_path, epochs=5))[0] == 0
    code, output = said(launch(tmp_path, '--mode=predict', epochs=12))
    assert code == 2
    assert 'training.epochs is 12, there 5' in output
    assert said(launch(tmp_path, epochs=12))[0] == 0
    assert results(tmp_path) == undisturbed
    code, output = said(launch(tmp_path, epochs=5))
    assert code == 2
    assert 'training.epochs is 5, there 12' in output


@pytest.mark.campaign
@pytest.mark.skipif(os.geteuid() != 0, reason='mounts a small disk')
def test_a_full_disk_is_one_sentence_and_a_relaunch_goes_on(undisturbed, tmp_path):
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip('no file system may be mounted here')
    try:
        for size in ('300k', '500k', '700k', '900k', '20m'):
            subprocess.run(['mount', '-o', f'remount,size={size}', str(tmp_path)], check=True)
            code, output = said(launch(tmp_path, epochs=12))
            assert code == 0 or (code == 2 and 'space' in output), output
        assert code == 0
        assert results(tmp_path) == undisturbed
    finally:
        subprocess.run(['umount', str(tmp_path)], check=True)
