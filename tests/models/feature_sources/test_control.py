"""Contexts described by their own control profiles; nothing that is held out may change them."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.models.feature_sources.control import control_places
from perturbjax.models.features import feature_reader
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

CONTEXTS, READOUTS = list('abcde'), [f'r{i}' for i in range(7)]


@pytest.fixture(scope='module')
def levels():
    return np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)


def screen_of(levels, name='screen', readouts=READOUTS, contexts=CONTEXTS):
    rng = np.random.default_rng(1)
    rows = [(c, 'control', level) for c, level in zip(contexts, levels)]
    rows += [(c, p, rng.normal(size=len(readouts))) for c in contexts for p in 'gh']
    return measurements(rows, readouts, name)


def held_out(compendium):
    """All that was perturbed in the last context is tested."""
    return make_split(compendium, 'unseen_context', 0, context='e')


def test_places_are_those_of_a_pca_of_the_contexts_that_train(levels):
    compendium = assemble([screen_of(levels)], ['log1p'])
    found = control_places(compendium, held_out(compendium).mask(TRAIN))
    left = levels.astype(float) - levels[:4].mean(axis=0, dtype=float)
    axes = np.linalg.svd(left[:4])[2][:3]
    assert found.shape == (5, 3)
    assert_allclose(np.abs(found), np.abs(left @ axes.T), rtol=1e-6)


def test_nothing_that_is_held_out_changes_them(levels):
    compendium = assemble([screen_of(levels)], ['log1p'])
    split, (screen,) = held_out(compendium), compendium.screens
    tested, values = split.mask(TEST)[0], screen.values.copy()
    assert tested.sum() == 2
    values[tested] = np.random.default_rng(9).normal(size=(2, 7)) * 1e3
    changed = dataclasses.replace(compendium, screens=(dataclasses.replace(screen, values=values),))
    read = feature_reader({'context': 'control'})
    before, after = (read(each, split.mask(TRAIN)) for each in (compendium, changed))
    assert_array_equal(before['features']['context'], after['features']['context'])
    assert before['has_features']['context'].all()


def test_the_control_of_a_held_out_context_moves_it_alone(levels):
    other = levels.copy()
    other[4] += 1
    first, second = (assemble([screen_of(each)], ['log1p']) for each in (levels, other))
    before, after = (control_places(each, held_out(each).mask(TRAIN)) for each in (first, second))
    assert_array_equal(before[:4], after[:4])
    assert np.abs(before[4] - after[4]).max() > 0.1


def test_a_control_that_is_held_out_is_not_looked_at(levels):
    compendium = assemble([screen_of(levels)], ['log1p'])
    (mask,) = held_out(compendium).mask(TRAIN)
    found = control_places(compendium, (mask & ~(compendium.screens[0].is_control & (np.arange(15) == 4)),))
    assert_array_equal(np.isnan(found).all(axis=1), [False] * 4 + [True])


def test_screens_with_other_readouts_meet_in_those_they_share_and_a_stranger_has_no_place(levels):
    """What a context was not measured in is the mean of those that train; f shares no readout with any of them."""
    first = screen_of(levels[:4, :5], 'first', READOUTS[:5], CONTEXTS[:4])
    second = screen_of(levels[4:, 3:], 'second', READOUTS[3:], ['e'])
    third = screen_of(np.zeros((1, 1)), 'third', ['other'], ['f'])
    compendium = assemble([first, second, third], ['log1p'] * 3)
    training = tuple(screen.is_control | (screen.name == 'first') for screen in compendium.screens)
    found = control_places(compendium, training)
    mean = levels[:4, :5].mean(axis=0, dtype=float)
    left = np.zeros((5, 5))
    left[:4] = levels[:4, :5] - mean
    left[4, 3:] = levels[4, 3:5] - mean[3:]
    axes = np.linalg.svd(left[:4])[2][:3]
    assert_allclose(np.abs(found[:5]), np.abs(left @ axes.T), rtol=1e-5, atol=1e-6)
    assert np.isnan(found[5]).all()


@pytest.mark.parametrize(('same', 'number'), [(range(5), 4), (range(1), 1)], ids=['constant', 'one context'])
def test_controls_that_say_nothing_are_told(levels, same, number):
    """Those of viabilities are 1 by definition."""
    contexts = CONTEXTS if len(same) > 1 else ['a', 'e']
    compendium = assemble([screen_of(np.ones((len(contexts), 7)), contexts=contexts)], ['log1p'])
    with pytest.raises(InputError, match=f"'control' says nothing here: {number} contexts"):
        feature_reader({'context': ['control']})(compendium, held_out(compendium).mask(TRAIN))


def test_a_scale_without_control_rows_is_told():
    compendium = assemble([measurements([('a', 'g', [1.0]), ('b', 'g', [2.0])], ['r'])], ['z-score'])
    with pytest.raises(InputError, match='0 contexts that train have a control profile'):
        control_places(compendium, (np.ones(2, bool),))
