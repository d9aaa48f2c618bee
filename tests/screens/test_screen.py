import jax
import numpy as np
import pytest
from screens_for_tests import measurements, two_contexts

from perturbjax.errors import InputError
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import assemble


def test_screens_share_one_vocabulary_and_keep_their_panels():
    first = measurements([('a', 'control', (0, 1)), ('a', 'g', (2, 3))], ['x', 'y'], 'first')
    second = measurements([('b', 'control', (5,)), ('b', 'h+g', (6,))], ['z'], 'second')
    compendium = assemble([first, second], ['log1p', 'fitness'])
    assert compendium.vocabulary.perturbations == ('control', 'g', 'h')
    assert [screen.values.shape for screen in compendium.screens] == [(2, 2), (2, 1)]
    np.testing.assert_array_equal(compendium.screens[1].perturbation, [[0, -1], [1, 2]])
    np.testing.assert_array_equal(compendium.screens[1].readout, [2])
    np.testing.assert_array_equal(compendium.screens[1].order, [0, 2])
    assert list(compendium.table()['perturbation']) == ['control', 'g', 'control', 'g+h']


def test_a_compendium_is_a_pytree_that_jit_takes():
    compendium = two_contexts()
    total = jax.jit(lambda c: c.screens[0].values[0].sum())(compendium)
    assert total == 3
    assert jax.tree.structure(compendium) == jax.tree.structure(two_contexts())


def test_control_is_needed_unless_the_scale_defines_it():
    rows = measurements([('a', 'g', (1,))], ['x'])
    with pytest.raises(InputError, match=r"no control in the context 'a'.*perturbations there are 'g'"):
        assemble([rows], ['log1p'])
    assert assemble([rows], ['log-fold-change']).screens[0].present_contexts == (0,)


def test_profiles_stand_once():
    rows = measurements([('a', 'g', (1,)), ('a', 'g', (2,))], ['x'])
    with pytest.raises(InputError, match='1 profiles are given twice, such as g in a'):
        assemble([rows], ['fitness'])


def test_a_readout_is_on_one_scale():
    screens = [measurements([('a', 'g', (1,))], ['x'], name) for name in ('first', 'second')]
    with pytest.raises(InputError, match="'x', are on the scale z-score here and on fitness in another screen"):
        assemble(screens, ['fitness', 'z-score'])


def test_readouts_stand_once():
    with pytest.raises(InputError, match="readouts are named twice: 'x'"):
        measurements([('a', 'g', (1, 2))], ['x', 'x'])


def test_names_fit_the_values():
    with pytest.raises(InputError, match='do not fit'):
        Measurements('s', np.zeros((2, 1)), np.array(['a']), np.array(['g']), np.array(['x']))


def test_an_unknown_scale_is_told():
    with pytest.raises(InputError, match="did you mean 'log1p'"):
        assemble([measurements([('a', 'g', (1,))], ['x'])], ['log1'])
