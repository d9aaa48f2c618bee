"""What stands for the held-out profiles, and its folds, against loops over the table of profiles."""

import itertools

import jax
import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.models import held_out_like as module
from perturbjax.screens.roles import TRAIN
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import make_split
from perturbjax.screens.vocabulary import parts

NUM_FOLDS = 3
NAMES = ['A', 'B', 'C', 'D', 'E', 'F', 'A+B', 'B+C', 'C+D', 'D+E', 'E+F', 'A+F']
held_out_like = jax.jit(module.held_out_like)
make_folds = jax.jit(module.make_folds, static_argnums=1)

# Of each split: its settings; what profiles that leave together share; whether combinations leave with their parts.
SPLITS = {
    'unseen_double': ({}, ['perturbation'], False),
    'unseen_single': ({}, ['perturbation'], True),
    'unseen_in_context': ({'context': ['b', 'c'], 'test': 0.3}, ['perturbation'], False),
    'unseen_pairs': ({'test': 0.3}, ['context', 'perturbation'], False),
}


@pytest.fixture(scope='module')
def compendium():
    """Two screens that share the context b; the second one lacks two perturbations."""

    def screen(name, contexts, perturbations):
        pairs = itertools.product(contexts, ['control', *perturbations])
        return measurements([(*pair, [0.0]) for pair in pairs], ['x'], name)

    return assemble([screen('first', 'ab', NAMES), screen('second', 'bc', NAMES[1:-1])], ['log1p'] * 2)


@pytest.fixture(scope='module', params=SPLITS)
def case(request, compendium):
    """A split, the table of profiles with who trains, what stands for the held-out ones, and the folds."""
    settings, share, with_parts = SPLITS[request.param]
    split = make_split(compendium, request.param, 1, **settings)
    table = compendium.table().assign(trains=np.concatenate(split.mask(TRAIN)))
    like = held_out_like(compendium, split.mask(TRAIN))
    table['together'] = table[share].agg('/'.join, axis=1)
    return table, with_parts, like, make_folds(like, NUM_FOLDS)


def test_which_profiles_are_like_the_held_out_ones(case):
    table, _, like, _ = case
    held_out = table[~table['trains']]
    for i, row in table.iterrows():
        leaves = row['trains'] and row['order'] > 0 and row['context'] in set(held_out['context'])
        assert like.leaves[i] == leaves
        assert like.is_like[i] == (leaves and (row['order'] > 1) in set(held_out['order'] > 1))
    assert 5 < like.is_like.sum() < len(table)


def test_what_leaves_together(case):
    table, with_parts, like, _ = case
    same_group = np.equal.outer(np.asarray(like.group), np.asarray(like.group))
    together = np.equal.outer(table['together'].to_numpy(), table['together'].to_numpy())
    np.testing.assert_array_equal(same_group, together)
    assert (np.asarray(like.parts) >= 0).any() == with_parts


def test_every_like_profile_is_in_one_fold_that_leaves_it_out(case):
    _, _, like, folds = case
    number, leaves = np.asarray(folds.number), np.asarray(folds.leaves)
    np.testing.assert_array_equal(number >= 0, like.is_like)
    predicted = np.flatnonzero(number >= 0)
    assert leaves[number[predicted], predicted].all()
    assert set(number[predicted]) == set(range(NUM_FOLDS))
    assert not leaves[:, ~np.asarray(like.leaves)].any()


def test_no_fold_trains_on_what_it_predicts(case):
    """What shares a name with a predicted profile, in the held-out contexts, has left; so have combinations with it."""
    table, with_parts, like, folds = case
    for fold in range(NUM_FOLDS):
        predicted = table[np.asarray(folds.number) == fold]
        trains = table[np.asarray(like.leaves & ~folds.leaves[fold])]
        assert not set(predicted['together']) & set(trains['together'])
        unseen = {name for name in predicted['perturbation'] if name in 'ABCDEF'}
        seen = {part for name in trains['perturbation'] for part in parts(name)}
        if with_parts:
            assert unseen
            assert not unseen & seen


def test_nothing_else_leaves_and_folds_are_of_one_size(case):
    """A fold leaves out the groups, or the parts, that it predicts and no others."""
    table, with_parts, like, folds = case
    dealt = []
    for fold in range(NUM_FOLDS):
        left = table[np.asarray(folds.leaves[fold])]
        predicted = table[np.asarray(folds.leaves[fold] & like.is_like)]
        if with_parts:
            dealt.append({name for name in left['perturbation'] if name in 'ABCDEF'})
            assert all(dealt[fold] & set(parts(name)) for name in left['perturbation'])
        else:
            dealt.append(set(predicted['together']))
            assert set(left['together']) == dealt[fold]
    sizes = [len(each) for each in dealt]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(set().union(*dealt))


def test_more_folds_than_groups_leave_some_empty(compendium):
    masks = make_split(compendium, 'unseen_double', 1, test=0.8).mask(TRAIN)
    folds = make_folds(held_out_like(compendium, masks), 5)
    assert sorted(np.asarray(folds.leaves.any(axis=1))) == [False] * 4 + [True]


def test_without_held_out_profiles_nothing_is_like_them(compendium):
    like = held_out_like(compendium, tuple(np.ones(len(screen.context), bool) for screen in compendium.screens))
    assert not like.is_like.any()
    assert (make_folds(like, NUM_FOLDS).number == -1).all()


def test_values_and_rows_by_screen(compendium):
    first, second = (
        measurements([('a', 'control', values)], readouts, name)
        for name, readouts, values in (('first', list('xy'), (1, 2)), ('second', list('zy'), (3, np.nan)))
    )
    some = assemble([first, second], ['log1p'] * 2)
    ids = some.vocabulary.readout_ids(['z', 'x', 'y'])
    np.testing.assert_array_equal(module.flat_values(some, ids), [[np.nan, 1, 2], [3, np.nan, np.nan]])
    sizes = [len(screen.context) for screen in compendium.screens]
    cut = module.by_screen(compendium, np.arange(2 * sum(sizes)).reshape(2, -1))
    assert [each.shape for each in cut] == [(2, size) for size in sizes]
    assert cut[1][1, 0] == sum(sizes) + sizes[0]


@pytest.fixture(scope='module')
def lines():
    """Seven contexts, one of them with two perturbations of its own."""
    pairs = list(itertools.product('abcdef', ['control', *NAMES]))
    pairs += [('z', name) for name in ('control', 'Y', 'Z')]
    return assemble([measurements([(*pair, [0.0]) for pair in pairs], ['x'])], ['log1p'])


def stand_ins(compendium, name, **settings):
    """The table of profiles with who trains, what stands for the held-out ones, and the folds."""
    split = make_split(compendium, name, 1, **settings)
    like = held_out_like(compendium, split.mask(TRAIN))
    table = compendium.table().assign(trains=np.concatenate(split.mask(TRAIN)))
    return table[table['order'] > 0], like, make_folds(like, NUM_FOLDS)


def test_whole_contexts_stand_for_a_whole_context(lines):
    table, like, folds = stand_ins(lines, 'unseen_context', context='b')
    number, leaves = np.asarray(folds.number)[table.index], np.asarray(folds.leaves)[:, table.index]
    assert like.by_context
    np.testing.assert_array_equal(number >= 0, table['trains'])
    np.testing.assert_array_equal(leaves, number[None] == np.arange(NUM_FOLDS)[:, None])
    dealt = [set(table[out]['context']) for out in leaves]
    assert [len(each) for each in dealt] == [2, 2, 2]


@pytest.mark.parametrize('of', ['singles', 'pairs of genes'])
def test_unseen_names_in_a_new_context_have_neither_in_their_fold(lines, of):
    """A fold leaves out contexts and perturbations, those in combinations too, and predicts what has both."""
    if of == 'singles':
        table, like, folds = stand_ins(lines, 'unseen_both', context='b', test=0.3)
    else:
        held_out = ['A+B', 'E+F', ['b', '*']]
        table, like, folds = stand_ins(lines, 'custom', lists={'train': ['*'], 'test': held_out})
    assert like.by_context
    number, leaves = np.asarray(folds.number)[table.index], np.asarray(folds.leaves)[:, table.index]
    assert set(number) == {-1, 0, 1, 2}
    for fold in range(NUM_FOLDS):
        predicted, trains = table[number == fold], table[table['trains'] & ~leaves[fold]]
        assert not set(predicted['context']) & set(trains['context'])
        if of == 'singles':
            unseen = {name for name in predicted['perturbation'] if name in 'ABCDEF'}
            assert unseen
            assert not unseen & {part for name in trains['perturbation'] for part in parts(name)}
        else:
            assert not set(predicted['perturbation']) & set(trains['perturbation'])
        assert len(trains) >= 8
    assert not leaves[:, ~table['trains']].any()


def test_a_context_that_lost_its_profiles_by_chance_is_no_whole_one(lines):
    """All perturbations of z are unseen, and train nowhere: what the split holds out are perturbations."""
    _, like, _ = stand_ins(lines, 'custom', lists={'train': ['*'], 'test': ['Y', 'Z', 'A']})
    assert not like.by_context
    _, like, _ = stand_ins(lines, 'unseen_pairs', test=0.2)
    assert not like.by_context


def test_one_context_to_learn_from_stands_for_none():
    pairs = itertools.product('ab', ['control', *NAMES])
    two = assemble([measurements([(*pair, [0.0]) for pair in pairs], ['x'])], ['log1p'])
    _, like, folds = stand_ins(two, 'unseen_context', context='b')
    assert not like.by_context
    assert (folds.number == -1).all()


def test_parts_have_numbers_of_profiles_where_the_vocabulary_is_larger():
    """Names that nobody measured must not push those of training profiles out of the folds."""
    rows = measurements([('a', name, [0.0]) for name in ['control', *'UVWXYZ']], ['x'])
    few = assemble([rows], ['log1p'], [f'A{i}' for i in range(50)])
    table, like, folds = stand_ins(few, 'unseen_single', test=0.2)
    np.testing.assert_array_equal(np.asarray(folds.number)[table.index] >= 0, table['trains'])
    assert (np.asarray(like.parts) < 7).all()
