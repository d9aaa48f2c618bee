"""Two processes of one launch: where one ends the other does, with a sentence; those that differ are refused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import types

import pytest
from faults_for_tests import ROOT, launch, said, wait_for_lines

from perturbjax import main
from perturbjax.training.hosts import LOST, SILENT, _difference, any_host, from_first, refuse_other


def test_a_difference_is_named():
    first = {'config': {'seed': 0, 'split': {'seeds': [1]}}, 'data': {'s': {'sha256': 'a'}}}
    assert _difference(first, first) == ''
    assert _difference(first | {'data': {'s': {'sha256': 'b'}}}, first) == 'data.s.sha256'
    assert _difference(first | {'config': {'seed': 0}}, first) == 'config.split'
    assert _difference({'version': '1'}, {'version': '2'}) == 'version'


def test_a_host_alone_agrees_with_itself():
    refuse_other({'a': 1})
    assert from_first(3) == 3
    assert [any_host(True), any_host(False)] == [True, False]


@pytest.mark.parametrize('error', [RuntimeError('Gloo failed'), ValueError('UNKNOWN: Gloo AllGather failed\nmore')])
def test_what_jax_raises_of_a_lost_host_is_a_sentence(monkeypatch, error):
    def fail(_):
        raise error

    ended = []
    monkeypatch.setattr(main, 'main', fail)
    monkeypatch.setattr(main, '_end_now', lambda *how: ended.append(how))
    monkeypatch.setattr(main, '_MULTIHOST', types.SimpleNamespace(value=True))
    main._main([])
    ((sentence, code),) = ended
    assert code == LOST
    assert sentence.startswith(f'another host ended or cannot be reached ({str(error).splitlines()[0]}); ')


def test_other_errors_are_not_taken_for_a_lost_host(monkeypatch):
    monkeypatch.setattr(main, 'main', lambda _: int('x'))
    monkeypatch.setattr(main, '_MULTIHOST', types.SimpleNamespace(value=True))
    with pytest.raises(ValueError, match='invalid literal'):
        main._main([])


def free_address():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        return f'127.0.0.1:{server.getsockname()[1]}'


def two(workdir, *of_second, epochs=3000):
    flags = ('--mode=train', '--multihost', f'--coordinator={free_address()}', '--hosts=2')
    more = [(), of_second]
    one_device = {'JAX_NUM_CPU_DEVICES': '1'}
    return [launch(workdir, *flags, f'--host={i}', *more[i], epochs=epochs, **one_device) for i in range(2)]


@pytest.mark.campaign
@pytest.mark.parametrize('killed', [0, 1])
def test_where_one_is_killed_the_other_ends_with_a_sentence(tmp_path, killed):
    hosts = two(tmp_path)
    wait_for_lines(tmp_path / 'metrics.jsonl', 3, hosts[0])
    hosts[killed].kill()
    began = time.monotonic()
    hosts[killed].communicate()
    code, output = said(hosts[1 - killed])
    assert time.monotonic() - began < 10
    if killed == 0 and code == -signal.SIGABRT:  # JAX was earlier, which it may be for the host that coordinates
        assert 'another task died' in output
        return
    assert code == LOST
    assert 'another host ended or cannot be reached' in output
    assert 'launch the same line on every host again to go on' in output


@pytest.mark.campaign
def test_where_one_hangs_the_other_ends_with_a_sentence(tmp_path):
    hosts = two(tmp_path)
    wait_for_lines(tmp_path / 'metrics.jsonl', 3, hosts[0])
    hosts[1].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        code, output = said(hosts[0])
    finally:
        hosts[1].kill()
        hosts[1].communicate()
    assert code == LOST
    assert time.monotonic() - began < SILENT + 10
    assert f'nothing was heard of it for {SILENT} s' in output


@pytest.mark.campaign
def test_where_one_is_asked_to_stop_all_save_and_stop(tmp_path):
    hosts = two(tmp_path)
    wait_for_lines(tmp_path / 'metrics.jsonl', 3, hosts[0])
    hosts[1].send_signal(signal.SIGTERM)
    ended = [said(each) for each in hosts]
    assert [code for code, _ in ended] == [0, 0]
    assert all('stopped and saved after epoch' in output for _, output in ended)


@pytest.mark.campaign
def test_a_host_with_another_config_is_refused_by_name(tmp_path):
    hosts = two(tmp_path, '--config.training.batch_size=100', epochs=3)
    ended = [said(each) for each in hosts]
    assert [code for code, _ in ended] == [2, 2]
    assert 'this host (1) has another config.training.batch_size than the first' in ended[1][1]
    assert 'host 1 differs from the first host' in ended[0][1]
    assert not (tmp_path / 'checkpoints').exists()


# One of two hosts that begin to train, once with each pair of a version and a text that says what the data are.
BEGIN = """
import json, sys
import jax, perturbjax
from etils import epath
from perturbjax import experiment
from perturbjax.errors import InputError
from perturbjax.setup import Setup
from screens_for_tests import two_contexts
address, host, folder, tries = sys.argv[1:]
jax.distributed.initialize(address, 2, int(host))
for perturbjax.__version__, data in json.loads(tries):
    try:
        experiment._train(Setup(None, epath.Path(folder), two_contexts(), [], {}, {'data.json': data}))
        print('goes on')
    except InputError as error:
        print(error)
"""


def beginning(address, host, folder, tries):
    line = [sys.executable, '-c', BEGIN, address, str(host), str(folder), json.dumps(tries)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / 'tests')])
    environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': '1', 'PYTHONPATH': paths}
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.campaign
def test_a_host_with_another_version_or_other_data_is_refused_by_name(tmp_path):
    data, address = ['{"screen": {"sha256": "a"}}', '{"screen": {"sha256": "b"}}'], free_address()
    tries = [[('1', data[0])] * 3, [('2', data[0]), ('1', data[1]), ('1', data[0])]]
    hosts = [beginning(address, host, tmp_path, tries[host]) for host in range(2)]
    lines_of = [each.communicate(timeout=300)[0].splitlines() for each in hosts]
    told = [[line for line in lines if '[Gloo]' not in line] for lines in lines_of]
    assert told[0] == 2 * ['--multihost: host 1 differs from the first host, and says there in what.'] + ['goes on']
    another = '--multihost: this host (1) has another {} than the first; make it the same.'
    named = [another.format(name) for name in ('version of perturbjax', 'data.screen.sha256')]
    assert told[1] == [*named, 'goes on']
    assert [each.name for each in tmp_path.iterdir()] == ['data.json']
