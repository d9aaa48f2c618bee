import json
import pickle

import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.loading import load
from perturbjax.readers.split_file import read_split_lists
from perturbjax.readers.split_file import resolve as resolve_any
from perturbjax.screens.splits import TEST, TRAIN, UNUSED, VALIDATION, make_split
from perturbjax.screens.vocabulary import Vocabulary

NAMES = Vocabulary(('k',), ('control', *[f'CRISPRi_g{i}' for i in range(1, 7)], 'Compound_x-10uM'), ('r',))
LISTS = {'train': ['ctrl', 'g1+ctrl'], 'val': ['g3+ctrl'], 'test': ['g6+g5']}


def resolve(settings, data=None):
    return resolve_any(settings, data or {}, NAMES)


@pytest.mark.parametrize('form', ['json', 'pkl', 'pickle'])
def test_lists_come_back(tmp_path, form):
    path = tmp_path / f'split.{form}'
    path.write_bytes(json.dumps(LISTS).encode() if form == 'json' else pickle.dumps(LISTS))
    assert read_split_lists(str(path)) == LISTS
    settings = {'name': 'custom', 'seeds': (1, 2), 'path': str(path)}
    plain = {'train': ['control', 'g1'], 'val': ['g3'], 'test': ['g5+g6']}
    resolved = {'name': 'custom', 'seeds': (1, 2), 'lists': plain, 'source': str(path)}
    assert resolve(settings) == resolved
    assert resolve(resolved) == resolved


def test_only_splits_with_lists_read_a_file():
    settings = {'name': 'unseen_single', 'seeds': (1,), 'test': 0.3}
    assert resolve(settings) == settings


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({}, r'split \(custom\): give one of path .* column .* and lists, but there are none'),
        ({'path': 'a', 'column': 'b'}, "there are 'path', 'column'"),
        ({'pth': 'x'}, "no such setting 'pth'; did you mean 'path'"),
        ({'data': {}}, "no such setting 'data'"),
        ({'path': 3}, r'split \(custom\).path: 3 is of the wrong type; it must be str'),
        ({'path': '/nowhere/s.json'}, '/nowhere/s.json: there is no such file'),
    ],
)
def test_settings_without_lists_are_told(settings, message):
    with pytest.raises(InputError, match=message):
        resolve({'name': 'custom', **settings})


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'it cannot be read as JSON'),
        ('[]', 'it holds no lists by name'),
        ('{"train": 3, "test": []}', "'train' is not a list of conditions"),
        ('{"train": ["A", 3], "test": []}', "'train' holds something that is not text"),
    ],
)
def test_a_bad_file_is_told(tmp_path, text, message):
    path = tmp_path / 'split.json'
    path.write_text(text)
    with pytest.raises(InputError, match=f'split.json: not a split: {message}'):
        read_split_lists(str(path))


class Opens:
    """Pickled, it is a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path, made = tmp_path / 'split.pkl', tmp_path / 'made'
    path.write_bytes(pickle.dumps(Opens(made)))
    with pytest.raises(InputError, match='split.pkl: '):
        read_split_lists(str(path))
    assert not made.exists()


def test_conditions_have_the_forms_of_the_files(tmp_path):
    """What a file may say, a list may: blanks, control words and patterns, separators, doses in other units."""
    written = {'train': [' g1 ', 'NTC_7', 'g2+NTC_1'], 'val': ['g3_g4'], 'test': ['CRISPRi_g5', 'x-10000 nM']}
    (tmp_path / 's.json').write_text(json.dumps(written))
    data = {'fields': {'control': ('NTC*',), 'separator': ('+', '_')}}
    lists = resolve({'name': 'custom', 'path': str(tmp_path / 's.json')}, data)['lists']
    assert lists == {'train': ['g1', 'control', 'g2'], 'val': ['g3+g4'], 'test': ['CRISPRi_g5', 'x-10uM']}


TABLE = pd.DataFrame(
    {
        'condition': ['g1+ctrl', 'g2', 'g3 ', 'g1+g2'],
        'split': ['Train', 'train', 'validation', 'test'],
        'n': [1, 2, 3, 4],
    }
)


@pytest.mark.parametrize('ending', ['.csv', '.tsv', '.csv.gz'])
def test_lists_in_a_table(tmp_path, ending):
    TABLE.to_csv(tmp_path / f's{ending}', sep='\t' if 'tsv' in ending else ',', index=False)
    found = resolve({'name': 'custom', 'path': str(tmp_path / f's{ending}')})
    assert found['lists'] == {'train': ['g1', 'g2'], 'val': ['g3'], 'test': ['g1+g2']}


def test_a_table_may_say_the_context(tmp_path):
    TABLE.assign(context=['k', 'k ', 'r', 'r']).to_csv(tmp_path / 's.csv', index=False)
    found = resolve({'name': 'custom', 'path': str(tmp_path / 's.csv')})
    assert found['lists'] == {'train': [['k', 'g1'], ['k', 'g2']], 'val': [['r', 'g3']], 'test': [['r', 'g1+g2']]}
    TABLE.drop(columns='split').to_csv(tmp_path / 's.csv', index=False)
    with pytest.raises(
        InputError, match="a table of conditions needs the columns condition and split .or fold.; there are 'cond"
    ):
        resolve({'name': 'custom', 'path': str(tmp_path / 's.csv')})


CELLS = pd.DataFrame(
    {
        'cell': ['k', 'k', 'k', 'k', 'r', 'r', 'r'],
        'gene': ['ctrl', 'g1+ctrl', 'g1', 'g2', 'ctrl', 'g1', 'g2'],
        'fold': ['train', 'train', 'train', 'val', None, 'test', None],
        'e': [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5],
    }
)
FIELDS = {'context': 'cell', 'perturbation': 'gene', 'control': ('ctrl',), 'readout_where': {'index': {'not': 'fold'}}}


def column_split(folder, *tables, **fields):
    for number, table in enumerate(tables):
        table.to_csv(folder / f'cells{number}.csv', index=False)
    data = {'source': 'wide', 'path': str(folder / 'cells*.csv'), 'scale': 'log2', 'fields': FIELDS | fields}
    compendium = load(data)
    rule = resolve_any({'name': 'custom', 'column': 'fold'}, data, compendium.vocabulary)
    split = make_split(compendium, rule.pop('name'), 0, **rule)
    names = compendium.table()[['context', 'perturbation']].itertuples(index=False, name=None)
    return dict(zip(names, [role for roles in split.roles for role in roles]))


def test_a_column_of_the_rows_is_a_split(tmp_path):
    assert column_split(tmp_path, CELLS) == {
        ('k', 'control'): TRAIN, ('k', 'g1'): TRAIN, ('k', 'g2'): VALIDATION,
        ('r', 'control'): TRAIN, ('r', 'g1'): TEST, ('r', 'g2'): UNUSED,
    }  # fmt: skip


def test_a_column_of_the_rows_follows_names_that_are_one_across_files(tmp_path):
    one = pd.DataFrame({'cell': 'MCF7', 'gene': ['ctrl', 'G-1'], 'fold': ['train', 'train'], 'e': [1.5, 2.5]})
    other = pd.DataFrame({'cell': 'MCF-7', 'gene': ['ctrl', 'g1', 'x'], 'fold': ['train', 'train', 'test'], 'e': 1.5})
    assert column_split(tmp_path, one, other.drop(1), merge_alike=True) == {
        ('MCF-7', 'control'): TRAIN, ('MCF-7', 'G-1'): TRAIN, ('MCF-7', 'x'): TEST,
    }  # fmt: skip


def test_a_table_of_contexts_holds_out_all_of_them(tmp_path):
    pd.DataFrame({'context': ['k', 'r', 'k2'], 'fold': [0, 1, 1]}).to_csv(tmp_path / 's.csv', index=False)
    found = resolve({'name': 'folds', 'path': str(tmp_path / 's.csv'), 'validation': True})
    lists = {'0': [['k', '*']], '1': [['r', '*'], ['k2', '*']]}
    assert found == {'name': 'folds', 'validation': True, 'lists': lists, 'source': str(tmp_path / 's.csv')}


def test_drug_pairs_with_their_folds(tmp_path):
    """The form of DeepSynergy's table of labels."""
    pairs = [('a', 'b', 0), ('a', 'c', 1), ('c', 'b', 2)]
    rows = [(f'{a}_{b}_{cell}', a, b, cell, 1.5, fold) for cell in ('A375', 'HT29') for a, b, fold in pairs]
    columns = ['', 'drug_a_name', 'drug_b_name', 'cell_line', 'synergy', 'fold']
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / 'labels.csv', index=False)
    fields = {'context': 'cell_line', 'perturbation': '{drug_a_name}+{drug_b_name}', 'perturbation_type': 'Compound'}
    fields['readout_where'] = {'index': ('synergy',)}
    data = {'source': 'wide', 'path': str(tmp_path / 'labels.csv'), 'scale': 'fitness', 'fields': fields}
    compendium = load(data)
    rule = resolve_any({'name': 'folds', 'column': 'fold'}, data, compendium.vocabulary)
    split = make_split(compendium, rule.pop('name'), 2, **rule)
    tested = compendium.table()[split.roles[0] == TEST]
    assert set(zip(tested['context'], tested['perturbation'])) == {
        (cell, 'Compound_b+Compound_c') for cell in ('A375', 'HT29')
    }


def test_rows_of_one_profile_have_one_role(tmp_path):
    with pytest.raises(InputError, match="'fold' the rows of g1 in k are of several lists, 'test', 'train'; a profile"):
        column_split(tmp_path, CELLS.assign(fold=[*CELLS['fold'][:2], 'test', *CELLS['fold'][3:]]))


def test_a_simulation_has_no_columns():
    with pytest.raises(InputError, match=r"split.column: the source 'simulation' has no table of rows"):
        resolve({'name': 'custom', 'column': 'fold'}, {'source': 'simulation'})
