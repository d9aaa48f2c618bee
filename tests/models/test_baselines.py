import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import everything, measurements, query, two_contexts

from perturbjax.models import additive, baselines, context_mean, mean, no_change, perturbation_mean
from perturbjax.models.model import Query
from perturbjax.models.sums import Sums
from perturbjax.screens.screen import assemble

NAN = np.nan
PAIRS = [('a', 'control'), ('a', 'g'), ('b', 'h'), ('b', 'g+h')]

# By hand from `two_contexts`: deltas are a: g (1, 2), h (0, -), g+h (4, 3); b: g (4, 8).
EXPECTED = {
    no_change: [(1, 2), (1, 2), (10, 20), (10, 20)],
    context_mean: [(8 / 3, 4.5), (8 / 3, 4.5), (14, 28), (14, 28)],
    mean: [(22 / 4, 37 / 3)] * 4,
    perturbation_mean: [(NAN, NAN), (5, 10), (10, NAN), (14, 23)],
    additive: [(1, 2), (2, 4), (NAN, NAN), (NAN, NAN)],
}


def predict(model, compendium, training, asked):
    return jax.jit(model.predict)(jax.jit(model.fit)(compendium, training), asked)


@pytest.mark.parametrize('model', EXPECTED, ids=lambda model: model.__name__)
def test_predictions_worked_by_hand(model):
    compendium = two_contexts()
    answer = predict(model(), compendium, everything(compendium), query(compendium, PAIRS, ['x', 'y']))
    np.testing.assert_allclose(answer, EXPECTED[model], rtol=1e-6)


@pytest.mark.parametrize('model', EXPECTED, ids=lambda model: model.__name__)
def test_the_panel_asked_for_may_be_in_any_order(model):
    compendium = two_contexts()
    answer = predict(model(), compendium, everything(compendium), query(compendium, PAIRS, ['y', 'x']))
    np.testing.assert_allclose(answer, np.array(EXPECTED[model])[:, ::-1], rtol=1e-6)


@pytest.mark.parametrize('model', EXPECTED, ids=lambda model: model.__name__)
def test_what_does_not_train_changes_nothing(model):
    compendium = two_contexts()
    rows = [True, True, True, False, True, True]
    poisoned = jax.tree.map(np.copy, compendium)
    poisoned.screens[0].values[3] = 1e6
    asked = query(compendium, PAIRS, ['x', 'y'])
    answers = [predict(model(), each, (jnp.array(rows),), asked) for each in (compendium, poisoned)]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize('model', EXPECTED, ids=lambda model: model.__name__)
def test_all_masks_in_one_vmap(model):
    compendium = two_contexts()
    masks = (jnp.array([[True] * 6, [True, True, True, False, True, True], [True, False, True, True, True, False]]),)
    asked = query(compendium, PAIRS, ['x', 'y'])
    together = jax.vmap(lambda mask: model().predict(model().fit(compendium, mask), asked))(masks)
    for i in range(3):
        alone = predict(model(), compendium, (masks[0][i],), asked)
        np.testing.assert_allclose(together[i], alone, rtol=1e-6)


def test_control_is_zero_where_the_scale_says_so():
    compendium = assemble([measurements([('a', 'g', (1, 2)), ('a', 'h', (3, 5))], ['x', 'y'])], ['log-fold-change'])
    asked = query(compendium, [('a', 'g'), ('a', 'g+h')], ['x', 'y'])
    np.testing.assert_array_equal(predict(no_change(), compendium, everything(compendium), asked), [[0, 0], [0, 0]])
    np.testing.assert_array_equal(predict(additive(), compendium, everything(compendium), asked), [[1, 2], [4, 7]])


def test_screens_with_different_panels_answer_together():
    first = measurements([('a', 'control', (0, 0)), ('a', 'g', (1, 2))], ['x', 'y'], 'first')
    second = measurements([('b', 'control', (0, 0)), ('b', 'g', (4, 6)), ('b', 'h', (9, 9))], ['y', 'z'], 'second')
    compendium = assemble([first, second], ['log1p', 'log1p'])
    asked = query(compendium, [('a', 'g'), ('a', 'h'), ('b', 'g')], ['z', 'y', 'x'])
    training = everything(compendium)
    np.testing.assert_array_equal(predict(mean(), compendium, training, asked), [[7.5, 5, 1]] * 3)
    np.testing.assert_array_equal(
        predict(perturbation_mean(), compendium, training, asked), [[NAN, 4, NAN], [NAN, 9, NAN], [NAN, 2, NAN]]
    )


def test_combinations_of_three_add_up():
    rows = [('a', 'control', (1,)), ('a', 'f', (2,)), ('a', 'g', (4,)), ('a', 'h', (8,)), ('a', 'f+g+h', (0,))]
    compendium = assemble([measurements(rows, ['x'])], ['log1p'])
    asked = query(compendium, [('a', 'f+g+h'), ('a', 'f+g')], ['x'])
    np.testing.assert_array_equal(predict(additive(), compendium, everything(compendium), asked), [[12], [5]])


@pytest.fixture
def two_screens():
    """Screens with other panels that share the context b, and a mask that leaves two profiles out."""
    first = [('a', 'control', (1, 2)), ('a', 'g', (2, 4)), ('a', 'g+h', (5, NAN)), ('b', 'control', (3, 1))]
    second = [('b', 'control', (7, 1)), ('b', 'g', (9, 9)), ('b', 'h', (NAN, 4)), ('c', 'control', (0, 1))]
    more = [('b', 'g', (6, 5)), ('b', 'h', (8, 8))], [('b', 'g+h', (2, 3)), ('c', 'g', (4, 4)), ('c', 'h', (1, 6))]
    rows = zip((first, second), more, (['x', 'y'], ['y', 'z']), ('first', 'second'))
    compendium = assemble([measurements(a + b, readouts, name) for a, b, readouts, name in rows], ['log1p'] * 2)
    return compendium, tuple(jnp.arange(len(screen.context)) != 5 for screen in compendium.screens)


def test_large_tables_are_summed_by_group_and_give_the_same(monkeypatch, two_screens):
    pairs = [*itertools.product('abc', ['g', 'h', 'g+h', 'control']), ('a', 'g')]
    asked = query(two_screens[0], pairs, ['z', 'x', 'y'])

    def sums_and_deltas():
        # A function of its own for each limit, because `jit` keeps what it compiled for a function.
        def compute(compendium, training):
            contexts = [baselines.by_context(*each, 3) for each in zip(compendium.screens, training)]
            deltas = baselines.fit_deltas(compendium, training)
            return contexts, [baselines.mean_delta(deltas, asked, same_context) for same_context in (True, False)]

        return jax.jit(compute)(*two_screens)

    by_table = sums_and_deltas()
    monkeypatch.setattr(baselines, 'LARGE_TABLE', 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), sums_and_deltas(), by_table)
    for deltas in by_table[1]:
        assert 0 < np.isnan(deltas).sum() < deltas.size


def mean_deltas_by_brute_force(deltas, asked, same_context):
    """One query after the other, over the profiles of all screens that have the same readouts."""
    screens = zip(deltas.delta, deltas.context, deltas.perturbation, deltas.training)
    profiles = [
        (np.where(number > 0, total, NAN), context, name)
        for sums, contexts, names, training in screens
        for total, number, context, name, trains in zip(sums.total, sums.number, contexts, names.tolist(), training)
        if trains
    ]
    expected = np.full((len(asked.context), len(asked.readout)), NAN)
    for row, context, name in zip(expected, asked.context, asked.perturbation.tolist()):
        chosen = [change for change, own, other in profiles if (own == context) == same_context and name == other]
        if chosen:
            number = (~np.isnan(chosen)).sum(axis=0)
            row[:] = np.where(number > 0, np.nansum(chosen, axis=0) / np.maximum(number, 1), NAN)
    return expected


@pytest.mark.parametrize('same_context', [True, False])
def test_sums_by_group_equal_brute_force(monkeypatch, same_context):
    """Random ids, holes and masks in two screens; some queries twice, some that no profile answers."""
    monkeypatch.setattr(baselines, 'LARGE_TABLE', 0)
    compute = jax.jit(lambda deltas, asked: baselines.mean_delta(deltas, asked, same_context))
    readout = jnp.arange(3)
    for seed in range(20):
        rng = np.random.default_rng(seed)

        def profiles(size, rng=rng):
            number = rng.integers(0, 2, (size, 3)).astype(np.float32)
            names = np.sort(rng.integers(0, 3, (size, 2)), axis=1)
            return Sums(number * rng.normal(size=(size, 3)), number, readout), rng.integers(0, 3, size), names

        delta, context, names = zip(profiles(12), profiles(9))
        training = tuple(rng.random(len(each)) < 0.8 for each in context)
        deltas = jax.tree.map(jnp.asarray, baselines.Deltas((), delta, context, names, training))
        _, *ids = profiles(11)
        asked = Query(*map(jnp.asarray, ids), readout)
        expected = mean_deltas_by_brute_force(deltas, asked, same_context)
        np.testing.assert_allclose(compute(deltas, asked), expected, rtol=1e-4, atol=1e-6)
        assert 0 < np.isnan(expected).sum() < expected.size
