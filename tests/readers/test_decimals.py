import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.decimals import decimal_hint
from perturbjax.readers.embedding_file import read_embedding
from perturbjax.readers.loading import load
from perturbjax.readers.table import column_names, read_matrix

FIELDS = {'context': 'cell', 'perturbation': 'drug', 'control': ('DMSO',)}
RIGHT = {'control': [1, 1250], 'Compound_gel-0.5': [-3.75, 12345], 'Compound_vor-3': [2.25, 2500.5]}
LINES = [
    ['cell', 'drug', 'dose', 'AARS', 'STAT1'],
    ['A375', 'DMSO', '', '0,5', '1200,0'],
    ['A375', 'DMSO', '', '1,5', '1300'],
    ['A375', 'vor', '3', '2,25', '2500,5'],
    ['A375', 'gel', '0,5', '-3,75', '1,2345e4'],
]


def written(path, lines, separator=';'):
    path.write_text(''.join(separator.join(cells) + '\n' for cells in lines))
    return str(path)


def read(source, path, **more):
    fields = {**FIELDS, **more.pop('fields', {})}
    compendium = load({'source': source, 'path': path, 'scale': 'log2', 'fields': fields, **more})
    (screen,) = compendium.screens
    names = compendium.vocabulary.perturbation_names(screen.perturbation)
    return dict(zip(names, screen.values.tolist(), strict=True))


@pytest.mark.parametrize(('name', 'separator'), [('a.csv', ';'), ('a.tsv', '\t'), ('a.txt', ';'), ('a.txt', '\t')])
def test_decimal_commas_are_read_where_the_user_says_so(tmp_path, name, separator):
    path = written(tmp_path / name, LINES, separator)
    fields = {'dose': 'dose', 'perturbation_type': 'Compound'}
    with pytest.raises(InputError, match="column 'AARS' holds '0,5', .*; if its comma stands .*, set data.decimal=','"):
        read('wide', path, fields=fields)
    assert read('wide', path, decimal=',', fields=fields) == RIGHT


def test_decimal_commas_of_long_tables_and_of_matrices(tmp_path):
    long = [['cell', 'drug', 'readout', 'value'], ['k', 'DMSO', 'e', '0,25'], ['k', 'x', 'e', '-1,5']]
    assert read('long', written(tmp_path / 'l.csv', long), decimal=',') == {'control': [0.25], 'x': [-1.5]}
    with pytest.raises(InputError, match="'value' holds '0,25', which is not a number; if its comma stands before dec"):
        read('long', written(tmp_path / 'l.csv', long))
    pairs = written(tmp_path / 'p.csv', [['', 'A', 'B'], ['A', '', '0,5'], ['B', '0,5', '']])
    singles = written(tmp_path / 's.csv', [['gene', 'value'], ['A', '1,5'], ['B', '2']])
    fields = {'context': '', 'context_name': 'k', 'perturbation': 'perturbation'}
    settings = {'singles': singles, 'scale': 'fitness', 'fields': fields}
    assert read('matrix', pairs, decimal=',', **settings) == {'A': [1.5], 'B': [2], 'A+B': [0.5]}
    with pytest.raises(InputError, match="A has '0,5' in the column 'B', which is not a number; if its comma stands"):
        read('matrix', pairs, **settings)


def test_a_point_that_parts_thousands_is_no_decimal_point(tmp_path):
    lines = [['cell', 'drug', 'e'], ['k', 'DMSO', '1.200'], ['k', 'x', '1.300']]
    with pytest.raises(
        InputError,
        match="'e' holds '1.200', which is not a number; with data.decimal=',' a number has one comma and no",
    ):
        read('wide', written(tmp_path / 'a.csv', lines), decimal=',')
    assert read('wide', written(tmp_path / 'a.csv', lines)) == {'control': [np.float32(1.2)], 'x': [np.float32(1.3)]}
    with pytest.raises(InputError, match=r"data.decimal: expected '.' or ',', got ';'"):
        read('wide', written(tmp_path / 'a.csv', lines), decimal=';')


@pytest.mark.parametrize(
    ('text', 'columns'),
    [
        ('a;b\n1;2\n', ['a', 'b']),
        ('a;N,N-x;c\n1;2;3\n', ['a', 'N,N-x', 'c']),
        ('# by a tool, v1\n#id;b\nx;2\n', ['#id', 'b']),
        ('"a;b",c\n1,2\n', ['a;b', 'c']),
        ('a,"b;c;d"\n1,2\n', ['a', 'b;c;d']),
        ('a;b,c\n1,2\n', ['a;b', 'c']),
        ('# one\na,b\n1,2\n', ['a', 'b']),
    ],
)
def test_semicolons_separate_columns_where_the_first_line_has_more_of_them(tmp_path, text, columns):
    path = tmp_path / 'a.csv'
    path.write_text(text)
    assert column_names(str(path)) == columns == list(read_matrix(str(path)).columns)


def test_an_embedding_with_commas_names_no_setting_that_it_lacks(tmp_path):
    path = written(tmp_path / 'e.csv', [['A', 'B'], ['0,5', '1']])
    with pytest.raises(InputError, match="'A' holds '0,5', which is not a number; an embedding file has"):
        read_embedding(path)


def test_texts_in_excel_may_have_decimal_commas(tmp_path):
    pytest.importorskip('openpyxl')
    pd.DataFrame({'cell': 'k', 'drug': ['DMSO', 'x'], 'e': ['0,5', 1.5]}).to_excel(tmp_path / 'a.xlsx', index=False)
    assert read('wide', str(tmp_path / 'a.xlsx'), decimal=',') == {'control': [0.5], 'x': [1.5]}


@pytest.mark.parametrize(('value', 'told'), [('1,5', True), ('-1,5e-3', True), ('1,200,5', False), ('A,B', False)])
def test_only_a_number_with_one_comma_may_have_a_decimal_comma(value, told):
    assert bool(decimal_hint(value, '.')) == told
    assert decimal_hint(value, '') == ''
