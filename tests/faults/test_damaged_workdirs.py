"""Every file of a workdir, damaged in every way, met by every mode: a sentence, or what the whole workdir gives."""

import pathlib
import random
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from etils import epath
from faults.small import get_config
from faults_for_tests import copy_damaged, damaged, damages, outcome, results

from perturbjax import experiment, workdir
from perturbjax.training.metric_writer import MetricWriter, read_curves

LINE = {'training_rmse': 1.5, 'observations_per_second': 7}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A folder with the files that later stages read again, made without training."""
    folder = epath.Path(tmp_path_factory.mktemp('files'))
    for epoch in (1, 2, 3):
        MetricWriter(folder / 'metrics.jsonl', 'lpm', 13).write({'epoch': epoch, **LINE})
    workdir.add_time(folder / 'times.json', 'lpm', 3.2)
    workdir.write_table(folder / 'linear_sweep.csv', pd.DataFrame({'rank': [1, 2], 'l2': [0.5, 0.25]}), checked=True)
    workdir.write_anndata(folder / 'predictions.h5ad', anndata.AnnData(np.eye(3, dtype=np.float32)))
    return folder


def read_all(folder):
    """All that is read of a workdir, as text."""
    MetricWriter(folder / 'metrics.jsonl', 'lpm', 13).forget_from(4)
    curves, times = read_curves(folder / 'metrics.jsonl'), workdir.read_times(folder / 'times.json')
    table, predicted = (
        workdir.read_table(folder / 'linear_sweep.csv'),
        workdir.read_anndata(folder / 'predictions.h5ad'),
    )
    return '\n'.join([str(curves), str(times), table.to_csv(), str(predicted.X)])


def test_damage_is_told(files, caplog):
    whole, tried = read_all(files), 0
    for path, kind, content in damages(pathlib.Path(files), seed=1):
        with damaged(path, content):
            found, sentence = outcome(read_all, files)
        what = f'{path.name} {kind}'
        if path.name.startswith('.'):
            assert found == whole or 'damaged or was changed' in sentence, what
        elif content is None and path.name in ('metrics.jsonl', 'times.json'):
            assert found != whole, what
        else:
            assert path.name in sentence, f'{what}: {sentence}'
        tried += 1
    assert tried > 40
    assert 'the curve of lpm lacks epochs before 4' in caplog.text
    assert 'metrics.jsonl: it was removed; the report has no training curve' in caplog.text
    assert 'times.json: it was removed; how long fitting took before is not known' in caplog.text


def test_a_write_that_was_killed_is_no_damage(files, tmp_path):
    shutil.copytree(files, tmp_path / 'copy')
    path = epath.Path(tmp_path) / 'copy' / 'times.json'
    for _ in range(2):  # the hash was kept and the file not yet renamed
        workdir._keep_hash(path, 64 * 'f')
        assert workdir.read_times(path) == {'lpm': 3.2}
    workdir.add_time(path, 'lpm', 1)
    assert workdir.read_times(path) == {'lpm': 4.2}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    experiment.run(get_config('2'), str(folder))
    return folder


def relaunch(folder):
    experiment.run(get_config('2'), str(folder))
    return results(folder)


@pytest.mark.campaign
@pytest.mark.parametrize('mode', ['train', 'predict', 'evaluate', 'embed'])
def test_each_mode_tells_or_changes_nothing(whole, tmp_path, mode, caplog):
    target, before, told = tmp_path / 'copy', results(whole), 0
    read = [each for each in damages(whole, seed=3) if each[0].suffix not in ('.html', '.lock', '.sha256')]
    rng = random.Random(mode)
    saved = [each for each in read if 'checkpoints' in each[0].parts]
    others = [each for each in read if 'checkpoints' not in each[0].parts]
    for path, kind, content in rng.sample(saved, 12) + rng.sample(others, 24):
        caplog.clear()
        copy_damaged(whole, target, path, content)
        _, sentence = outcome(experiment.run, get_config('2'), str(target), mode)
        told += bool(sentence or caplog.text)
        what = f'{mode}: {path.relative_to(whole)} {kind}: {sentence}'
        if not sentence and not caplog.text:
            found, later = outcome(relaunch, target)
            if 'the curve of lpm lacks epochs before 3' in caplog.text:
                found['curve'] = before['curve']
            assert later or found == before, what
    assert told > 5


@pytest.mark.campaign
def test_a_relaunch_gives_the_same_bits_or_a_sentence(whole, tmp_path, caplog):
    target, before, same = tmp_path / 'copy', results(whole), 0
    for path, kind, content in random.Random(4).sample([*damages(whole / 'checkpoints', seed=4)], 25):
        copy_damaged(whole, target, path, content)
        found, sentence = outcome(relaunch, target)
        assert found == before, f'{path.relative_to(whole)} {kind}: {sentence}'
        same += 1
    assert same == 25
