"""The epoch whose weights are kept, where the folds choose it."""

import json

import jax
import numpy as np
import pytest
from models_for_tests import train_lpm
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.models.lpm import lpm
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split

SETTINGS = {'embedding_dim': 4, 'hidden_dims': (16,), 'folds': 3, 'mix': ()}
# At this rate of learning the error out of fold falls and then rises.
RECIPE = {
    'epochs': 12,
    'epoch_steps': 40,
    'patience': 3,
    'batch_profiles': 24,
    'learning_rate': 0.02,
    'shards': 4,
    'checkpoint_every': 5,
}


@pytest.fixture(scope='module')
def compendium():
    """Effects that the contexts share, and as much noise."""
    rng = np.random.default_rng(0)
    effects = rng.normal(size=(24, 6))
    rows = [(c, 'control', np.zeros(6)) for c in 'abcd']
    rows += [(c, f'g{p:02}', effects[p] + rng.normal(size=6)) for c in 'abcd' for p in range(24)]
    return assemble([measurements(rows, [f'r{i}' for i in range(6)])], ['log1p'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_in_context', 0, context='b', test=0.3, validation=0.0)


@pytest.fixture(scope='module')
def whole(compendium, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return train_lpm(SETTINGS, RECIPE, compendium, split, folder), curve_of(folder)


def curve_of(folder, **only):
    """The error out of fold by epoch."""
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    chosen = [line for line in lines if only.items() <= line.items()]
    return {line['epoch']: line.get('out_of_fold_l2') for line in chosen}


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_epoch_with_the_lowest_error_is_kept_and_patience_counts_from_it(compendium, split, whole, tmp_path):
    params, curve = whole
    best = min(curve, key=curve.get)
    assert best > 1
    assert len(curve) == best + 3 < 12
    last = train_lpm({**SETTINGS, 'early_stop': False}, {**RECIPE, 'epochs': best}, compendium, split, tmp_path)
    assert_equal(params, last)
    assert set(curve_of(tmp_path).values()) == {None}


def test_the_error_is_that_of_the_members_that_have_not_seen_a_profile(compendium, split, whole):
    params, curve = whole
    model = lpm(**SETTINGS)
    target = model.learner.target(compendium, split.mask(TRAIN))
    predicted = model.learner.out_of_fold(params, target)
    (screen,) = compendium.screens
    error = (screen.values - predicted)[np.isfinite(predicted).all(axis=1)]
    expected = np.sqrt((error**2).sum(axis=1)).mean() / float(params.constants['scale'][0])
    assert min(curve.values()) == pytest.approx(expected, rel=1e-5)
    assert model.learner.unseen_error(params, target) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('stop', [2, 7])
def test_stopped_and_resumed_is_bit_for_bit_the_same(compendium, split, whole, tmp_path, stop):
    train_lpm(SETTINGS, {**RECIPE, 'epochs': stop}, compendium, split, tmp_path)
    assert_equal(train_lpm(SETTINGS, RECIPE, compendium, split, tmp_path), whole[0])
    assert curve_of(tmp_path) == whole[1]


def test_a_run_that_kept_the_last_epoch_goes_on(compendium, split, whole, tmp_path):
    """As runs of earlier versions did: their checkpoints hold no best weights."""
    train_lpm({**SETTINGS, 'early_stop': False}, {**RECIPE, 'epochs': 1}, compendium, split, tmp_path)
    assert_equal(train_lpm(SETTINGS, RECIPE, compendium, split, tmp_path), whole[0])


def test_the_folds_choose_among_swept_settings(compendium, split, whole, tmp_path):
    """At the other rate nothing is learnt in so few steps, so that the one of before is kept, as it was."""
    recipe = {**RECIPE, 'sweep': {'learning_rate': (1e-7, 0.02)}}
    params = train_lpm(SETTINGS, recipe, compendium, split, tmp_path)
    errors = [min(curve_of(tmp_path, learning_rate=rate).values()) for rate in (1e-7, 0.02)]
    assert errors[1] < 0.95 * errors[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), params, whole[0])


def test_with_no_profile_in_a_fold_the_last_epoch_is_kept(compendium, tmp_path):
    """Contexts are held out as a whole, and there is one to learn from alone, so none stands for them."""
    split = make_split(compendium, 'unseen_context', 0, context=['b', 'c', 'd'])
    recipe = {**RECIPE, 'epochs': 2}
    train_lpm(SETTINGS, recipe, compendium, split, tmp_path)
    assert curve_of(tmp_path) == {1: None, 2: None}
    with pytest.raises(InputError, match=r'training\.sweep: there is nothing to choose by'):
        train_lpm(SETTINGS, recipe | {'sweep': {'weight_decay': (0, 1)}}, compendium, split, tmp_path / 'swept')


def test_the_folds_choose_also_where_profiles_are_kept_for_validation(compendium, tmp_path):
    split = make_split(compendium, 'unseen_in_context', 0, context='b', test=0.3, validation=0.1)
    train_lpm(SETTINGS, {**RECIPE, 'epochs': 2}, compendium, split, tmp_path)
    assert None not in curve_of(tmp_path).values()
