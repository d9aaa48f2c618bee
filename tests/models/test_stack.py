"""The stack: its weights against a search over the simplex, and rules that are right or wrong by construction."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import everything, measurements, query_of

from perturbjax.errors import InputError
from perturbjax.models import context_mean, make_models
from perturbjax.models.held_out_like import all_profiles, held_out_like, make_folds
from perturbjax.models.out_of_fold import out_of_fold
from perturbjax.models.stack import best_weights, single_unless_better, stack
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split


def screen(effect_of_context):
    """Three contexts, 12 perturbations, four readouts; perturbations do much alone, contexts as asked."""
    rng, rows = np.random.default_rng(0), []
    effects = 3 * rng.normal(size=(12, 4))
    for c, context in enumerate('abc'):
        level = effect_of_context * rng.normal(size=4)
        rows.append((context, 'control', level))
        rows += [
            (context, f'g{p}', level + effects[p] + 0.1 * rng.normal(size=4))
            for p in range(12)
            if not (c == 2 and p > 9)
        ]
    return assemble([measurements(rows, list('wxyz'))], ['log1p'])


def test_weights_are_the_best_of_the_simplex():
    errors = np.random.default_rng(0).normal(size=(3, 40, 5)) * np.array([1, 1.3, 2])[:, None, None]
    gram = np.einsum('cnu,dnu->ncd', errors, errors)

    def total(weight):
        return np.sqrt(np.einsum('c,ncd,d->n', weight, gram, weight)).sum()

    grid = [(a, b, 1 - a - b) for a, b in itertools.product(np.linspace(0, 1, 101), repeat=2) if a + b <= 1]
    found = np.asarray(best_weights(jnp.asarray(gram, jnp.float32)), float)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert (found >= 0).all()
    assert total(found) <= min(map(total, np.array(grid))) * (1 + 1e-4)


def test_a_profile_that_does_not_count_changes_nothing_and_none_at_all_leaves_the_first():
    gram = jnp.asarray(np.random.default_rng(1).normal(size=(6, 2, 3)), jnp.float32)
    gram = gram @ gram.mT
    padded = jnp.concatenate([gram, jnp.zeros((3, 2, 2))])
    np.testing.assert_allclose(best_weights(padded), best_weights(gram), atol=1e-6)
    np.testing.assert_array_equal(best_weights(jnp.zeros((4, 3, 3))), [1, 0, 0])


def test_a_mixture_has_to_be_better_than_the_best_rule_by_a_standard_error():
    rng = np.random.default_rng(0)
    alike, other = rng.normal(size=(2, 60, 5))
    is_asked = jnp.ones(60, bool)

    def chosen(*errors):
        gram = jnp.asarray(np.einsum('cnu,dnu->ncd', errors, errors), jnp.float32)
        return np.asarray(single_unless_better(gram, best_weights(gram), is_asked))

    np.testing.assert_array_equal(chosen(1.2 * alike, alike), [0, 1])
    np.testing.assert_array_equal(chosen(alike, alike + 0.001 * other), [1, 0])
    independent = chosen(alike, other)
    assert independent.min() > 0.3


def test_out_of_fold_predictions_are_those_of_the_rule_without_the_fold():
    compendium = screen(1.0)
    split = make_split(compendium, 'unseen_in_context', 0, context='b', test=0.2, validation=0.0)
    (training,), rule = split.mask(TRAIN), context_mean()
    folds = make_folds(held_out_like(compendium, (training,)), 3)
    params = rule.fit(compendium, (training,))
    found = np.asarray(out_of_fold(rule, params, compendium, (training,), folds))
    values, number = compendium.screens[0].values, np.asarray(folds.number)
    context = np.asarray(all_profiles(compendium).context)
    here = training & (context == 1) & (compendium.screens[0].order > 0)
    assert set(number[here]) == {0, 1, 2}
    assert (number[~here] == -1).all()
    assert np.isnan(found[~here]).all()
    for row in np.flatnonzero(here):
        others = here & (number != number[row])
        np.testing.assert_allclose(found[row], values[others].mean(axis=0), rtol=1e-5)


def test_the_rule_that_is_right_gets_the_weight_and_keeps_it():
    compendium = screen(1.0)
    split = make_split(compendium, 'unseen_in_context', 0, context='b', test=0.2, validation=0.0)
    model = stack(('no_change', 'perturbation_mean'))
    params = jax.jit(model.fit)(compendium, split.mask(TRAIN))
    assert float(params.weight[1]) > 0.9
    again = model.refit(params, compendium, everything(compendium))
    np.testing.assert_array_equal(again.weight, params.weight)


def test_an_answer_that_a_rule_does_not_have_is_that_of_the_first():
    compendium = screen(1.0)
    model = stack(('context_mean', 'additive'), num_folds=2)
    split = make_split(compendium, 'unseen_single', 0, test=0.3)
    params = jax.jit(model.fit)(compendium, split.mask(TRAIN))
    query = query_of(compendium.screens[0])
    first = context_mean().predict(params.rules[0], query)
    tested = split.mask(2)[0]
    np.testing.assert_allclose(np.asarray(model.predict(params, query))[tested], np.asarray(first)[tested], rtol=1e-5)


def test_bad_settings_are_told():
    with pytest.raises(InputError, match=r"models.mine.rules: no such rule 'lpm'"):
        make_models({'mine': {'model': 'stack', 'rules': ['lpm']}})
    with pytest.raises(InputError, match='num_folds: 1 must be at least 2'):
        stack(num_folds=1)
