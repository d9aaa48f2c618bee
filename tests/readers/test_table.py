import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.readers import table as tables
from perturbjax.readers.long import read_long
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.table import finite, read_matrix, screen_name
from perturbjax.readers.wide import read_wide

LONG = Fields(context='context')
WIDE = Fields(context='cell', perturbation='drug', control=('DMSO',))
TABLE = pd.DataFrame(
    {
        'context': ['a', 'a', 'b', 'a', 'b', 'a'],
        'perturbation': ['g', 'control', 'g', 'h+g', 'g', 'g'],
        'readout': ['x', 'x', 'y', 'y', 'y', 'y'],
        'value': [1.0, 0.0, 2.0, 3.0, 4.0, np.nan],
    }
)


def written(folder, text, name='screen.csv'):
    path = folder / name
    path.write_text(text)
    return str(path)


def lines(measurements):
    """Every measured value as (context, perturbation, readout, value), sorted."""
    values = np.asarray(measurements.values)
    places = zip(*np.nonzero(~np.isnan(values)))
    m = measurements
    return sorted((m.context[i], m.perturbation[i], m.readout[j], values[i, j]) for i, j in places)


@pytest.mark.parametrize('ending', ['csv', 'tsv', 'txt', 'csv.gz', 'tsv.gz', 'parquet'])
def test_long_tables_of_every_ending(tmp_path, ending):
    path = str(tmp_path / f'my.screen.{ending}')
    if ending == 'parquet':
        pytest.importorskip('pyarrow')
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, sep=',' if 'csv' in ending else '\t', index=False)
    screen = read_long(path, LONG)
    assert screen.name == 'my.screen'
    assert screen.values.dtype == np.float32
    assert list(screen.readout) == ['x', 'y']
    # the second y of g in b is a replicate, so a row of its own
    assert list(zip(screen.context, screen.perturbation)) == [
        ('a', 'g'), ('a', 'control'), ('b', 'g'), ('a', 'g+h'), ('b', 'g')]  # fmt: skip
    np.testing.assert_array_equal(screen.values, [[1, np.nan], [0, np.nan], [np.nan, 2], [np.nan, 3], [np.nan, 4]])


NAMES = st.sampled_from('pqr')


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, st.integers(-9, 9)), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_a_long_table_loses_nothing(tmp_path_factory, rows):
    path = str(tmp_path_factory.mktemp('long') / 'long.csv')
    pd.DataFrame(rows, columns=['context', 'perturbation', 'readout', 'value']).to_csv(path, index=False)
    assert lines(read_long(path, LONG)) == sorted(rows)


def test_a_folder_of_shards_is_one_table(tmp_path):
    TABLE[:2].to_csv(tmp_path / '1.csv', index=False)
    TABLE[2:][TABLE.columns[::-1]].to_csv(tmp_path / '0.tsv', index=False, sep='\t')
    written(tmp_path, 'not a table', '_SUCCESS')
    whole = tmp_path / 'whole' / 'long.csv'
    whole.parent.mkdir()
    TABLE.to_csv(whole, index=False)
    assert lines(read_long(str(tmp_path), LONG)) == lines(read_long(str(whole), LONG))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='the folder has no table, which is'):
        read_long(str(tmp_path / 'empty'), LONG)
    TABLE.drop(columns='value').to_csv(tmp_path / '2.csv', index=False)
    with pytest.raises(
        InputError, match=r"2.csv: the columns are .* but in .*0.tsv they are 'value'.*; make them the same"
    ):
        read_long(str(tmp_path), LONG)


def test_long_tables_choose_lines_and_columns(tmp_path):
    path = str(tmp_path / 'long.csv')
    TABLE.rename(columns={'value': 'z', 'readout': 'gene'}).to_csv(path, index=False)
    fields = Fields(context='context', readout='gene', where={'context': 'a'}, readout_where={'gene': 'x'})
    assert lines(read_long(path, fields, value='z')) == [('a', 'control', 'x', 0), ('a', 'g', 'x', 1)]
    with pytest.raises(InputError, match="data.fields.readout: there is no column 'readout'"):
        read_long(path, LONG, value='z')
    with pytest.raises(InputError, match="data.value: there is no column 'value'"):
        read_long(path, fields)


def test_long_tables_with_holes_or_text(tmp_path):
    start = 'context,perturbation,readout,value\n'
    with pytest.raises(InputError, match=r'data.fields.readout: 1 of 2 rows have no value'):
        read_long(written(tmp_path, start + 'a,g,,1\na,g,x,1\n'), LONG)
    with pytest.raises(InputError, match=r"the column 'value' holds 'low', which is not a number.*data.value"):
        read_long(written(tmp_path, start + 'a,g,x,1\na,g,y,low\n'), LONG)


def test_every_column_of_a_wide_table_that_no_field_uses_is_a_readout(tmp_path, caplog):
    path = written(tmp_path, 'drug,cell,S1,S2,2.5\nDMSO,A,1,inf,3\nx,A,,2,1\n')
    screen = read_wide(path, WIDE)
    assert list(screen.readout) == ['S1', 'S2', '2.5']
    assert list(screen.perturbation) == ['control', 'x']
    np.testing.assert_array_equal(screen.values, [[1, np.nan, 3], [np.nan, 2, 1]])
    assert '1 infinite values are taken as not measured' in caplog.text


def test_readouts_of_a_wide_table_can_be_chosen(tmp_path):
    text = 'drug,cell,plate,S1,S2,ok\nDMSO,A,P1,1,2,yes\nx,A,P1,3,4,no\n'
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=r"the column 'plate' holds 'P1', which is not a number; .*_where=\{'index'"):
        read_wide(path, WIDE)
    fields = Fields(context='cell', perturbation='drug', where={'ok': 'no'}, readout_where={'index': ['S2', 'S1']})
    screen = read_wide(path, fields)
    assert list(screen.readout) == ['S1', 'S2']
    np.testing.assert_array_equal(screen.values, [[3, 4]])
    with pytest.raises(InputError, match="'index' is nowhere 'S3'; the values there are 'S1'"):
        read_wide(path, Fields(context='cell', perturbation='drug', readout_where={'index': 'S3'}))


def test_a_first_column_without_a_name_is_the_index(tmp_path):
    path = written(tmp_path, ',cell,S1\nDMSO,A,1\nx,A,3\n')
    screen = read_wide(path, Fields(context='cell', perturbation='index', control=('DMSO',)))
    assert list(screen.perturbation) == ['control', 'x']
    assert list(screen.readout) == ['S1']


def test_a_table_of_named_columns_only(tmp_path):
    path = written(tmp_path, 'id\ta\tb\n1\t2\t3\n', 'info.txt')
    assert list(read_matrix(path, ['b', 'id']).columns) == ['id', 'b']
    with pytest.raises(InputError, match="info.txt: there is no column 'c'; there are 'id', 'a', 'b'"):
        read_matrix(path, ['c', 'a'])


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        (
            't.rds',
            b'',
            r"this is not a table by its name, which should end in '.csv', '.tsv', '.txt', '.parquet', '.xlsx'",
        ),
        ('t.csv', b'', r'cannot be read as a .csv table \(No columns to parse'),
        ('t.csv', b'a,b\n', r'the table has 0 lines and 2 columns'),
        ('t.csv', b'a,b,a\n1,2,3\n', "columns are named twice: 'a'"),
        ('t.csv', b'a,b\n1,2,3\n', r'cannot be read as a .csv table \(Length of header'),
        ('t.csv', b'a,b\n1,2\n1,2,3\n', r'Expected 2 fields in line 3, saw 3'),
        ('t.csv', b'\xff\xfea,b\n', r'cannot be read as a .csv table'),
        ('t.csv.gz', gzip.compress(b'a,b\n1,2\n' * 99, mtime=0)[:-12], r'cannot be read as a .csv table'),
        ('t.parquet', b'a,b\n1,2\n', r'cannot be read as a .parquet table'),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path, name, content, message):
    if 'parquet' in name:
        pytest.importorskip('pyarrow')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_matrix(str(tmp_path / name))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['t.csv', 't.parquet'])
def test_a_file_that_is_not_there(tmp_path, name):
    pytest.importorskip('pyarrow')
    with pytest.raises(InputError, match='there is no such file'):
        read_matrix(str(tmp_path / name))


def test_parquet_without_its_library(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ImportError('no pyarrow')

    pd.DataFrame({'a': [1]}).to_parquet(tmp_path / 't.parquet')
    monkeypatch.setattr(tables.pd, 'read_parquet', missing)
    with pytest.raises(InputError, match=r"parquet files need pyarrow; pip install 'perturbjax\[parquet\]'"):
        read_matrix(str(tmp_path / 't.parquet'))


def test_values_too_large_for_float32_are_infinite_and_so_missing():
    np.testing.assert_array_equal(finite(np.array([[1e300, 1.0]]), 'f'), np.float32([[np.nan, 1]]))


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('/a/b/x.gct.gz', 'x'),
        ('x_n5x10.gctx', 'x_n5x10'),
        ('v1.2.H5AD', 'v1.2'),
        ('/a/shards', 'shards'),
        ('a.b.csv', 'a.b'),
        ('t.tsv.gz', 't'),
    ],
)
def test_a_screen_is_named_after_its_file(path, name):
    assert screen_name(path) == name


def test_real_tables(shared):
    fitness = shared / 'norman_2019_fitness'
    screen = read_wide(str(fitness / 'single_fitness.csv'), Fields(context_name='K562', perturbation='guide_target'))
    assert screen.values.shape == (113, 2)
    doubles = read_matrix(str(fitness / 'double_fitness.csv')).set_index('gene')
    assert doubles.shape == (113, 113)
    assert set(doubles.index) == set(screen.perturbation)
    sizes = {'reactome_pairs.csv': (22865, 2), 'humap_pairs.csv': (117076, 2), 'compound_targets.tsv': (3666, 4)}
    for name, size in sizes.items():
        assert read_matrix(str(shared / 'annotations' / name)).shape == size
