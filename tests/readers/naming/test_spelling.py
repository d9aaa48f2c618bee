import pytest
from hypothesis import given
from hypothesis import strategies as st

from perturbjax.readers.naming.spelling import alike, clean, loose


@pytest.mark.parametrize(
    ('name', 'wanted'),
    [
        (' B ', 'B'),
        ('B\u00a0', 'B'),
        ('B  cell\tline', 'B cell line'),
        ('B\ufeff\u200b', 'B'),
        ('e\u0301', '\u00e9'),
        ('10 \u03bcM', '10 \u00b5M'),
        ('10 \u00b5M', '10 \u00b5M'),
        ('(+)-JQ1', '(+)-JQ1'),
        ('', ''),
    ],
)
def test_names_have_one_spelling(name, wanted):
    assert clean(name) == wanted


@given(st.text())
def test_a_spelling_is_final(name):
    assert clean(clean(name)) == clean(name)


@pytest.mark.parametrize('names', [('MCF7', 'MCF-7', 'mcf_7', 'MCF 7'), ('Torin 2', 'torin2'), ('T-T', 'TT')])
def test_names_that_look_alike(names):
    assert len({*map(loose, names)}) == 1


@pytest.mark.parametrize(
    'names',
    [('KRTAP1-11', 'KRTAP11-1'), ('(+)-JQ1', '(-)-JQ1'), ('x-0.1uM', 'x-1uM'), ('x1-0.5uM', 'x-10.5uM'), ('A', 'A+')],
)
def test_names_that_do_not_look_alike(names):
    assert len({*map(loose, names)}) == len(names)


def test_groups_of_names_that_look_alike():
    assert alike(['b', 'K562', 'k562', 'a', 'K-562', 'B', 'b']) == [['B', 'b'], ['K-562', 'K562', 'k562']]
