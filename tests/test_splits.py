import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from screens_for_tests import measurements, two_contexts

from perturbjax.errors import InputError
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, UNUSED, VALIDATION, make_split

SINGLES = [f'CRISPRi_g{i}' for i in range(20)]
DOUBLES = [f'{a}+{b}' for a, b in itertools.pairwise(SINGLES)]


@pytest.fixture(scope='module')
def compendium():
    rows = [(context, name, (0,)) for context in 'abc' for name in ['control', *SINGLES, *DOUBLES]]
    return assemble([measurements(rows, ['x'])], ['log1p'])


def names(compendium, split, role):
    table = compendium.table()
    return table[np.concatenate(split.roles) == role]


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_holds_out_the_same(compendium, seed):
    first, again, other = (make_split(compendium, 'unseen_single', each) for each in (seed, seed, seed + 1))
    np.testing.assert_array_equal(first.roles[0], again.roles[0])
    assert (first.roles[0] != other.roles[0]).any()


@given(seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_unseen_in_context(compendium, seed):
    split = make_split(compendium, 'unseen_in_context', seed, target='b')
    for role in (VALIDATION, TEST):
        held_out = names(compendium, split, role)
        assert set(held_out['context']) == {'b'}
        assert len(held_out) == round(0.15 * 39)
        assert 'control' not in set(held_out['perturbation'])
    assert sum(mask.sum() for role in range(3) for mask in split.mask(role)) == 3 * 40


def test_a_pattern_holds_a_perturbation_out_of_every_matching_context(compendium):
    held_out = names(compendium, make_split(compendium, 'unseen_in_context', 0, target='[ab]'), TEST)
    assert set(held_out['context']) == {'a', 'b'}
    assert set(held_out[held_out['context'] == 'a']['perturbation']) == set(
        held_out[held_out['context'] == 'b']['perturbation']
    )


def test_what_no_other_context_saw_is_not_held_out():
    split = make_split(two_contexts(), 'unseen_in_context', 0, target='a', test=1.0, validation=0.0)
    assert list(names(two_contexts(), split, TEST)['perturbation']) == ['g']


def test_unseen_double_trains_on_every_single(compendium):
    split = make_split(compendium, 'unseen_double', 5)
    tested = names(compendium, split, TEST)
    assert (tested['order'] == 2).all()
    assert tested['perturbation'].nunique() == round(len(DOUBLES) / 2)
    assert names(compendium, split, VALIDATION).empty


def test_unseen_single_holds_out_its_combinations_too(compendium):
    split = make_split(compendium, 'unseen_single', 1, test=0.2, validation=0.1)
    tested = set(names(compendium, split, TEST)['perturbation'])
    unseen = {name for name in tested if '+' not in name}
    assert len(unseen) == 4
    for name in set(names(compendium, split, TRAIN)['perturbation']):
        assert not unseen & set(name.split('+'))


def test_custom_reads_the_lists_of_gears(compendium, tmp_path):
    path = tmp_path / 'split.json'
    lists = {'train': ['ctrl', 'g1+ctrl', 'ctrl+g2'], 'val': ['g3+ctrl'], 'test': ['g6+g5', 'g4+ctrl']}
    path.write_text(json.dumps(lists))
    split = make_split(compendium, 'custom', 0, path=str(path))
    found = {role: set(names(compendium, split, role)['perturbation']) for role in range(4)}
    assert found[TRAIN] == {'control', 'CRISPRi_g1', 'CRISPRi_g2'}
    assert found[VALIDATION] == {'CRISPRi_g3'}
    assert found[TEST] == {'CRISPRi_g5+CRISPRi_g6', 'CRISPRi_g4'}
    assert 'CRISPRi_g7' in found[UNUSED]
    assert [len(split.describe(compendium)[word]) for word in ('validation', 'test')] == [3, 6]


def test_lists_that_overlap_or_that_nothing_reads_are_told(compendium, tmp_path):
    path = tmp_path / 'split.json'
    path.write_text(json.dumps({'train': ['g1+ctrl'], 'test': ['ctrl+g1']}))
    with pytest.raises(InputError, match="in two lists: 'g1'"):
        make_split(compendium, 'custom', 0, path=str(path))
    path.write_text(json.dumps({'train': ['g1'], 'test': ['g2'], 'validation': ['g3']}))
    with pytest.raises(InputError, match="the list 'validation' is not read"):
        make_split(compendium, 'custom', 0, path=str(path))


def test_conditions_that_the_screens_lack_are_told(compendium, tmp_path, caplog):
    path = tmp_path / 'split.json'
    path.write_text(json.dumps({'train': ['g1', 'ctrl'], 'test': ['g2', 'nobody']}))
    make_split(compendium, 'custom', 0, path=str(path))
    assert "1 conditions are not in the screens: 'nobody'" in caplog.text


@pytest.mark.parametrize('text', ['', '[]', '{"train": []}', '{"train": 3, "test": []}'])
def test_a_bad_split_file_is_told(compendium, tmp_path, text):
    path = tmp_path / 'split.json'
    path.write_text(text)
    with pytest.raises(InputError, match=r'split.json: not a split: it needs the lists train and test'):
        make_split(compendium, 'custom', 0, path=str(path))


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('unseen_singel', {}, "did you mean 'unseen_single'"),
        ('unseen_single', {'tst': 0.2}, "did you mean 'test'"),
        ('unseen_in_context', {}, "'target' is needed"),
        ('unseen_in_context', {'target': 'z'}, r"no context matches 'z'; there are 'a', 'b', 'c'"),
        ('unseen_single', {'test': 0.9, 'validation': 0.2}, 'no shares'),
        ('unseen_single', {'test': 0.0}, 'leaves no perturbation to test'),
        ('unseen_single', {'test': 1.0}, 'leaves no perturbation to train on'),
    ],
)
def test_a_split_that_cannot_be_is_told(compendium, name, settings, message):
    with pytest.raises(InputError, match=message):
        make_split(compendium, name, 0, **settings)


def test_no_combinations_to_hold_out():
    rows = [('a', 'control', (0,)), ('a', 'g', (0,))]
    with pytest.raises(InputError, match='there are no combinations to hold out'):
        make_split(assemble([measurements(rows, ['x'])], ['log1p']), 'unseen_double', 0)
