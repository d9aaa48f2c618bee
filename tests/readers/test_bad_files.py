"""Damaged and mislabelled files of every form: a right screen, or one clear sentence; never anything else.

What is damaged in HDF5 files is read apart, in `python test_bad_files.py FOLDER NUMBER`: libhdf5 itself crashes,
or never comes back, on about one in 300 of them.
"""

import collections
import faulthandler
import itertools
import json
import os
import pathlib
import subprocess
import sys
import traceback
import zipfile

import numpy as np
import pandas as pd
import pytest
from files_for_tests import FORMS, HDF5, KNOWN, ROWS, SECONDS, TRIED, attempt, check_sentence, make, tally, write_table

from perturbjax.errors import InputError
from perturbjax.interop.predictions import read_predictions

# anndata 0.13 asks pandas 3.1 for an option that is about to go.
pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")


@pytest.fixture(autouse=True, scope='module')
def told(request):
    yield
    tally(request)


def changed(data, kind, place):
    """The bytes cut at a place, or with one there changed."""
    return data[:place] if kind == 'cut' else data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :]


def damages(data, flips):
    """Ten places to cut, and as many as asked for, evenly, to change a byte."""
    cuts = [('cut', len(data) * tenth // 10) for tenth in range(10)]
    return cuts + [('flip', int(place)) for place in np.linspace(0, len(data) - 1, flips)]


@pytest.mark.parametrize('name', FORMS)
def test_good_files_are_read(tmp_path, name):
    _, settings = make(name, tmp_path)
    found = attempt(settings)
    assert not isinstance(found, str), found
    if name not in ('saved.h5ad', 'shard.parquet', 'square.csv'):
        assert found.screens[0].cells.sum() == len(ROWS)


@pytest.mark.parametrize('name', [name for name in FORMS if name not in HDF5])
def test_damaged_files(tmp_path, name):
    path, settings = make(name, tmp_path)
    data, kept = path.read_bytes(), []
    # In a sparse block of HDF5 what is flipped has a test of its own.
    for kind, place in damages(data, 0 if path.suffix == '.h5ad' else 60):
        path.write_bytes(changed(data, kind, place))
        found = attempt(settings)
        kept.append(not isinstance(found, str))
        if kind == 'cut':
            check_cut(name, data[:place], found)
    assert not all(kept)


def check_cut(name, data, found):
    """Only text without any length in it can be read when cut short: then every whole line counts."""
    if isinstance(found, str):
        return
    assert name in ('long.csv', 'wide.csv', 'square.csv')
    lines = data.decode().splitlines()[1:]
    if name == 'wide.csv':
        assert found.screens[0].cells.sum() == len(lines)


def test_damaged_hdf5(tmp_path):
    for name in HDF5:
        make(name, tmp_path)
    found, died, start = collections.Counter(), [], 0
    while True:
        command = [sys.executable, __file__, str(tmp_path), str(start)]
        here = pathlib.Path(__file__).parents
        helpers = os.environ | {'PYTHONPATH': os.pathsep.join((str(here[1]), str(here[2])))}
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=helpers)
        said = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{')]
        found.update(each['became'] for each in said if each['became'] != 'begun')
        wrong = [each for each in said if each['became'] not in ('begun', 'read', 'refused')]
        assert not wrong, wrong
        if run.returncode == 0:
            break
        frames = [line for line in run.stderr.partition('most recent call first')[2].splitlines() if 'File' in line]
        assert said, run.stderr
        assert any('h5py' in frame or 'anndata' in frame for frame in frames[:3]), run.stderr
        died.append(said[-1])
        start = said[-1]['number'] + 1
    TRIED.update(found)
    TRIED['crashed or hung within libhdf5'] += len(died)
    assert len(died) <= 0.03 * found.total(), died
    assert found['read']
    assert found['refused']


def damage_hdf5(folder, start):
    """The other half of `test_damaged_hdf5`: a line of JSON before and after each attempt."""
    faulthandler.enable()
    cases = [(name, kind, place) for name in HDF5 for kind, place in damages((folder / name).read_bytes(), 50)]
    for number, (name, kind, place) in enumerate(cases):
        if number < start:
            continue
        case = {'number': number, 'name': name, 'kind': kind, 'place': place}
        print(json.dumps({**case, 'became': 'begun'}), flush=True)
        _, more = FORMS[name]
        source = {'source': 'saved'} if name == 'saved.h5ad' else {**KNOWN, 'source': name.rpartition('.')[2], **more}
        path = folder / f'damaged_{name}'
        path.write_bytes(changed((folder / name).read_bytes(), kind, place))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            became = 'refused' if isinstance(attempt({**source, 'path': str(path)}), str) else 'read'
        except Exception:
            became = traceback.format_exc()
        print(json.dumps({**case, 'became': became}), flush=True)


def test_every_form_under_every_other_ending(tmp_path):
    made = {name: make(name, tmp_path) for name in FORMS}
    others = {'text': b'plain text, of no form\n', 'empty': b'', 'zeros': bytes(99)}
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('wide.csv', made['wide.csv'][0].read_bytes())
    others['wide.csv.zip'] = (tmp_path / 'a.zip').read_bytes()  # the same table, only compressed
    contents = {name: path.read_bytes() for name, (path, _) in made.items()} | others
    for name, (other, data) in itertools.product(made, contents.items()):
        path, given = made[name]
        same = path.name.removesuffix('.gz').rpartition('.')[2] in other
        path.write_bytes(data)
        found = attempt(given)
        assert isinstance(found, str) or same, (name, other)
        path.write_bytes(contents[name])


# Other tools' predictions


@pytest.mark.parametrize('form', ['json', 'table.csv', 'table.parquet'])
def test_damaged_predictions(tmp_path, form):
    if form == 'json':
        (tmp_path / 'gene_names.json').write_text('["x", "y"]')
        path, target = tmp_path / 'all_predictions.json', tmp_path
        path.write_text(json.dumps({'A+ctrl': [1.5, 'NA'], 'B+A': [2, 3]}))
    else:
        if 'parquet' in form:
            pytest.importorskip('pyarrow')
        path = target = tmp_path / form
        write_table(path, pd.DataFrame({'condition': ['A', 'B+A'], 'context': 'k', 'x': [1.5, 2], 'y': [np.nan, 3]}))
    data = path.read_bytes()
    for kind, place in damages(data, 60):
        path.write_bytes(changed(data, kind, place))
        found, told = None, ''
        try:
            found = read_predictions(str(target))
        except InputError as error:
            told = str(error)
        TRIED['read' if found else 'refused'] += 1
        if found:
            assert found.values.shape == (len(found.conditions), len(found.readouts))
        else:
            check_sentence(told, {'path': str(target)})


if __name__ == '__main__':
    damage_hdf5(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
