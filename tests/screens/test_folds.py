"""Splits in folds, by a rule and by published lists, and a context of which little was seen."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, UNUSED, VALIDATION, make_split

GENES = 'abcdefg'
PAIRS = ['a+b', 'b+c', 'e+f']


@pytest.fixture(scope='module')
def compendium():
    rows = [(context, name, (0,)) for context in 'xyz' for name in ['control', *GENES, *PAIRS]]
    return assemble([measurements(rows, ['r'])], ['log1p'])


def rows(compendium, split, role):
    """The (context, perturbation) of the profiles with that role, without control."""
    table = compendium.table()[np.concatenate(split.roles) == role]
    return {pair for pair in zip(table['context'], table['perturbation']) if pair[1] != 'control'}


def dealt(of):
    """What k_fold deals to folds, as sets of the profiles that go together."""
    if of == 'contexts':
        return [{(context, name) for name in [*GENES, *PAIRS]} for context in 'xyz']
    if of == 'pairs':
        return [{(context, name)} for context in 'xyz' for name in [*GENES, *PAIRS]]
    return [{(context, name) for context in 'xyz'} for name in (GENES if of == 'singles' else PAIRS)]


@given(
    of=st.sampled_from(('singles', 'combinations', 'pairs', 'contexts')),
    folds=st.integers(2, 3),
    shuffle=st.integers(0),
)
@settings(max_examples=30)
def test_k_folds_test_everything_once(compendium, of, folds, shuffle):
    of_fold = [
        rows(compendium, make_split(compendium, 'k_fold', seed, of=of, folds=folds, shuffle=shuffle), TEST)
        for seed in range(folds)
    ]
    if of == 'singles':  # combinations follow their parts, and may be tested twice
        of_fold = [{pair for pair in fold if '+' not in pair[1]} for fold in of_fold]
    things = dealt(of)
    assert not any(first & second for first, second in itertools.combinations(of_fold, 2))
    assert set().union(*of_fold) == set().union(*things)
    sizes = [sum(thing <= fold for thing in things) for fold in of_fold]
    assert sum(sizes) == len(things)  # nothing that goes together is torn apart
    assert max(sizes) - min(sizes) <= 1


def test_the_fold_after_the_tested_one_validates(compendium):
    first, last = (make_split(compendium, 'k_fold', seed, folds=3, validation=True) for seed in (0, 2))
    singles = [
        {pair for pair in rows(compendium, *each) if '+' not in pair[1]} for each in ((last, VALIDATION), (first, TEST))
    ]
    assert singles[0] == singles[1] != set()


def test_combinations_with_an_unseen_single_are_tested_with_it(compendium):
    split = make_split(compendium, 'k_fold', 1, folds=3)
    tested = {name for _, name in rows(compendium, split, TEST)}
    unseen = tested & set(GENES)
    assert {pair for pair in PAIRS if unseen & set(pair.split('+'))} == tested - unseen


@pytest.mark.parametrize(
    ('seed', 'given', 'message'),
    [
        (5, {}, "split.seeds: 5 is the number of no fold; there are 5, '0', '1', '2', '3', '4', from 0"),
        (0, {'of': 'single'}, "split.of: no such 'single'; did you mean 'singles'"),
        (0, {'folds': 1}, '1 folds; at least 2 are needed'),
        (0, {'folds': 2, 'validation': True}, '2 folds; at least 3 are needed'),
        (0, {'folds': 4, 'of': 'combinations'}, '4 folds cannot be made of 3 combinations'),
    ],
)
def test_folds_that_cannot_be_are_told(compendium, seed, given, message):
    with pytest.raises(InputError, match=message):
        make_split(compendium, 'k_fold', seed, **given)


@pytest.mark.parametrize(('seen', 'validation', 'trained'), [(0.0, 0.0, 0), (0.3, 0.0, 3), (0.3, 0.2, 3)])
def test_a_context_of_which_a_share_was_seen(compendium, seen, validation, trained):
    split = make_split(compendium, 'unseen_context', 4, context='y', seen=seen, validation=validation)
    assert {context for context, _ in rows(compendium, split, TEST)} == {'y'}
    assert len(rows(compendium, split, VALIDATION)) == round(10 * validation)
    left = rows(compendium, split, TRAIN)
    assert len([pair for pair in left if pair[0] == 'y']) == trained
    assert len(left) == 20 + trained


@pytest.mark.parametrize('shares', [{'seen': 1.0}, {'seen': 0.5, 'validation': 0.5}, {'seen': -0.1}])
def test_shares_that_leave_nothing_to_test_are_told(compendium, shares):
    with pytest.raises(InputError, match='leave no share of the perturbations to test'):
        make_split(compendium, 'unseen_context', 0, context='y', **shares)


FOLDS = {'0': ['a', 'b'], '2': [['x', 'c'], ['y', 'c']], '10': ['d', 'a+b']}


@pytest.mark.parametrize(
    ('seed', 'tested'),
    [
        (0, {(context, name) for context in 'xyz' for name in 'ab'}),
        (1, {('x', 'c'), ('y', 'c')}),
        (2, {(context, name) for context in 'xyz' for name in ('d', 'a+b')}),  # 10 comes after 2
    ],
)
def test_published_folds_by_their_place(compendium, seed, tested):
    split = make_split(compendium, 'folds', seed, lists=FOLDS, validation=True)
    assert rows(compendium, split, TEST) == tested
    following = make_split(compendium, 'folds', (seed + 1) % 3, lists=FOLDS)
    assert rows(compendium, split, VALIDATION) == rows(compendium, following, TEST)
    assert rows(compendium, split, UNUSED) == set()


def test_a_condition_in_two_folds_is_told(compendium):
    with pytest.raises(InputError, match="^f.csv: in two lists: 'a'"):
        make_split(compendium, 'folds', 0, lists={'0': ['a'], '1': ['a', 'b']}, source='f.csv')


def test_a_star_is_every_perturbation_that_nothing_else_names(compendium):
    lists = {'train': ['*', ['y', 'a']], 'test': [['y', '*'], 'b'], 'val': [['y', 'b']]}
    split = make_split(compendium, 'custom', 0, lists=lists)
    everything = {(context, name) for context in 'xyz' for name in [*GENES, *PAIRS]}
    tested = {('x', 'b'), ('z', 'b'), *(pair for pair in everything if pair[0] == 'y' and pair[1] not in 'ab')}
    assert rows(compendium, split, TEST) == tested
    assert rows(compendium, split, VALIDATION) == {('y', 'b')}
    assert rows(compendium, split, TRAIN) == everything - tested - {('y', 'b')}
