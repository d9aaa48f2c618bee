"""Contexts of which only control is known: what the rules and LPM say there, and what they choose by."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from models_for_tests import train_lpm
from screens_for_tests import measurements, query, query_of

from perturbjax.models import context_mean, kernel, own_readout, perturbation_mean, two_way
from perturbjax.models.centre import centre_rule
from perturbjax.models.held_out_like import held_out_like, make_folds
from perturbjax.models.leave_out import fold_error
from perturbjax.models.lpm import lpm
from perturbjax.models.ridge import solve, times
from perturbjax.models.two_way import _regressions, groups_of
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

CONTEXTS, NAMES = [f'c{i:02}' for i in range(24)], [f'g{i:02}' for i in range(16)]
NEW = {'context': 'c0[0-3]'}
SMALL = {'embedding_dim': 4, 'hidden_dims': (16,), 'folds': 2, 'mix': ('two_way',)}
SHORT = {'epochs': 8, 'epoch_steps': 60, 'batch_profiles': 32, 'learning_rate': 0.01, 'shards': 4}


@pytest.fixture(scope='module')
def vectors():
    return {axis: np.random.default_rng(1).normal(size=(len(names), 2)) for axis, names in axes().items()}


def axes():
    return {'context': CONTEXTS, 'perturbation': NAMES}


@pytest.fixture(scope='module')
def files(vectors, tmp_path_factory):
    folder = tmp_path_factory.mktemp('features')
    for axis, names in axes().items():
        pd.DataFrame(vectors[axis].T, columns=names).to_csv(folder / f'{axis}.tsv', sep='\t', index=False)
    return {axis: [str(folder / f'{axis}.tsv')] for axis in axes()}


@pytest.fixture(scope='module')
def compendium(vectors):
    """The change is linear in the vector of the perturbation, and in its products with that of the context."""
    rng = np.random.default_rng(0)
    alone, both = rng.normal(size=(2, 6)), rng.normal(size=(2, 2, 6))
    rows = []
    for context, z in zip(CONTEXTS, vectors['context'], strict=True):
        level = rng.normal(size=6)
        rows.append((context, 'control', level))
        for name, x in zip(NAMES, vectors['perturbation'], strict=True):
            change = 1 + x @ alone + np.einsum('i,j,ijm', x, z, both)
            rows.append((context, name, level + change + 0.1 * rng.normal(size=6)))
    return assemble([measurements(rows, ['g03', 'g07', *(f'r{i}' for i in range(4))])], ['log1p'])


def l2(model, params, compendium, split):
    (screen,), (tested,) = compendium.screens, split.mask(TEST)
    error = np.asarray(model.predict(params, query_of(screen))) - screen.values
    return np.sqrt((error[tested] ** 2).sum(axis=1)).mean()


def of_rule(rule, compendium, split):
    return l2(rule, jax.jit(rule.fit)(compendium, split.mask(TRAIN)), compendium, split)


def test_the_centre_of_a_new_context_is_control_plus_the_mean_change():
    """The changes of g and h in a are 1 and 3, that of g in b is 5: 3 on average."""
    rows = [('a', 'control', [1.0]), ('a', 'g', [2.0]), ('a', 'h', [4.0]), ('b', 'control', [2.0]), ('b', 'g', [7.0])]
    rows += [('c', 'control', [20.0]), ('c', 'g', [50.0])]
    screens = assemble([measurements(rows, ['x'])], ['log1p'])
    rule, training = centre_rule(), (np.array([True] * 6 + [False]),)
    params = rule.fit(screens, training)
    answer = rule.predict(params, query(screens, [('a', 'g'), ('b', 'h'), ('c', 'g')], ['x']))
    np.testing.assert_allclose(answer[:, 0], [3, 7, 23])
    own = own_readout()
    np.testing.assert_allclose(own.predict(own.fit(screens, training), query(screens, [('c', 'h')], ['x'])), [[23]])


def test_elsewhere_the_centre_is_the_mean_of_the_context_bit_for_bit(compendium):
    split = make_split(compendium, 'unseen_single', 0)
    asked, rules = query_of(compendium.screens[0]), (centre_rule(), context_mean())
    answers = [rule.predict(jax.jit(rule.fit)(compendium, split.mask(TRAIN)), asked) for rule in rules]
    np.testing.assert_array_equal(*answers)


def test_penalties_are_chosen_by_fitting_again_without_whole_contexts(compendium):
    split = make_split(compendium, 'unseen_context', 0, **NEW)
    folds = make_folds(held_out_like(compendium, split.mask(TRAIN)), 5)
    _, known, regression, _ = _regressions(compendium, split.mask(TRAIN))
    group = groups_of(compendium.vocabulary, known)
    penalty = jnp.array([0.1, 3.0, 1.0, 2.0])[group]
    errors = []
    for fold in range(5):
        kept = regression._replace(is_training=regression.is_training & ~folds.leaves[fold])
        left = regression.change - times(regression.features, solve(kept, penalty))
        errors.append(np.linalg.norm(left[np.asarray(folds.number) == fold], axis=1))
    left_out = compendium.table()['context'][np.asarray(folds.number) >= 0]
    assert set(left_out) == set(CONTEXTS[4:])
    expected = np.concatenate(errors).mean()
    np.testing.assert_allclose(fold_error(regression, folds, penalty), expected, rtol=1e-5)
    chosen = jax.jit(two_way().fit)(compendium, split.mask(TRAIN)).whole
    for number, value in itertools.product(range(4), (0.01, 100.0)):
        other = chosen.penalties.at[number].set(value)[group]
        assert chosen.error <= fold_error(regression, folds, other) * (1 + 1e-5)


@pytest.fixture(scope='module')
def with_features(compendium, files, tmp_path_factory):
    split = make_split(compendium, 'unseen_context', 0, **NEW)
    settings = {**SMALL, 'features': {'context': files['context']}}
    return split, lpm(**settings), train_lpm(settings, SHORT, compendium, split, tmp_path_factory.mktemp('whole'))


def test_features_predict_a_context_of_which_only_control_is_known(compendium, with_features):
    split, model, params = with_features
    best = min(of_rule(rule, compendium, split) for rule in (perturbation_mean(), two_way()))
    assert l2(model, params, compendium, split) < 0.7 * best
    assert float(params.constants['mixture'].weight[-1]) > 0.5


def test_without_features_a_new_context_is_no_worse_than_the_rules(compendium, tmp_path):
    split = make_split(compendium, 'unseen_context', 0, **NEW)
    params = train_lpm(SMALL, {**SHORT, 'epochs': 2}, compendium, split, tmp_path)
    assert l2(lpm(**SMALL), params, compendium, split) < 1.02 * of_rule(two_way(), compendium, split)


def test_features_of_both_predict_unseen_perturbations_in_unseen_contexts(compendium, files, tmp_path):
    split = make_split(compendium, 'unseen_both', 2, **NEW, test=0.25)
    settings = {**SMALL, 'features': files}
    params = train_lpm(settings, SHORT, compendium, split, tmp_path)
    best = min(of_rule(rule, compendium, split) for rule in (centre_rule(), two_way()))
    assert of_rule(kernel(files['perturbation'][0]), compendium, split) < 0.9 * best
    assert l2(lpm(**settings), params, compendium, split) < 0.7 * best


def test_values_that_are_held_out_change_nothing(compendium, with_features, files, tmp_path):
    split, model, params = with_features
    (screen,), (trains,) = compendium.screens, split.mask(TRAIN)
    asked, kept = query_of(screen), screen.values[~trains].copy()
    screen.values[~trains] = 1e3
    try:
        settings = {**SMALL, 'features': {'context': files['context']}}
        again = train_lpm(settings, SHORT, compendium, split, tmp_path)
    finally:
        screen.values[~trains] = kept
    np.testing.assert_array_equal(model.predict(again, asked), model.predict(params, asked))
