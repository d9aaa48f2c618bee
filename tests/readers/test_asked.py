import pytest

from perturbjax.readers.asked import Forms, KnownNames, file_settings, forms_of
from perturbjax.screens.vocabulary import Vocabulary

SINGLES = ['CRISPRi_G0', 'CRISPRi_G1', 'CRISPRi_A', 'CRISPR-KO_A', 'Compound_x-10uM', 'Compound_(+)-y', 'MT_C']


def known(contexts, singles, *forms):
    return KnownNames(Vocabulary(tuple(contexts), ('control', *singles), ('e',)), Forms(*forms))


KNOWN = known(['K562'], SINGLES, ('control', 'ctrl', 'NT*'), ('+', '_'))


@pytest.mark.parametrize(
    ('name', 'typed', 'plain'),
    [
        ('ctrl', 'control', 'control'),
        ('ctrl+ctrl', 'control', 'control'),
        ('NT7', 'control', 'control'),
        ('G0+ctrl', 'CRISPRi_G0', 'G0'),
        (' G0 ', 'CRISPRi_G0', 'G0'),
        ('G1 + G0', 'CRISPRi_G0+CRISPRi_G1', 'G0+G1'),
        ('G0_NT3', 'CRISPRi_G0', 'G0'),
        ('MT_C_G0', 'CRISPRi_G0+MT_C', 'G0+MT_C'),
        ('CRISPRi_G0', 'CRISPRi_G0', 'CRISPRi_G0'),
        ('x-10000 nM', 'Compound_x-10uM', 'x-10uM'),
        ('(+)-y', 'Compound_(+)-y', '(+)-y'),
        ('A', 'A', 'A'),
        ('zz_G0', 'zz_G0', 'zz_G0'),
        ('zz', 'zz', 'zz'),
        (' ', '', ''),
    ],
)
def test_a_user_means(name, typed, plain):
    assert (KNOWN.find(name), KNOWN.plain(name)) == (typed, plain)


def test_a_name_without_its_type_may_be_unclear():
    assert KNOWN.unclear(['A+G0', 'CRISPRi_A']) == {'A': ['CRISPRi_A', 'CRISPR-KO_A']}


def test_the_forms_are_those_of_all_files():
    screens = {'one': {'preset': 'gears'}, 'two': {'fields': {'control': ('NT*',), 'separator': ('_', ';')}}}
    assert forms_of({'screens': screens}) == Forms(('control', 'ctrl', 'NT*'), ('+', '_', ';'))
    assert forms_of({'source': 'simulation'}) == Forms()
    assert forms_of({'fields': {'merge_alike': True}}).merge_alike
    assert file_settings({'preset': 'gears', 'path': 'x'})[0]['scale'] == 'log1p'


@pytest.mark.parametrize(
    ('name', 'typed', 'plain'),
    [
        ('torin2-10 um', 'Compound_Torin 2-10uM', 'Torin 2-10uM'),
        ('Compound_TORIN-2-10uM', 'Compound_Torin 2-10uM', 'Compound_Torin 2-10uM'),
        ('TORIN2-10uM+Ctrl', 'Compound_Torin 2-10uM', 'Torin 2-10uM'),
        ('CTRL', 'control', 'control'),
        ('a-1', 'A-1', 'A-1'),
        ('zz', 'zz', 'zz'),
    ],
)
def test_names_that_look_alike_are_found_where_they_are_merged(name, typed, plain):
    names = ['MCF-7'], ['Compound_Torin 2-10uM', 'A-1']
    merged, apart = (known(*names, ('control', 'ctrl'), ('+',), each) for each in (True, False))
    assert (merged.find(name), merged.plain(name), merged.context('mcf7')) == (typed, plain, 'MCF-7')
    assert apart.find(name) != typed or typed == name
    assert apart.context('mcf7') == 'mcf7'
