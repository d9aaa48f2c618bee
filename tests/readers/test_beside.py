import numpy as np
import pandas as pd
import pytest

from perturbjax.errors import InputError
from perturbjax.readers.beside import look_up

IDS = np.array(['S2', 'S0'], object)


@pytest.fixture
def tables(tmp_path):
    """Two tables of three ids, in two orders."""
    pd.DataFrame({'sig_id': ['S0', 'S1', 'S2'], 'cell': list('abc'), 'dose': [1, 2, 3]}).to_csv(
        tmp_path / 'info.txt', sep='\t', index=False
    )
    pd.DataFrame({'id': ['S2', 'S1', 'S0'], 'cc': [0.3, 0.2, 0.1], 'dose': [7, 8, 9]}).to_csv(
        tmp_path / 'metrics.csv', index=False
    )
    return [str(tmp_path / 'info.txt'), str(tmp_path / 'metrics.csv')]


def test_each_column_comes_from_the_first_table_that_has_it(tables):
    found = look_up(IDS, ['cc', 'cell', 'dose'], tables, ('sig_id', 'id'), 'f')
    assert list(found.index) == ['S2', 'S0']
    assert found[['cell', 'dose', 'cc']].values.tolist() == [['c', 3, 0.3], ['a', 1, 0.1]]


def test_one_table_and_names_of_two_releases(tables):
    found = look_up(IDS, ['cell_iname|cell'], tables[0], ('sig_id',), 'f')
    assert (found.index.name, list(found['cell'])) == ('sig_id', ['c', 'a'])
    assert list(look_up(IDS, [], tables[0], ('sig_id',), 'f').index) == ['S2', 'S0']


@pytest.mark.parametrize(
    ('ids', 'used', 'keys', 'message'),
    [
        (
            IDS,
            ['tas'],
            ('sig_id', 'id'),
            r"info.txt and .*metrics.csv: there is no column 'tas'; there are 'sig_id'",
        ),
        (
            IDS,
            ['cc'],
            ('sig_id',),
            r"metrics.csv: there is no column 'sig_id' for the ids; there are 'id', 'cc'",
        ),
        (
            np.array(['S0', 'S9']),
            ['cc'],
            ('id',),
            r"metrics.csv: 1 of the 2 ids of f are not in the column id.* 'S9'",
        ),
    ],
)
def test_what_does_not_fit(tables, ids, used, keys, message):
    with pytest.raises(InputError, match=message):
        look_up(ids, used, tables, keys, 'f')


def test_an_id_that_is_there_twice(tables):
    table = pd.read_csv(tables[0], sep='\t')
    table.iloc[[0, 0, 1, 2]].to_csv(tables[0], sep='\t', index=False)
    with pytest.raises(InputError, match="info.txt: ids in sig_id are repeated: 'S0'"):
        look_up(IDS, ['cell'], tables, ('sig_id',), 'f')
