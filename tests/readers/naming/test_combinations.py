import itertools
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.readers.naming.combinations import says_nothing, vocabulary_names
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.quantities import dose_text
from perturbjax.readers.naming.rows import label_rows


def names(values, separator='+', perturbation_type='', control=('ctrl',)):
    return vocabulary_names(values, {'control', *control}, separator, perturbation_type, 'f')


@pytest.mark.parametrize(
    ('dose', 'wanted'),
    [
        ('10.0 um', '10uM'),
        ('10 µM', '10uM'),
        ('10 μM', '10uM'),
        ('10', '10'),
        ('0.040', '0.04'),
        ('1e-3mM', '1uM'),
        ('500 nM', '0.5uM'),
        ('40 nM', '0.04uM'),
        ('0.04 um', '0.04uM'),
        ('5 microM', '5uM'),
        ('1 µmol/L', '1uM'),
        ('2 M', '2000000uM'),
        ('3 mm', '3000uM'),
        ('.5 ng/ul', '0.5ug/ml'),
        ('100 ng/mL', '0.1ug/ml'),
        ('3 cfu', '3cfu'),
        ('high dose', 'highdose'),
        ('1.2.3', '1.2.3'),
        ('', ''),
    ],
)
def test_doses_have_one_form(dose, wanted):
    assert dose_text(dose) == wanted


def test_a_dose_for_each_part():
    found = names(
        [('y+x', '0.5+10.0uM'), ('x+ctrl', '10+1 uM'), ('ctrl', '1'), ('x', ''), ('x', '3 nM')],
        perturbation_type='Compound',
    )
    assert found == [
        'Compound_x-10uM+Compound_y-0.5uM', 'Compound_x-10uM', 'control', 'Compound_x', 'Compound_x-0.003uM'
    ]  # fmt: skip
    assert names([('a_b', '1_2'), ('a', '1'), ('b', '')], '_') == ['a-1+b-2', 'a-1', 'b']
    assert names([('a+b', '5 uM')], '') == ['a(+)b-5uM']
    for doses in ('1', '1+2+3'):
        with pytest.raises(InputError, match=r"f: data.fields.dose: 'a\+b' has 2 parts, but its doses are '1"):
            names([('a+b', doses)])


def test_a_part_with_dose_zero_is_control(caplog):
    """Drugs A, B and C at doses of which many are 0: the parts that are there make the order."""
    found = names([('a+b+c', '0+0+0'), ('a+b+c', '1+0.0+0'), ('a+b+c', '1+0+2 uM'), ('a+b+c', '1+2+3'), ('a', '0 nM')])
    assert found == ['control', 'a-1', 'a-1uM+c-2uM', 'a-1+b-2+c-3', 'control']
    assert "f: 5 perturbations have dose 0 and count as control: 'a-0', 'b-0', 'c-0'" in caplog.text
    assert names([('X-0.0uM+Y-3 uM', ''), ('X-0uM', ''), ('X-0', '')]) == ['Y-3uM', 'control', 'X-0']
    assert names([('a', '0'), ('a', '-1.5')]) == ['a-0', 'a--1.5']  # logarithms of doses


def test_doses_within_names_have_one_form():
    found = names([('x-0.04 um+y', ''), ('y+x-40 nM', ''), ('x_40nM', ''), ('x-24h', ''), ('miR-21', '')])
    assert found == ['x-0.04uM+y', 'x-0.04uM+y', 'x_0.04uM', 'x-24h', 'miR-21']


def test_doses_of_a_bare_one_say_nothing():
    assert says_nothing(['1.0+1.0', '1', ''], '+')
    assert not says_nothing(['1.0+1.0', '2'], '+')
    assert not says_nothing(['1 uM'], '+')


def test_doses_belong_to_compounds():
    table = pd.DataFrame({'p': ['A', 'B+A'], 'd': ['2', '1+2']})
    for kind, wanted in (('', ['A-2', 'A-2+B-1']), ('CRISPRi', ['CRISPRi_A', 'CRISPRi_A+CRISPRi_B'])):
        fields = Fields(context_name='k', perturbation='p', dose='d', perturbation_type=kind)
        assert list(label_rows(table, fields, 'f')[1]) == wanted


def all_ways(name, singles):
    """Every way to cut a name at some of its `_` so that all pieces are among the singles."""
    pieces, found = name.split('_'), set()
    for cuts in itertools.product([False, True], repeat=len(pieces) - 1):
        way = [pieces[0]]
        for piece, cut in zip(pieces[1:], cuts):
            way = [*way, piece] if cut else [*way[:-1], f'{way[-1]}_{piece}']
        if set(way) <= singles:
            found.add(tuple(way))
    return found


JOINED = st.lists(st.sampled_from('AB'), min_size=1, max_size=5).map('_'.join)


@given(st.lists(JOINED, min_size=1, max_size=6, unique=True))
@settings(max_examples=60)
def test_names_split_only_in_the_one_way_there_is(values):
    singles, wanted = {'control', 'ctrl'}, {}
    for name in sorted(values, key=lambda name: name.count('_')):
        ways = all_ways(name, singles)
        wanted[name] = '+'.join(sorted(next(iter(ways)))) if len(ways) == 1 else name
        singles |= {name} if len(ways) != 1 else set()
    assert names([(name, '') for name in values], '_') == [wanted[name] for name in values]


def test_long_names_take_no_time():
    started = time.perf_counter()
    long = '_'.join(['A_B'] * 30_000)
    found = names([(name, '') for name in ('A', 'B', 'A_B', long, long + '_C')], '_')
    assert [len(name) for name in found] == [1, 1, 3, len(long), len(long) + 2]
    assert time.perf_counter() - started < 10
