import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.readers.naming.fields import Fields, readout_columns, readout_names, row_columns, select
from perturbjax.readers.naming.rows import label_rows

NAN = np.nan


def perturbations(values, **settings):
    table = pd.DataFrame({'perturbation': values})
    return list(label_rows(table, Fields(context_name='a', **settings), 'f.csv')[1])


def test_combinations_are_sorted_and_control_parts_dropped():
    values = ['ctrl', 'B+A', 'ctrl+B', 'A+ctrl', 'ctrl+ctrl', 'control', 'C + A']
    expected = ['control', 'A+B', 'B', 'A', 'control', 'control', 'A+C']
    assert perturbations(values, control=('ctrl',)) == expected
    assert perturbations(values, control='ctrl') == expected


def test_the_type_stands_in_front_of_each_part():
    assert perturbations(['B+A', 'ctrl'], control=('ctrl',), perturbation_type='CRISPRi') == [
        'CRISPRi_A+CRISPRi_B',
        'control',
    ]


def test_plus_in_names():
    assert perturbations(['(+)-JQ1+A', 'K+-blocker'], separator='+') == ['(+)-JQ1+A', '-blocker+K']
    assert perturbations(['(+)-JQ1', 'K+-blocker'], separator='') == ['(+)-JQ1', 'K(+)-blocker']
    assert perturbations(['Ca2+;B', 'ctrl;B'], separator=';', control=('ctrl',)) == ['B+Ca2(+)', 'B']
    with pytest.raises(InputError, match=r"f.csv: data.fields.separator: 'Ca2\+' has an empty part.*separator=''"):
        perturbations(['Ca2+'])


def test_underscore_splits_only_into_known_singles(caplog):
    values = ['control', 'A', 'B', 'MT_C', 'A_B', 'B_MT_C', 'A_control', 'A_D', 'B_A_MT_C']
    expected = ['control', 'A', 'B', 'MT_C', 'A+B', 'B+MT_C', 'A', 'A_D', 'A+B+MT_C']
    assert perturbations(values, separator='_') == expected
    assert "f.csv: 2 values contain _ but are not made of known parts: 'MT_C', 'A_D'" in caplog.text


def test_what_splits_at_underscore_in_two_ways_stays_whole():
    assert perturbations(['A', 'B_C', 'A_B', 'C', 'A_B_C'], separator='_')[-1] == 'A_B_C'


@given(st.lists(st.sampled_from('ABC') | st.just('ctrl'), min_size=1, max_size=5), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_parts_says_nothing(names, random):
    shuffled = random.sample(names, len(names))
    first, second = perturbations(['+'.join(names), '+'.join(shuffled)], control=('ctrl',))
    assert first == second == ('+'.join(sorted(name for name in names if name != 'ctrl')) or 'control')


def test_control_column_marks_rows_whatever_their_perturbation():
    table = pd.DataFrame({'name': ['DMSO', 'x', None, 'y', 'z'], 'type': ['ctl', 'trt', 'ctl', None, 'control']})
    fields = Fields(
        context_name='a', perturbation='name', control_column='type', control=('ctl',), perturbation_type='Compound'
    )
    assert list(label_rows(table, fields, 'f')[1]) == ['control', 'Compound_x', 'control', 'Compound_y', 'control']


def test_templates_print_numbers_at_their_shortest():
    table = pd.DataFrame(
        {'cell': pd.Categorical(['A', 'A']), 'time': [24.0, 6.0], 'dose': np.float32([0.4, 10]), 'drug': [b'x', b'y']}
    )
    contexts, names = label_rows(table, Fields(context='{cell}_{time}h', perturbation='{drug}-{dose}uM'), 'f')
    assert list(contexts) == ['A_24h', 'A_6h']
    assert list(names) == ['x-0.4uM', 'y-10uM']


def test_a_template_takes_a_piece_of_a_column():
    table = pd.DataFrame(index=['0_A1BG_P1', '1_non-targeting_x'])
    fields = Fields(context='{index:_2}', perturbation='{index:_1}', control=('non-targeting',))
    assert [list(names) for names in label_rows(table, fields, 'f')] == [['P1', 'x'], ['A1BG', 'control']]
    with pytest.raises(InputError, match=r'1 of 2 rows have no value in the column .index.'):
        label_rows(pd.DataFrame(index=['a_b', 'c']), fields_of('{index:_1}'), 'f')


def test_pieces_are_counted_from_the_end_too():
    table = pd.DataFrame(index=['0_A1BG_P1', '1_MT_ND1_P2'])
    for template, wanted in (('{index:_-1}', ['P1', 'P2']), ('{index:_-2}', ['A1BG', 'ND1']), ('{index:_-4}', None)):
        if wanted:
            assert list(label_rows(table, fields_of(template), 'f')[1]) == wanted
        else:
            with pytest.raises(InputError, match='1 of 2 rows have no value'):
                label_rows(table, fields_of(template), 'f')
    dashes = pd.DataFrame({'p': ['a-b-c', 'd-e']})
    assert list(label_rows(dashes, fields_of('{p:-1}'), 'f')[1]) == ['b', 'e']
    assert list(label_rows(dashes, fields_of('{p:--1}'), 'f')[1]) == ['c', 'e']
    with pytest.raises(InputError, match="'index' has no value with '-', at which '-1' splits; .* or _-1 for the last"):
        label_rows(table, fields_of('{index:-1}'), 'f')


PAIRS = pd.DataFrame({'g1': ['A', 'ctrl', 'B', 'nan', None], 'g2': ['B', 'A', None, 'C', 'D']}, dtype=object)


@pytest.mark.parametrize('settings', [{}, {'control': ('ctrl',), 'separator': ('+', '_')}])
def test_a_part_of_a_template_without_a_value_is_not_there(settings, caplog):
    fields = Fields(context_name='k', perturbation='{g1}+{g2}', **{'control': ('ctrl',), **settings})
    assert list(label_rows(PAIRS, fields, 'f')[1]) == ['A+B', 'A', 'B', 'C', 'D']
    assert "in the column 'g1' 'nan' stands for no value, so that part is not there" in caplog.text
    with pytest.raises(
        InputError, match=r"f: data.fields.perturbation: 2 of 7 rows have no value in any column of '\{g1"
    ):
        label_rows(pd.concat([PAIRS, PAIRS.assign(g1=None, g2='NA')[:2]]), fields, 'f')


def test_a_part_of_several_columns_is_there_whole_or_not_at_all():
    table = pd.DataFrame({'a': ['x', 'x', 'x'], 'b': ['y', None, 'y'], 'n': [1, 2, 3], 'm': [0.5, NAN, 10]})
    fields = Fields(context_name='k', perturbation='{a}-{n}uM+{b}-{m}uM')
    assert list(label_rows(table, fields, 'f')[1]) == ['x-1uM+y-0.5uM', 'x-2uM', 'x-3uM+y-10uM']
    with pytest.raises(InputError, match="1 of 3 rows have no value in the column 'm'"):
        label_rows(table.assign(m=[0.5, NAN, NAN]), fields, 'f')


def test_a_plus_of_a_name_does_not_cut_a_template():
    table = pd.DataFrame({'a': ['x'], 'b': ['JQ1'], 'c': ['y']})
    assert list(label_rows(table, fields_of('{a}(+)-{b}+{c}'), 'f')[1]) == ['x(+)-JQ1+y']


def test_a_number_and_its_unit_are_one_value():
    table = pd.DataFrame(
        {'drug': ['x', 'x', 'y'], 'dose': [0.04, 40, 3], 'unit': ['um', 'nM', 'Gy'], 'time': ['24h', '1 day', '6 h']}
    )
    contexts, names = label_rows(table, Fields(context='k_{time}', perturbation='{drug}-{dose}{unit}'), 'f')
    assert list(names) == ['x-0.04uM', 'x-0.04uM', 'y-3Gy']
    assert list(contexts) == ['k_24h', 'k_24h', 'k_6h']
    culture = pd.DataFrame({'c': ['2d', '3d'], 'perturbation': ['A', 'A']})
    assert list(label_rows(culture, Fields(context='c'), 'f')[0]) == ['2d', '3d']


def test_a_column_that_may_be_empty():
    table = pd.DataFrame({'cell': ['A', 'B'], 'batch': [None, '_2'], 'perturbation': ['g', 'h']})
    assert list(label_rows(table, Fields(context='{cell}{batch:?}'), 'f')[0]) == ['A', 'B_2']


def test_contexts_that_differ_in_spaces_are_one_and_told(caplog):
    table = pd.DataFrame({'cell': ['B', 'B ', ' B', 'C', 'e\u0301', '\u00e9'], 'perturbation': list('ghijkl')})
    assert list(label_rows(table, Fields(context='cell'), 'f')[0]) == ['B', 'B', 'B', 'C', '\u00e9', '\u00e9']
    assert "f: data.fields.context: the column 'cell': names that differ only in spaces" in caplog.text
    assert "count as one: ' B', 'B', 'B '; " in caplog.text


def test_spellings_in_a_part_of_a_template_are_told_once(caplog):
    table = pd.DataFrame({'cell': 'k', 'g1': ['x', 'x '], 'g2': ['y', 'y']})
    assert list(label_rows(table, Fields(context='cell', perturbation='{g1}+{g2}'), 'f')[1]) == ['x+y', 'x+y']
    assert caplog.text.count("count as one: 'x', 'x '") == 1


def test_one_letter_for_mu():
    assert perturbations(['x-1 \u00b5l', 'x-1 \u03bcl']) == ['x-1 \u00b5l'] * 2


@pytest.mark.parametrize('word', ['nan', 'NaN', 'None', 'NA', '<NA>', 'unassigned', ''])
def test_words_that_name_nothing(word):
    with pytest.raises(InputError, match='f.csv: data.fields.perturbation: 1 of 2 rows have no value in the column'):
        perturbations(['A', word])
    if word:
        assert perturbations(['A', word], control=(word,)) == ['A', 'control']
        assert perturbations(['A', word], nothing=()) == ['A', word]
        assert perturbations(['A+B', f'A+{word}']) == ['A+B', 'A']


def test_a_part_that_names_nothing_is_told(caplog):
    perturbations(['A+nan', 'B'])
    assert (
        "1 combinations have a part that stands for nothing (data.fields.nothing), which is left out: 'A+nan'"
        in caplog.text
    )


def test_several_separators():
    names = ['ctrl', 'A_ctrl', 'ctrl_A', 'A+ctrl', 'A_B', 'B+ctrl', 'A_X', 'A;B']
    found = perturbations(names, control=('ctrl',), separator=('+', '_', ';'))
    assert found == ['control', 'A', 'A', 'A', 'A+B', 'B', 'A_X', 'A+B']


def test_patterns_of_control():
    names = ['non-targeting_1', 'A+non-targeting_22', 'ARID1A_NegCtrl0', 'ARID1A', 'A']
    found = perturbations(names, control=('non-targeting*', 'NegCtrl*'), separator=('+', '_'))
    assert found == ['control', 'A', 'ARID1A', 'ARID1A', 'A']


def test_alike_names_are_one_where_it_is_asked_for():
    table = pd.DataFrame({'cell': ['K562', 'k562', 'K-562'], 'perturbation': ['Torin 2', 'torin2+Ctrl', 'CTRL']})
    fields = Fields(context='cell', control=('ctrl',), merge_alike=True)
    contexts, names = label_rows(table, fields, 'f')
    assert (list(contexts), list(names)) == (['K-562'] * 3, ['Torin 2', 'Torin 2', 'control'])


def test_the_control_column_is_stripped_and_takes_patterns(caplog):
    table = pd.DataFrame({'p': list('abcd'), 'type': ['ctl ', 'neg_1', 'CTL', 'trt']})
    fields = Fields(context_name='k', perturbation='p', control_column='type', control=('ctl', 'neg*'))
    assert list(label_rows(table, fields, 'f')[1]) == ['control', 'control', 'c', 'd']
    assert "f: data.fields.control_column: 'CTL' look like control but mark no row as control" in caplog.text


def fields_of(template):
    return Fields(context_name='a', perturbation=template)


@pytest.mark.parametrize(
    ('template', 'message'), [('{a', r"template '\{a' cannot be read"), ('{a:x}', "'x' in .* a separator and a number")]
)
def test_malformed_templates(template, message):
    with pytest.raises(InputError, match=message):
        label_rows(pd.DataFrame({'a': [1]}), fields_of(template), 'f')


@pytest.mark.parametrize('field', ['context', 'perturbation'])
@pytest.mark.parametrize('missing', [None, NAN, ''])
def test_rows_without_a_value_are_counted(field, missing):
    table = pd.DataFrame({'context': ['a', 'b', 'c'], 'perturbation': ['g', 'h', 'i']}, dtype=object)
    table.loc[1:, field] = missing
    with pytest.raises(InputError, match=f'f.csv: data.fields.{field}: 2 of 3 rows have no value in the column'):
        label_rows(table, Fields(context='context'), 'f.csv')


def test_a_missing_column_is_named_beside_those_there_are():
    with pytest.raises(
        InputError, match="f: data.fields.context: there is no column 'cel'; there are 'cell', 'p', 'index'"
    ):
        label_rows(pd.DataFrame({'cell': ['x'], 'p': ['A']}), Fields(context='{cel}_h', perturbation='p'), 'f')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({}, 'give either context, which is a column, or context_name'),
        ({'context': 'a', 'context_name': 'b'}, 'give either context'),
        ({'context': 'a', 'perturbation': ''}, 'data.fields.perturbation: name the column'),
        (
            {'context': 'a', 'perturbation_type': 'CRISPR'},
            "data.fields.perturbation_type: no such type 'CRISPR'; did you mean 'CRISPR",
        ),
    ],
)
def test_fields_that_contradict_themselves(settings, message):
    with pytest.raises(InputError, match=message):
        Fields(**settings)


def test_the_columns_that_fields_use():
    fields = Fields(context='{c}_{t}', perturbation='{c}-{p}', control_column='k', where={'t': 1, 'q': 2}, readout='g')
    assert row_columns(fields) == ['c', 't', 'p', 'k', 'q']
    assert readout_columns(fields) == ['g']
    assert row_columns(Fields(context_name='a')) == ['perturbation']
    assert readout_columns(Fields(context_name='a', readout_where={'index': 'x'})) == ['index']


def test_readouts_without_a_name_of_their_own_keep_their_index(caplog):
    table = pd.DataFrame({'symbol': ['G', '', 'H', 'G']}, index=['e1', 'e2', 'e3', 'e4'])
    named = readout_names(table, Fields(context_name='a', readout='symbol'), 'f')
    assert list(named) == ['G (e1)', 'e2', 'H', 'G (e4)']
    assert '1 of 4 readouts have no name there and are named by their index; 2 share their' in caplog.text
    assert list(readout_names(table, Fields(context_name='a'), 'f')) == ['e1', 'e2', 'e3', 'e4']


NUMBERS = {
    'int': [0, 1, 2],
    'float': [0.0, 1.0, 2.0],
    'float32': np.float32([0, 1, 2]),
    'text': ['0', '1', '2'],
    'text of floats': ['0.0', '1.0', '2.0'],
    'bytes': [b'0', b'1', b'2'],
    'category': pd.Categorical(['0', '1', '2']),
    'category of int': pd.Categorical([0, 1, 2]),
    'nullable': pd.array([0, 1, 2], 'Int64'),
}


@pytest.mark.parametrize('values', NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize('wanted', [1, 1.0, '1', b'1', True, np.float32(1), '1.0', (1,), ['1', 'other'], {1}])
def test_values_compare_by_what_they_say(values, wanted):
    assert list(select(pd.DataFrame({'v': values}), {'v': wanted}, 'f', 'data.fields.where')) == [1]


@given(st.lists(st.sampled_from('ABC'), min_size=1, max_size=8), st.sets(st.sampled_from('ABCD'), min_size=1))
@settings(max_examples=50, deadline=None)
def test_select_is_isin(values, wanted):
    expected = [row for row, value in enumerate(values) if value in wanted]
    table = pd.DataFrame({'v': values})
    if expected:
        assert list(select(table, {'v': wanted}, 'f', 'where')) == expected
    else:
        with pytest.raises(InputError):
            select(table, {'v': wanted}, 'f', 'where')


def test_select_meets_every_condition_or_says_why_not():
    table = pd.DataFrame({'a': ['x', 'x', 'y'], 'flag': [True, False, False], 'dose': [0.1, NAN, 1_0]}, ['p', 'q', 'r'])
    assert list(select(table, {}, 'f', 'where')) == [0, 1, 2]
    assert list(select(table, {'a': 'x', 'flag': 0}, 'f', 'where')) == [1]
    assert list(select(table, {'index': ('p', 'r')}, 'f', 'where')) == [0, 2]
    assert list(select(table, {'dose': 0.1}, 'f', 'where')) == [0]
    with pytest.raises(InputError, match="f: where: 'a' is nowhere 'z'; the values there are 'x', 'y'"):
        select(table, {'a': 'z'}, 'f', 'where')
    with pytest.raises(InputError, match="f: where: no row meets the conditions on 'a', 'flag' together"):
        select(table, {'a': 'y', 'flag': 1}, 'f', 'where')
    with pytest.raises(InputError, match="there is no column 'b'"):
        select(table, {'b': 1}, 'f', 'where')


def test_names_with_underscores_are_no_numbers():
    assert list(select(pd.DataFrame({'v': ['1_0', '10']}), {'v': 10}, 'f', 'where')) == [1]


def test_many_rows_are_labelled_by_their_distinct_values():
    table = pd.DataFrame({'perturbation': ['A+B', 'ctrl', 'B'] * 100_000, 'cell': pd.Categorical(['x'] * 300_000)})
    contexts, names = label_rows(table, Fields(context='cell', control=('ctrl',)), 'f')
    assert (contexts == 'x').all()
    assert (names == np.array(['A+B', 'control', 'B'] * 100_000, object)).all()
