import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import (
    Vocabulary,
    combine,
    parts,
    perturbation_type,
    read_vocabulary,
    target_gene,
    token,
)

NAMES = Vocabulary(('a', 'b'), ('control', 'CRISPRi_G', 'CRISPRi_H', 'Compound_(+)-JQ1'), ('x', 'y', 'z'))


def test_parts_are_sorted_and_leave_control_out():
    assert parts('B+A') == ('A', 'B')
    assert parts('control+A') == ('A',)
    assert parts('control') == ()


def test_a_plus_within_parentheses_belongs_to_the_name():
    assert parts('Compound_(+)-JQ1+CRISPRi_G') == ('CRISPRi_G', 'Compound_(+)-JQ1')
    assert parts(token('K+-blocker', 'Compound')) == ('Compound_K(+)-blocker',)


@given(st.lists(st.text('ABC_-()123', min_size=1), max_size=4).map(lambda names: [token(n) for n in names]))
@settings(max_examples=50, deadline=None)
def test_combine_and_parts_are_inverse(names):
    names = [name for name in names if name.count('(') == name.count(')') == 0]
    assert parts(combine(names)) == tuple(sorted(names))


def test_types_are_told_from_underscores_in_names():
    assert (target_gene('CRISPR-KO_STAT1'), perturbation_type('CRISPR-KO_STAT1')) == ('STAT1', 'CRISPR-KO')
    assert (target_gene('MT_CO1'), perturbation_type('MT_CO1')) == ('MT_CO1', '')


def test_ids_are_padded_and_come_back_as_names():
    ids = NAMES.perturbation_ids(['CRISPRi_H+CRISPRi_G', 'control', 'CRISPRi_H'], order=3)
    np.testing.assert_array_equal(ids, [[1, 2, -1], [0, -1, -1], [2, -1, -1]])
    assert NAMES.perturbation_names(ids) == ['CRISPRi_G+CRISPRi_H', 'control', 'CRISPRi_H']


def test_no_names_give_no_ids():
    assert NAMES.perturbation_ids([]).shape == (0, 1)


def test_an_unknown_name_is_told_with_the_closest_one():
    with pytest.raises(InputError, match=r"'CRISPRi_HH'.*did you mean 'CRISPRi_H'"):
        NAMES.perturbation_ids(['CRISPRi_HH'])
    np.testing.assert_array_equal(NAMES.knows_perturbation(['CRISPRi_G+nothing', 'control']), [False, True])


def test_json_round_trip(tmp_path):
    path = tmp_path / 'vocabulary.json'
    path.write_text(NAMES.to_json())
    assert read_vocabulary(path) == NAMES
    path.write_text('{"contexts": []}')
    with pytest.raises(InputError, match='not a saved vocabulary'):
        read_vocabulary(path)


@pytest.mark.parametrize('perturbations', [('G', 'control'), (), ('control', 'G', 'G')])
def test_control_comes_first_and_names_stand_once(perturbations):
    with pytest.raises(InputError):
        Vocabulary(('a',), perturbations, ('x',))
