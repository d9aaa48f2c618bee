"""The file of a ledger: what was added is there once and whole, whatever happens beside it."""

import pathlib
import sqlite3
import subprocess
import sys

import pandas as pd
import pytest
from ledger_for_tests import frame, workdir_like

from perturbjax import ledger
from perturbjax.errors import InputError
from perturbjax.ledger import file
from perturbjax.ledger.runs import rows_of

ROOT = pathlib.Path(__file__).parents[2]
# Adds ten runs of its own, and one that other processes add too, once it is told to begin.
ADDER = """
import sys
from ledger_for_tests import frame
from perturbjax.ledger import file
name, path = sys.argv[1:]
file.rows_of = lambda folder, full_paths: frame(*({'workdir': folder, 'model': model, 'value': 7} for model in 'abcde'))
print('ready', flush=True)
sys.stdin.readline()
for number in range(10):
    file.add(path, f'/{name}{number}')
    file.add(path, '/both')
"""
# Has replaced all rows, most of them on the disk, but has not committed.
KILLED = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('PRAGMA cache_size = 5')
database.execute('BEGIN IMMEDIATE')
row = list(database.execute('SELECT * FROM scores').fetchone())
database.execute('DELETE FROM scores')
for number in range(9000):
    database.execute(f'INSERT INTO scores VALUES ({", ".join("?" * len(row))})', [f'run {number}', *row[1:]])
print('written', flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'ledger.sqlite'


@pytest.fixture
def given(monkeypatch):
    """Lets `add` take rows by the name of a workdir, in place of workdirs."""
    rows = {}
    monkeypatch.setattr(file, 'rows_of', lambda folder, full_paths: rows[pathlib.Path(folder).name])
    return rows


def test_what_was_added_is_read(run, path):
    assert ledger.add(path, run) == ['run: 4 models on screen1 were added.']
    pd.testing.assert_frame_equal(ledger.read(path), rows_of(run))


def test_adding_again_replaces(run, path, tmp_path):
    later = workdir_like(run, tmp_path / 'run', {'mean': 'average'}, evaluated='2030-01-01 00:00 UTC')
    ledger.add(path, run)
    assert ledger.add(path, later) == ['run: 4 models on screen1 take the place of what was there.']
    pd.testing.assert_frame_equal(ledger.read(path), rows_of(later))
    ledger.add(path, later, later, str(later) + '/')
    assert len(ledger.read(path)) == len(rows_of(later))


def test_other_splits_settings_and_names_are_other_runs(run, path, tmp_path):
    others = [
        workdir_like(run, tmp_path / 'a' / 'run', context='context2'),
        workdir_like(run, tmp_path / 'b' / 'run', epochs=9),
        workdir_like(run, tmp_path / 'other'),
    ]
    ledger.add(path, run, *others)
    frame = ledger.read(path)
    assert len(frame) == 4 * len(rows_of(run))
    assert frame['split_hash'].nunique() == frame['config_hash'].nunique() == frame['workdir'].nunique() == 2


def test_two_that_would_be_one_are_refused(run, path, tmp_path):
    twin = workdir_like(run, tmp_path / 'twin' / 'run')
    with pytest.raises(InputError, match=r'one would replace the other; rename one .* --full_paths'):
        ledger.add(path, run, twin)
    assert not path.exists()
    assert len(ledger.add(path, run, twin, full_paths=True)) == 2


def test_all_or_none(run, path, tmp_path):
    ledger.add(path, run)
    before = path.read_bytes()
    with pytest.raises(InputError, match='nowhere'):
        ledger.add(path, workdir_like(run, tmp_path / 'other'), tmp_path / 'nowhere')
    assert path.read_bytes() == before


def test_an_addition_that_is_cut_off_changes_nothing(path, given):
    given |= {'old': frame({'workdir': 'old'}), 'new': frame({'workdir': 'old'}, {'workdir': 'old', 'metric': 'mae'})}
    ledger.add(path, '/old')
    given['twice'] = frame({'workdir': 'old', 'value': 3}, {'workdir': 'old', 'value': 4})
    with pytest.raises(InputError, match='ledger.sqlite: it cannot be used as a ledger .UNIQUE constraint failed'):
        ledger.add(path, '/twice')
    pd.testing.assert_frame_equal(ledger.read(path), given['old'])
    ledger.add(path, '/new')
    assert ledger.read(path)['metric'].tolist() == ['l2', 'mae']


def test_two_that_add_at_once_both_stand(path):
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', ADDER, name, str(path)],
            cwd=ROOT, env={'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}'},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in 'ab'
    ]  # fmt: skip
    for each in processes:
        assert each.stdout.readline() == 'ready\n'
    for each in processes:
        each.stdin.write('\n')
        each.stdin.flush()
    assert [(each.communicate(), each.returncode)[1] for each in processes] == [0, 0]
    counts = ledger.read(path).groupby('workdir')['model'].agg(''.join).to_dict()
    names = ['both', *(f'{name}{number}' for name in 'ab' for number in range(10))]
    assert counts == {f'/{name}': 'abcde' for name in names}


def test_an_addition_that_was_killed_while_it_wrote_is_undone(path, given):
    given['run'] = frame({}, {'model': 'mean'})
    ledger.add(path, '/run')
    line = [sys.executable, '-c', KILLED, str(path)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'written\n'
        process.kill()
    assert path.stat().st_size > 1_000_000
    pd.testing.assert_frame_equal(ledger.read(path), given['run'])


def test_one_that_waits_too_long_is_told(path, given, monkeypatch):
    given['run'] = frame({})
    ledger.add(path, '/run')
    monkeypatch.setattr(file, '_PATIENCE', 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute('BEGIN IMMEDIATE')
    with pytest.raises(InputError, match='database is locked.; another process is writing to it; try again'):
        ledger.add(path, '/run')
    assert len(ledger.read(path)) == 1
    holder.close()


def foreign(path):
    with sqlite3.connect(path) as database:
        database.execute('CREATE TABLE scores (model TEXT)')
    database.close()


def of_the_future(path):
    path.write_bytes(b'')
    ledger_made(path)
    with sqlite3.connect(path) as database:
        database.execute('PRAGMA user_version = 2')
    database.close()


def without_table(path):
    ledger_made(path)
    with sqlite3.connect(path) as database:
        database.execute('DROP TABLE scores')
        database.execute('CREATE TABLE other (x)')
    database.close()


def half(path):
    ledger_made(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path):
    ledger_made(path)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b'\xff' * (len(content) - 4096))


def ledger_made(path):
    rows = frame(*({'metric': f'metric {number}'} for number in range(200)))
    with file._open(path, creates=True) as database:
        file._check(database, path, creates=True)
        file._put(database, rows)


@pytest.mark.parametrize(
    ('make', 'sentence'),
    [
        (lambda path: path.write_text('model,metric\nlpm,l2\n' * 100), 'file is not a database.; give a ledger'),
        (foreign, 'it is no ledger of perturbjax'),
        (of_the_future, 'another version of perturbjax made it'),
        (without_table, 'no such table: scores'),
        (half, 'malformed.; take a copy of it from before'),
        (overwritten, 'malformed.; take a copy of it from before'),
        (lambda path: path.mkdir(), 'it is a folder'),
    ],
)
def test_what_is_no_ledger_stays_as_it_is(path, given, make, sentence):
    make(path)
    before = path.read_bytes() if path.is_file() else None
    given['run'] = frame({})
    for use in (lambda: ledger.read(path), lambda: ledger.add(path, '/run')):
        with pytest.raises(InputError, match=sentence):
            use()
    assert before is None or path.read_bytes() == before


def test_values_of_another_type_are_told(path, given):
    given['run'] = frame({})
    ledger.add(path, '/run')
    with sqlite3.connect(path) as database:
        database.execute("UPDATE scores SET value = 'high'")
    database.close()
    with pytest.raises(InputError, match='the ledger is damaged .could not convert string to float'):
        ledger.read(path)


def test_reading_makes_no_file(path):
    with pytest.raises(InputError, match='there is no such file; python -m perturbjax.ledger add makes it'):
        ledger.read(path)
    assert not path.exists()


def test_an_empty_file_becomes_a_ledger_by_adding_alone(path, given):
    path.touch()
    given['run'] = frame({})
    with pytest.raises(InputError, match='it is no ledger'):
        ledger.read(path)
    ledger.add(path, '/run')
    assert len(ledger.read(path)) == 1


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('gs://bucket/ledger.sqlite', 'not in a bucket'),
        ('/dev/null', 'it is a pipe, a device or a socket'),
        ('', '--ledger: the path is empty'),
        ('nowhere/ledger.sqlite', 'unable to open database file.; see that its folder is there'),
    ],
)
def test_names_that_cannot_be_a_ledger(given, tmp_path, monkeypatch, name, sentence):
    monkeypatch.chdir(tmp_path)
    given['run'] = frame({})
    with pytest.raises(InputError, match=sentence):
        ledger.add(name, '/run')


def test_odd_names_of_files_are_names(given, tmp_path):
    given['run'] = frame({})
    path = tmp_path / 'a?mode=memory#%20 é.sqlite'
    ledger.add(path, '/run')
    assert path.exists()
    assert len(ledger.read(path)) == 1
