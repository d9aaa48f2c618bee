"""LPM mixed with rules: its weights, what it predicts from them, and what a checkpoint keeps of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models_for_tests import train_lpm
from screens_for_tests import measurements, query_of

from perturbjax.analysis.completion import read_model
from perturbjax.models import context_mean, flax_model, two_way
from perturbjax.models.centre import centre_rule
from perturbjax.models.held_out_like import flat_values
from perturbjax.models.lpm import lpm
from perturbjax.models.mixture import mixed
from perturbjax.models.out_of_fold import out_of_fold
from perturbjax.models.stack import best_weights
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

SETTINGS = {
    'embedding_dim': 4,
    'hidden_dims': (16,),
    'folds': 3,
    'mix': ('two_way', 'context_mean'),
    'standardise': 'each',
}
ALONE, MODEL = lpm(**SETTINGS | {'mix': ()}), lpm(**SETTINGS)
SHORT = {
    'epochs': 2,
    'epoch_steps': 200,
    'batch_profiles': 48,
    'learning_rate': 0.01,
    'shards': 4,
    'checkpoint_every': 1,
}


@pytest.fixture(scope='module')
def compendium():
    """Six contexts in which two programs act at strengths that differ a little: the rules know half of the truth."""
    rng, contexts = np.random.default_rng(0), 'abcdef'
    programs, strength = rng.normal(size=(2, 6)), 1 + 0.3 * rng.normal(size=(6, 2))
    share, level = 2 * rng.normal(size=(24, 2)), rng.normal(size=(6, 6))
    rows = [(c, 'control', level[i]) for i, c in enumerate(contexts)]
    rows += [
        (c, f'g{p:02}', level[i] + (share[p] * strength[i]) @ programs + rng.normal(size=6))
        for i, c in enumerate(contexts)
        for p in range(24)
    ]
    return assemble([measurements(rows, [f'r{i}' for i in range(6)])], ['log1p'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_in_context', 0, context='b', test=0.3, validation=0.0)


def trained(compendium, split, folder, **given):
    return train_lpm(SETTINGS, SHORT | given, compendium, split, folder)


@pytest.fixture(scope='module')
def whole(compendium, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return trained(compendium, split, folder), folder


def test_the_weights_are_the_best_ones_out_of_fold(compendium, split, whole):
    """Every prediction is made again: the rules' without a fold, the networks' by the members that left it out."""
    fitted, training = whole[0], split.mask(TRAIN)
    own, known, _ = MODEL.learner.target(compendium, training).kept
    folds, query = own.kept[1].folds, query_of(compendium.screens[0])
    candidates = []
    for rule in (two_way(), context_mean()):
        params = rule.fit(compendium, training)
        candidates.append(
            np.asarray(jax.jit(functools.partial(out_of_fold, rule))(params, compendium, training, folds))
        )
    rules_mean = centre_rule().predict(fitted.constants['base'], query)
    base, learnt = candidates[1], np.full_like(candidates[1], np.nan)
    for fold in range(3):
        own = {name: each[2 * fold : 2 * fold + 2] for name, each in fitted.weights.items()}
        by_networks = np.asarray(ALONE.predict(fitted._replace(weights=own), query) - rules_mean)
        rows = folds.number == fold
        learnt[rows] = base[rows] + by_networks[rows]
    rows = folds.number >= 0
    errors = np.stack([np.asarray(flat_values(compendium, query.readout)) - each for each in (*candidates, learnt)])
    expected = best_weights(jnp.einsum('cnu,dnu->ncd', errors[:, rows], errors[:, rows]))
    np.testing.assert_allclose(fitted.constants['mixture'].weight, expected, atol=2e-3)
    assert known.is_asked.tolist() == rows.tolist()


def test_it_predicts_the_weighted_sum_and_beats_each_part(compendium, split, whole):
    fitted, (tested,) = whole[0], split.mask(TEST)
    query, mixture = query_of(compendium.screens[0]), fitted.constants['mixture']
    parts = [rule.predict(params, query) for rule, params in zip((two_way(), context_mean()), mixture.rules)]
    parts.append(ALONE.predict(fitted, query))
    found = np.asarray(MODEL.predict(fitted, query))
    np.testing.assert_allclose(found, sum(w * each for w, each in zip(mixture.weight, parts)), rtol=1e-5, atol=1e-5)

    def error(predicted):
        return np.linalg.norm((np.asarray(predicted) - compendium.screens[0].values)[tested], axis=1).mean()

    assert 0.1 < mixture.weight[-1] < 0.9
    assert error(found) < 1.02 * min(map(error, parts))
    assert error(found) < error(parts[0])


def test_its_spread_holds_the_truth(compendium, split, whole):
    query, (tested,) = query_of(compendium.screens[0]), split.mask(TEST)
    error = np.abs(np.asarray(MODEL.predict(whole[0], query)) - compendium.screens[0].values)[tested]
    spread = np.asarray(MODEL.spread(whole[0], query))[tested]
    assert 0.7 < (error < 1.645 * spread).mean() <= 1


def test_stopped_and_resumed_is_bit_for_bit_the_same(compendium, split, whole, tmp_path):
    trained(compendium, split, tmp_path, epochs=1)
    jax.tree.map(np.testing.assert_array_equal, trained(compendium, split, tmp_path), whole[0])


def test_a_checkpoint_alone_predicts(compendium, whole):
    query = query_of(compendium.screens[0])
    found = read_model(whole[1] / 'lpm' / '0').predict(jax.device_get(query))
    np.testing.assert_allclose(found, np.asarray(MODEL.predict(whole[0], query)), rtol=1e-5, atol=1e-6)


def test_an_unseen_perturbation_gets_the_rules_alone(compendium, tmp_path):
    split = make_split(compendium, 'unseen_single', 0, test=0.3)
    fitted, (tested,) = trained(compendium, split, tmp_path, epochs=1, epoch_steps=5), split.mask(TEST)
    query, mixture = query_of(compendium.screens[0]), fitted.constants['mixture']
    rules = [rule.predict(params, query) for rule, params in zip((two_way(), context_mean()), mixture.rules)]
    parts = [*rules, centre_rule().predict(fitted.constants['base'], query)]
    expected = np.asarray(sum(w * each for w, each in zip(mixture.weight, parts)))
    np.testing.assert_allclose(np.asarray(MODEL.predict(fitted, query))[tested], expected[tested], rtol=1e-5)


def test_only_a_model_with_folds_can_be_mixed():
    with pytest.raises(TypeError, match='only a learned model with folds'):
        mixed(flax_model(lambda sizes: None), [context_mean()])
    with pytest.raises(TypeError, match='only a learned model with folds'):
        mixed(context_mean(), [context_mean()])
