import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements

from perturbjax.readers.loading import load
from perturbjax.readers.naming.merging import first_spellings, merge_across, merged_contexts


def test_merged_contexts_have_the_first_spelling(caplog):
    found = merged_contexts(np.array(['k562', 'a', 'K-562', 'K562'], object), 'f.csv')
    assert list(found) == ['K-562', 'a', 'K-562', 'K-562']
    assert "f.csv: data.fields.merge_alike: 3 contexts count as 1: 'K-562', 'K562', 'k562'." in caplog.text


def test_a_word_for_control_is_taken_before_any_other_spelling():
    assert first_spellings(['CTRL', 'Ctrl', 'x'], 'perturbations', 'f', ['ctrl']) == dict.fromkeys(
        ('CTRL', 'Ctrl', 'ctrl'), 'ctrl'
    )
    assert first_spellings(['x'], 'perturbations', 'f', ['ctrl', 'Ctrl']) == {}


ONE = [('MCF7', name, (1,)) for name in ('control', 'x+x', 'Compound_Torin 2-1uM', 'a+b')]
OTHER = [('MCF-7', name, (2,)) for name in ('control', 'Compound_torin2-10uM', 'B+X')]
APART = [(context, name, (3,)) for context, name in (('mcf7', 'control'), ('mcf7', 'A'))]


def test_names_are_one_in_the_screens_that_ask_for_it(caplog):
    screens = [measurements(rows, ['e']) for rows in (ONE, OTHER, APART)]
    one, other, apart = merge_across(screens, [True, True, False])
    assert list(one.context) == list(other.context)[:1] * 4 == ['MCF-7'] * 4
    assert list(one.perturbation) == ['control', 'X+X', 'Compound_Torin 2-1uM', 'B+a']
    assert list(other.perturbation) == ['control', 'Compound_Torin 2-10uM', 'B+X']
    assert apart is screens[2]
    assert "data: data.fields.merge_alike: 2 contexts count as 1: 'MCF-7', 'MCF7'." in caplog.text
    assert merge_across(screens, [True, False, False]) == screens


@pytest.fixture
def folder(tmp_path):
    rows = {'1': ('MCF7', 'Ctrl', 'Torin 2'), '2': ('MCF-7', 'ctrl', 'torin2')}
    for name, (cell, control, drug) in rows.items():
        table = pd.DataFrame({'cell': cell, 'drug': [control, drug], 'e': [1.0, float(name)]})
        table.to_csv(tmp_path / f'{name}.csv', index=False)
    return tmp_path


@pytest.mark.parametrize('pattern', ['', '*.csv'])
def test_files_that_are_read_together_share_their_names(folder, pattern, caplog):
    fields = {'context': 'cell', 'perturbation': 'drug', 'control': ('ctrl', 'Ctrl')}
    data = {'source': 'wide', 'path': str(folder / pattern), 'scale': 'log2', 'fields': fields}
    apart = load(data).vocabulary
    assert (apart.contexts, apart.perturbations) == (('MCF-7', 'MCF7'), ('control', 'Torin 2', 'torin2'))
    assert "data: 2 contexts look like another but are kept apart: 'MCF-7', 'MCF7'; set fields.merge_alike=True" in (
        caplog.text
    )
    caplog.clear()
    merged = load({**data, 'fields': {**fields, 'merge_alike': True}})
    assert (merged.vocabulary.contexts, merged.vocabulary.perturbations) == (('MCF-7',), ('control', 'Torin 2'))
    assert [each.values[:, 0].tolist() for each in merged.screens] == [[1, 1], [1, 2]]
    assert 'kept apart' not in caplog.text
    two = {'screens': {name: {**data, 'path': str(folder / f'{name}.csv')} for name in '12'}}
    two['screens']['1']['fields'] = two['screens']['2']['fields'] = {**fields, 'merge_alike': True}
    assert load(two).fingerprint() == merged.fingerprint()
