"""Holding out entries of a table of perturbations x contexts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, VALIDATION, make_split


def table(rng, drugs=7, lines=5, filled=0.8, name='screen'):
    """A response table with gaps, as a screen."""
    there = rng.random((drugs, lines)) < filled
    there[:, 0] = True
    rows = [(f'l{j}', f'd{i}' if i else 'd1+d2', (1.0,)) for i, j in zip(*np.nonzero(there))]
    return measurements([*rows, *((f'l{j}', 'control', (0.0,)) for j in range(lines))], ['auc'], name)


@given(seed=st.integers(0, 1000), test=st.floats(0.05, 0.3), validation=st.floats(0, 0.2))
@settings(max_examples=25, deadline=None)
def test_each_perturbation_and_each_context_keeps_an_entry(seed, test, validation):
    compendium = assemble([table(np.random.default_rng(seed))], ['fitness'])
    split, names = make_split(compendium, 'unseen_pairs', seed, test=test, validation=validation), compendium.table()
    (roles,) = split.roles
    perturbed = (names['order'] > 0).to_numpy()
    assert (roles == TEST).sum() == round(test * perturbed.sum())
    assert (roles == VALIDATION).sum() == round(validation * perturbed.sum())
    kept = names[(roles == TRAIN) & perturbed]
    assert set(kept['perturbation']) == set(names['perturbation'][perturbed])
    assert set(kept['context']) == set(names['context'])
    assert (roles[~perturbed] == TRAIN).all()


def test_every_entry_is_held_out_by_some_seed():
    compendium = assemble([table(np.random.default_rng(0))], ['fitness'])
    tested = [make_split(compendium, 'unseen_pairs', seed).roles[0] == TEST for seed in range(60)]
    assert np.any(tested, axis=0).sum() == (compendium.table()['order'] > 0).sum()


def test_a_pair_has_one_role_in_all_screens():
    screens = [table(np.random.default_rng(0), filled=1.0, name=name) for name in ('one', 'two')]
    compendium = assemble(screens, ['fitness'] * 2)
    one, two = make_split(compendium, 'unseen_pairs', 3, test=0.3).roles
    np.testing.assert_array_equal(one, two)


def test_no_more_than_can_be_held_out():
    compendium = assemble([table(np.random.default_rng(0), filled=1.0)], ['fitness'])
    with pytest.raises(InputError, match='ask for 32 of 35 pairs, but each perturbation and each context keeps one'):
        make_split(compendium, 'unseen_pairs', 0, test=0.9)
    with pytest.raises(InputError, match='are not shares of the pairs'):
        make_split(compendium, 'unseen_pairs', 0, test=0.9, validation=0.2)
