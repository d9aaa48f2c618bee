"""What a ledger keeps of a workdir, and which workdirs it refuses."""

import json
import platform
import re

import anndata
import jax
import numpy as np
import pandas as pd
import pytest
from ledger_for_tests import EVIL, workdir_like

import perturbjax
from perturbjax.errors import InputError
from perturbjax.evaluation.metrics import METRICS
from perturbjax.ledger.runs import COLUMNS, RUN, rows_of
from perturbjax.lock import locked

MODELS = ['no_change', 'mean', 'perturbation_mean', 'permuted_labels']


def key(folder):
    return tuple(rows_of(folder)[list(RUN)].iloc[0])


def test_a_row_for_every_model_and_metric(run):
    rows = rows_of(str(run))
    assert list(rows) == list(COLUMNS)
    assert rows[['model', 'metric']].values.tolist() == [[model, metric] for model in MODELS for metric in METRICS]
    summary = pd.read_csv(run / 'summary.csv')
    for name in ('value', 'low', 'high', 'anchored', 'anchored_low', 'anchored_high', 'coverage', 'perturbations'):
        np.testing.assert_array_equal(rows[name], summary[name])


def test_the_run_is_known_by_names_hashes_counts_and_versions(run):
    first = rows_of(str(run)).iloc[0]
    assert first[['workdir', 'screen', 'split', 'contexts']].tolist() == [
        'run', 'screen1', 'unseen_in_context', 'context1'
    ]  # fmt: skip
    assert first[['perturbjax', 'jax', 'python']].tolist() == [
        perturbjax.__version__, jax.__version__, platform.python_version()
    ]  # fmt: skip
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d UTC', first['evaluated'])
    assert all(re.fullmatch('[0-9a-f]{64}', first[name]) for name in RUN[1:])
    assert first['profiles'] == anndata.read_h5ad(run / 'predictions.h5ad').n_obs
    assert first['splits'] == 2
    assert str(run.parent) not in rows_of(str(run)).to_csv()
    assert rows_of(str(run), full_paths=True)['workdir'].unique().tolist() == [str(run)]


def test_what_tells_runs_apart(run, tmp_path):
    same, other = workdir_like(run, tmp_path / 'a' / 'run'), workdir_like(run, tmp_path / 'b')
    assert key(same) == key(run)
    assert key(other) == ('b', *key(run)[1:])
    longer = workdir_like(run, tmp_path / 'c' / 'run', epochs=100)
    apart = workdir_like(run, tmp_path / 'd' / 'run', context='context2')
    assert [a == b for a, b in zip(key(longer), key(run))] == [True, False, True, True]
    assert [a == b for a, b in zip(key(apart), key(run))] == [True, True, True, False]
    assert rows_of(apart)['contexts'].unique().tolist() == ['context2']


def test_where_data_lie_how_they_are_judged_and_the_order_of_settings_count_for_nothing(run, tmp_path):
    moved = workdir_like(run, tmp_path / 'run')
    config = json.loads((moved / 'config.json').read_text())
    config['data']['path'], config['evaluation'] = '/elsewhere', {'bootstrap_samples': 7}
    (moved / 'config.json').write_text(json.dumps(dict(reversed(config.items()))))
    assert key(moved) == key(run)


def test_awkward_names_of_models_are_read_as_they_were(run, tmp_path):
    written = ('<b>bold</b>', "'=cmd()", 'a|b', 'NA')  # as write_table writes EVIL
    folder = workdir_like(run, tmp_path / 'run', models=dict(zip(MODELS, written, strict=True)))
    assert rows_of(folder)['model'].unique().tolist() == list(EVIL)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match='nowhere: there is no such folder; give the workdir of a finished run'):
        rows_of(tmp_path / 'nowhere')


@pytest.mark.parametrize('name', ['config.json', 'data.json', 'split.json', 'summary.csv', 'report.html'])
def test_a_run_that_is_not_finished(run, tmp_path, name):
    folder = workdir_like(run, tmp_path / 'run')
    (folder / name).unlink()
    with pytest.raises(InputError, match=f'run: it has no {name}, so it is no workdir or its run is not finished'):
        rows_of(folder)


@pytest.mark.parametrize('purpose', ['training', 'results'])
def test_a_run_that_works(run, tmp_path, purpose):
    folder = workdir_like(run, tmp_path / 'run')
    with locked(folder, purpose), pytest.raises(InputError, match=f'another launch is using it for {purpose}'):
        rows_of(folder)


@pytest.mark.parametrize(
    ('name', 'content', 'sentence'),
    [
        ('config.json', '{', 'config.json: it is damaged'),
        ('config.json', '[]', 'config.json: it is damaged .it holds a list.'),
        ('data.json', '\udcff', 'data.json: it is damaged'),
        ('split.json', '{}', 'split.json: it is damaged .it holds a dict.'),
        ('split.json', '[]', 'split.json: it is damaged'),
        ('split.json', '[{"name": "x"}]', "split.json: it is damaged .'test'."),
        ('split.json', '[{"name": "x", "test": [1]}]', 'split.json: it is damaged'),
        ('split.json', '[{"name": "x", "test": [["a", "b"]]}]', 'split.json: it is damaged'),
        ('summary.csv', '', 'summary.csv: it is no table'),
        ('summary.csv', 'model,metric\n', "summary.csv: it has no column 'value'"),
        ('report.html', '<html>', "report.html: it does not say 'Evaluated'"),
    ],
)
def test_a_damaged_file_is_named(run, tmp_path, name, content, sentence):
    folder = workdir_like(run, tmp_path / 'run')
    (folder / name).write_bytes(content.encode(errors='surrogateescape'))
    with pytest.raises(InputError, match=sentence):
        rows_of(folder)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda text: text.replace('l2,', 'l2,many', 1), 'summary.csv: it is damaged'),
        (lambda text: text + text.splitlines()[-1] + '\n', 'one row for each model and metric'),
        (lambda text: text.splitlines()[0] + '\n', 'one row for each model and metric'),
    ],
)
def test_a_summary_that_is_not_one(run, tmp_path, change, sentence):
    folder = workdir_like(run, tmp_path / 'run')
    (folder / 'summary.csv').write_text(change((folder / 'summary.csv').read_text()))
    with pytest.raises(InputError, match=sentence):
        rows_of(folder)
