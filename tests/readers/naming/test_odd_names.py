"""The odd files of names and rows: each gives the right values, or tells what is odd with the setting that mends it."""

import functools
import pathlib

import numpy as np
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.loading import load

pytestmark = pytest.mark.filterwarnings("ignore:The 'future.infer_string' option")
GUIDES = {'context': 'cell', 'perturbation': 'guide'}
LINES = {'context': 'cell_line', 'perturbation': 'perturbation'}


@pytest.fixture
def read(shared):
    return functools.partial(profiles, shared / 'readers' / 'odd')


def profiles(folder, file, fields, **settings):
    """By (context, perturbation): the number of rows, and the mean over the readouts."""
    given = {'preset': 'gears'} if 'conditions' in file else {'source': pathlib.Path(file).suffix[1:], 'scale': 'log1p'}
    compendium = load({**given, 'path': str(folder / file), 'fields': fields, **settings})
    (screen,) = compendium.screens
    names = compendium.table()[['context', 'perturbation']].itertuples(index=False, name=None)
    means = np.nanmean(screen.values, axis=1, dtype=float).round(4).tolist()
    return dict(zip(names, zip(screen.cells.tolist(), means)))


@pytest.mark.parametrize('mend', [{'control': ('ctrl', 'CTRL', 'Ctrl')}, {'merge_alike': True}])
def test_case(mend, caplog, read):
    assert len(read('conditions_case.h5ad', {})) == 6
    assert "look like control, alone or as a part: 'A+CTRL', 'A+Ctrl', 'CTRL', 'Ctrl'" in caplog.text
    assert read('conditions_case.h5ad', mend) == {('K562', 'control'): (3, 1.0), ('K562', 'A'): (3, 3.0)}


def test_underscore(caplog, read):
    assert ('K562', 'A_ctrl') in read('conditions_underscore.h5ad', {})
    assert "'A_ctrl', 'ctrl_A'; if it is control, set data.fields.separator=('+', '_')." in caplog.text
    assert read('conditions_underscore.h5ad', {'separator': ('+', '_')}) == {
        ('K562', 'control'): (1, 1.0), ('K562', 'A'): (3, 3.0), ('K562', 'A+B'): (1, 7.0), ('K562', 'B'): (1, 5.0),
    }  # fmt: skip


def test_many_guides(caplog, read):
    read('many_guides.h5ad', GUIDES, scale='z-score')
    assert "if they are control, set data.fields.control=('control', 'non-targeting_*')." in caplog.text
    for words in (('non-targeting*',), 'non-targeting*'):
        assert read('many_guides.h5ad', {**GUIDES, 'control': words}) == {
            ('K562', 'control'): (30, 1.0), ('K562', 'STAT1_P1'): (6, 4.0), ('K562', 'JAK2_P1'): (3, 4.0),
        }  # fmt: skip


def test_nothing_words(read):
    mend = {'where': {'perturbation': {'not': ('nan',)}}}
    with pytest.raises(
        InputError, match="3 of 6 rows have no value .* for 'nan' stands for none; leave those rows out by "
    ):
        read('nothing_words.h5ad', LINES)
    with pytest.raises(InputError) as error:
        read('nothing_words.h5ad', LINES)
    assert f'data.fields.where={mend["where"]}' in str(error.value)
    wanted = {('K562', 'control'): (1, 6.5), ('K562', 'A'): (2, 9.5)}
    assert read('nothing_words.h5ad', {**LINES, **mend}) == wanted
    assert read('nothing_words.h5ad', {**LINES, 'nothing': ()}) == wanted | {('K562', 'nan'): (3, 2.5)}


def test_raw_counts(caplog, read):
    assert read('raw_counts.h5ad', LINES)['K562', 'A'] == (40, 2.0104)
    assert 'all values of the first 120 rows are whole numbers up to 9, as raw counts are' in caplog.text
    caplog.clear()
    assert read('raw_counts.h5ad', LINES, counts=True)['K562', 'A'] == (40, 3.395)
    assert 'whole numbers' not in caplog.text


def test_logarithm_taken_twice(caplog, read):
    assert read('log_twice.h5ad', LINES)['K562', 'A'] == (40, 1.3721)
    assert 'the values of the first 120 rows look like ln(1 + x) taken twice' in caplog.text


def test_spaces(caplog, read):
    fields = {'context': 'cell', 'perturbation': 'pert', 'control': ('DMSO',)}
    assert read('space.gct', fields, scale='z-score') == {
        ('A', 'control'): (1, 0.0), ('A', 'vor'): (1, 1.0), ('A', 'gel'): (1, 2.0),
    }  # fmt: skip
    assert "names that differ only in spaces or in the form of Unicode count as one: 'A', 'A '." in caplog.text
