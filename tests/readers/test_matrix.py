import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from perturbjax.errors import InputError
from perturbjax.readers.loading import load
from perturbjax.readers.matrix import read_pair_matrix
from perturbjax.readers.naming.fields import Fields

K562 = Fields(context_name='K562', perturbation_type='CRISPRa')
MATRIX = 'gene,A,B,C\nA,9,1,2\nB,1,9,\nC,2,,9\n'
SINGLES = 'gene,mean,best\nA,10,11\nB,20,\nC,30,33\n'


@pytest.fixture
def files(tmp_path):
    def write(matrix=MATRIX, singles=SINGLES):
        (tmp_path / 'pairs.csv').write_text(matrix)
        (tmp_path / 'singles.csv').write_text(singles)
        return str(tmp_path / 'pairs.csv'), {'singles': str(tmp_path / 'singles.csv')}

    return write


def values(screen):
    return sorted(zip(screen.perturbation, screen.values[:, 0].tolist()))


def test_mirrored_halves_are_read_once_and_the_diagonal_is_left_out(files):
    path, settings = files()
    screen = read_pair_matrix(path, K562, **settings, single='mean', readout='fitness')
    assert values(screen) == [
        ('CRISPRa_A', 10), ('CRISPRa_A+CRISPRa_B', 1), ('CRISPRa_A+CRISPRa_C', 2), ('CRISPRa_B', 20), ('CRISPRa_C', 30)
    ]  # fmt: skip
    assert (screen.name, list(screen.readout), set(screen.context)) == ('pairs', ['fitness'], {'K562'})
    assert screen.values.dtype == np.float32


def test_lines_may_be_in_another_order_than_columns_and_have_one_half_only(files):
    path, settings = files()
    whole = values(read_pair_matrix(path, K562, **settings, single='mean'))
    path, settings = files('gene,C,A,B\nA,2,9,1\nB,,,9\nC,9,,\n')
    assert values(read_pair_matrix(path, K562, **settings, single='mean')) == whole


def test_halves_that_are_replicates_are_rows_of_their_own(files):
    path, settings = files(MATRIX.replace('B,1', 'B,3'))
    screen = read_pair_matrix(path, K562, **settings, single='mean', halves='replicates')
    assert [value for name, value in values(screen) if name == 'CRISPRa_A+CRISPRa_B'] == [1, 3]
    with pytest.raises(InputError, match="1 pairs have two values, such as A with B; .* data.halves='replicates'"):
        read_pair_matrix(path, K562, **settings, single='mean')


def test_a_gene_that_is_control_makes_singles_of_its_pairs(files):
    path, settings = files(singles='\tv\nA\t10\nB\t\n'.replace('\t', ','))
    screen = read_pair_matrix(path, Fields(context_name='x', control=('C',)), **settings)
    assert values(screen) == [('A', 2), ('A', 10), ('A+B', 1)]


def test_a_plus_in_a_name_is_no_pair(files, caplog):
    path, settings = files('gene,A+,B\nA+,,1\nB,1,\n', 'gene,v\nB,2\n')
    assert values(read_pair_matrix(path, Fields(context_name='x'), **settings)) == [('A(+)+B', 1), ('B', 2)]
    assert "1 genes of the pairs are not among the single genes: 'A(+)'" in caplog.text


@given(hnp.arrays(np.float32, (5, 5), elements=st.integers(-99, 99) | st.just(np.nan)))
@settings(max_examples=20, deadline=None)
def test_every_filled_cell_is_a_replicate(tmp_path_factory, cells):
    folder = tmp_path_factory.mktemp('matrix')
    names = list('ABCDE')
    pd.DataFrame(cells, names, names).to_csv(folder / 'pairs.csv')
    (folder / 'singles.csv').write_text('gene,v\nA,0\n')
    screen = read_pair_matrix(
        str(folder / 'pairs.csv'), Fields(context_name='x'), singles=str(folder / 'singles.csv'), halves='replicates'
    )
    filled = [
        ('+'.join(sorted((names[i], names[j]))), cells[i, j])
        for i in range(5)
        for j in range(5)
        if i != j and not np.isnan(cells[i, j])
    ]
    assert values(screen) == sorted([('A', 0), *filled])


@pytest.mark.parametrize(
    ('matrix', 'singles', 'settings', 'message'),
    [
        (
            MATRIX.replace('C,2', 'D,2'),
            SINGLES,
            {},
            r"pairs.csv: lines and columns .* the same names, but 'C', 'D' are only",
        ),
        ('gene,A,B\nA,1,2\n', SINGLES, {}, r"'B' are only on one side"),
        (MATRIX.replace('C,2', 'B,2'), SINGLES, {}, r"pairs.csv: lines are named twice: 'B'"),
        (MATRIX.replace('C,2', ',2'), SINGLES, {}, r'must name every line, but 1 lines have no name'),
        (MATRIX.replace('A,9,1', 'A,9,low'), SINGLES, {}, r"pairs.csv: A has 'low' in the column 'B'"),
        (MATRIX, SINGLES.replace('20', '?'), {}, r"singles.csv: B has '\?' in the column 'mean'"),
        (MATRIX, SINGLES, {'single': ''}, r"data.single: name the column of the values; there are 'mean', 'best'"),
        (MATRIX, SINGLES, {'single': 'men'}, r"singles.csv: data.single: there is no column 'men'"),
        (MATRIX, SINGLES, {'singles': ''}, r'pairs.csv: data.singles: name the table of the single genes'),
        (MATRIX, SINGLES, {'singles': 'no.csv'}, r'no.csv: there is no such file'),
        (MATRIX, SINGLES, {'halves': 'replicate'}, r"no such choice 'replicate'; did you mean 'replicates'"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(files, matrix, singles, settings, message):
    path, given = files(matrix, singles)
    with pytest.raises(InputError, match=message) as error:
        read_pair_matrix(path, K562, **{'single': 'mean', **given, **settings})
    assert '\n' not in str(error.value)


def test_the_growth_of_norman_2019(shared):
    folder = shared / 'norman_2019_fitness'
    data = {
        'source': 'matrix',
        'path': str(folder / 'double_fitness.csv'),
        'singles': str(folder / 'single_fitness.csv'),
        'single': 'average_fitness',
        'scale': 'fitness',
        'fields': {'context_name': 'K562', 'perturbation_type': 'CRISPRa'},
    }
    (screen,) = load(data).screens
    assert np.bincount(screen.order).tolist() == [0, 113, 113 * 112 // 2]
    singles = dict(zip(screen.perturbation[screen.order == 1, 0], screen.values[screen.order == 1, 0]))
    doubles = screen.order == 2
    additive = [singles[a] + singles[b] for a, b in screen.perturbation[doubles]]
    assert np.corrcoef(additive, screen.values[doubles, 0])[0, 1] == pytest.approx(0.94, abs=0.005)
