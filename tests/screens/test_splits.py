import itertools

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
    split = make_split(compendium, 'unseen_in_context', seed, context='b')
    for role in (VALIDATION, TEST):
        held_out = names(compendium, split, role)
        assert set(held_out['context']) == {'b'}
        assert len(held_out) == round(0.15 * 39)
        assert 'control' not in set(held_out['perturbation'])
    assert sum(mask.sum() for role in range(3) for mask in split.mask(role)) == 3 * 40


def test_a_pattern_holds_a_perturbation_out_of_every_matching_context(compendium):
    held_out = names(compendium, make_split(compendium, 'unseen_in_context', 0, context='[ab]'), TEST)
    assert set(held_out['context']) == {'a', 'b'}
    assert set(held_out[held_out['context'] == 'a']['perturbation']) == set(
        held_out[held_out['context'] == 'b']['perturbation']
    )


def test_what_no_other_context_saw_is_not_held_out():
    split = make_split(two_contexts(), 'unseen_in_context', 0, context='a', test=1.0, validation=0.0)
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


def test_unseen_both_trains_on_neither_the_perturbation_nor_the_context(compendium):
    split = make_split(compendium, 'unseen_both', 1, context='b', test=0.2, validation=0.1)
    tested, validated, trained = (names(compendium, split, role) for role in (TEST, VALIDATION, TRAIN))
    assert set(tested['context']) | set(validated['context']) == {'b'}
    assert len(tested) == 4
    assert len(validated) == 2
    held_out = {*tested['perturbation'], *validated['perturbation']}
    assert set(trained[trained['context'] == 'b']['perturbation']) == {'control'}
    for name in set(trained['perturbation']):
        assert not held_out & set(name.split('+'))
    unused = names(compendium, split, UNUSED)
    assert set(unused[unused['context'] != 'b']['perturbation']) >= held_out
    assert len(tested) + len(validated) + len(trained) + len(unused) == 3 * 40


GENES = 'abcdefgh'


def screen_of(perturbations, contexts=('x',)):
    rows = [(context, name, (0,)) for context in contexts for name in ['control', *perturbations]]
    return assemble([measurements(rows, ['y'])], ['log1p'])


def genes_in(perturbations):
    return {part for name in perturbations for part in name.split('+')}


@given(
    genes=st.sampled_from((0.3, 0.5, 0.75)),
    combinations=st.sampled_from((0.0, 0.4, 0.75)),
    validation=st.sampled_from((0.0, 0.1, 0.3)),
    seed=st.integers(0, 100),
)
@settings(max_examples=40, deadline=None)
def test_gears_simulation_gives_every_perturbation_the_role_of_its_rule(genes, combinations, validation, seed):
    """All singles, pairs and triples of 8 genes: the seen genes can be told from the singles left."""
    everything = ['+'.join(group) for order in (1, 2, 3) for group in itertools.combinations(GENES, order)]
    compendium = screen_of(everything, 'xy')
    shares = {'genes': genes, 'combinations': combinations, 'validation': validation}
    split = make_split(compendium, 'gears_simulation', seed, **shares)
    found = {role: set(names(compendium, split, role)['perturbation']) - {'control'} for role in range(4)}
    assert sum(map(len, found.values())) == len(everything)  # each has the same role in both contexts
    left, share_of_genes, share_of_combinations = set(everything), genes, combinations
    for role in (TEST, VALIDATION):
        alone = {name for name in found[role] if len(name) == 1}
        seen = {name for name in left if len(name) == 1} - alone
        assert len(seen) == int((len(seen) + len(alone)) * share_of_genes)
        combined = {name for name in left if len(name) > 1}
        of_seen = {name for name in combined if genes_in([name]) <= seen}
        assert combined - of_seen <= found[role]
        assert len(of_seen - found[role]) == int(len(of_seen) * share_of_combinations)
        left = left - found[role]
        share_of_genes = share_of_combinations = 1 - validation
        assert genes_in(left) <= seen
    assert left == found[TRAIN]


def test_gears_simulation_on_four_genes_by_hand():
    """3 of 4 genes are seen; of their 3 pairs int(2.25) train; all 3 pairs with the fourth gene are tested."""
    compendium = screen_of([*'abcd', *map('+'.join, itertools.combinations('abcd', 2))])
    split = make_split(compendium, 'gears_simulation', 1, validation=0.0)
    tested = set(names(compendium, split, TEST)['perturbation'])
    (unseen,) = {name for name in tested if len(name) == 1}
    with_it = {name for name in tested if unseen in name}
    assert len(with_it) == 4
    assert len(tested - with_it) == 1
    assert names(compendium, split, VALIDATION).empty


@given(seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_genes_that_are_never_alone_are_seen_or_not_as_others(seed):
    compendium = screen_of(['a+b', 'c+d', 'e+f', 'g+h'])
    split = make_split(compendium, 'gears_simulation', seed, combinations=1.0, validation=0.0)
    assert len(names(compendium, split, TEST)) in (1, 2)  # the two unseen genes are in one pair or in two


def test_an_unseen_gene_is_so_under_every_type():
    compendium = screen_of([f'{kind}_{gene}' for kind in ('CRISPRi', 'CRISPRa') for gene in GENES])
    split = make_split(compendium, 'gears_simulation', 3)
    tested, trained = (
        {name.partition('_')[2] for name in names(compendium, split, role)['perturbation'] if name != 'control'}
        for role in (TEST, TRAIN)
    )
    assert len(tested) == 2
    assert not tested & trained


def test_gears_simulation_in_one_context_leaves_the_others_whole():
    compendium = screen_of(GENES, 'xyz')
    split = make_split(compendium, 'gears_simulation', 0, context='y', validation=0.2)
    for role, number in ((TEST, 2), (VALIDATION, 2), (UNUSED, 0)):
        held_out = names(compendium, split, role)
        assert set(held_out['context']) <= {'y'}
        assert len(held_out) == number


def test_custom_takes_the_lists_of_gears(compendium):
    lists = {'train': ['ctrl', 'g1+ctrl', 'ctrl+g2'], 'val': ['g3+ctrl'], 'test': ['g6+g5', 'g4+ctrl']}
    split = make_split(compendium, 'custom', 0, lists=lists)
    found = {role: set(names(compendium, split, role)['perturbation']) for role in range(4)}
    assert found[TRAIN] == {'control', 'CRISPRi_g1', 'CRISPRi_g2'}
    assert found[VALIDATION] == {'CRISPRi_g3'}
    assert found[TEST] == {'CRISPRi_g5+CRISPRi_g6', 'CRISPRi_g4'}
    assert 'CRISPRi_g7' in found[UNUSED]
    assert [len(split.describe(compendium)[word]) for word in ('validation', 'test')] == [3, 6]
    again = make_split(compendium, 'custom', 1, lists=lists)
    np.testing.assert_array_equal(again.roles[0], split.roles[0])


@pytest.mark.parametrize(
    ('lists', 'message'),
    [
        ({'train': ['g1+ctrl'], 'test': ['ctrl+g1']}, "in two lists: 'g1'"),
        ({'train': ['g1'], 'test': ['g2'], 'validation': ['g3']}, "the list 'validation' is not read"),
        ({'train': ['g1']}, "it needs the lists train and test; there are 'train'"),
        ({}, 'it needs the lists train and test; there are none'),
    ],
)
def test_lists_that_cannot_be_used_are_told(compendium, lists, message):
    with pytest.raises(InputError, match=f'^s.json: .*{message}'):
        make_split(compendium, 'custom', 0, lists=lists, source='s.json')


def test_conditions_that_the_screens_lack_are_told(compendium, caplog):
    make_split(compendium, 'custom', 0, lists={'train': ['g1', 'ctrl'], 'test': ['g2', 'nobody']})
    assert "split.lists: 1 conditions are not in the screens: 'nobody'" in caplog.text


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('unseen_singel', {}, "did you mean 'unseen_single'"),
        ('unseen_single', {'tst': 0.2}, "did you mean 'test'"),
        ('unseen_in_context', {}, "'context' is needed"),
        ('unseen_in_context', {'context': 'z'}, r"no context matches 'z'; there are 'a', 'b', 'c'"),
        ('unseen_single', {'test': 0.9, 'validation': 0.2}, 'not shares'),
        ('unseen_single', {'test': 0.0}, 'leaves no perturbation to test'),
        ('unseen_single', {'test': 1.0}, 'leaves no perturbation to train on'),
        ('gears_simulation', {'genes': 1.5}, 'split.genes: 1.5 is not a share'),
        ('gears_simulation', {'validation': -0.1}, 'split.validation: -0.1 is not a share'),
        ('gears_simulation', {'context': 'z'}, "no context matches 'z'"),
        ('gears_simulation', {'genes': 1.0, 'combinations': 1.0}, 'leaves no perturbation to test'),
        ('gears_simulation', {'genes': 0.0}, 'leaves no perturbation to train on'),
    ],
)
def test_a_split_that_cannot_be_is_told(compendium, name, settings, message):
    with pytest.raises(InputError, match=message):
        make_split(compendium, name, 0, **settings)


def test_no_combinations_to_hold_out():
    rows = [('a', 'control', (0,)), ('a', 'g', (0,))]
    with pytest.raises(InputError, match='there are no combinations to hold out'):
        make_split(assemble([measurements(rows, ['x'])], ['log1p']), 'unseen_double', 0)
