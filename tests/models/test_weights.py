"""Weights in fitting: a profile of weight 2 is one that is there twice, and noisy profiles count less."""

import dataclasses

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import everything, measurements, query, query_of, two_contexts

from experiments import benchmark_papalexi
from perturbjax.models import (
    additive,
    baselines,
    context_mean,
    kernel,
    linear,
    low_rank,
    mean,
    own_readout,
    perturbation_mean,
    stack,
    two_way,
)
from perturbjax.models.factorization import Cells, complete, entries
from perturbjax.models.held_out_like import flat_weight
from perturbjax.models.leave_out import LeftOut, leave_out_error
from perturbjax.models.own_readout import shrunken_mean
from perturbjax.models.ridge import Regression, solve
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.screens.weights import weighted

PENALTIES = (0.5, 2.0, 3.0, 1.0, 2.5)


def with_weights(compendium, *weights):
    screens = zip(compendium.screens, weights, strict=True)
    return Compendium(
        tuple(dataclasses.replace(screen, weight=np.asarray(each, np.float32)) for screen, each in screens),
        compendium.vocabulary,
    )


def repeated(compendium, *counts):
    """The compendium with each profile as often as the counts say, which no reader would give."""

    def one(screen, count):
        rows = np.repeat(np.arange(len(count)), count)
        values, context, perturbation = (each[rows] for each in (screen.values, screen.context, screen.perturbation))
        return dataclasses.replace(screen, values=values, context=context, perturbation=perturbation)

    return Compendium(tuple(map(one, compendium.screens, counts)), compendium.vocabulary)


@pytest.fixture(scope='module')
def compendium():
    """Two screens that share a context and readouts, three of which are targets, with pairs and missing values."""
    rng = np.random.default_rng(0)
    names = ['control', 'g0', 'g1', 'g2', 'g0+g1', 'g1+g2']

    def screen(name, contexts, readouts):
        rows = [(c, p, rng.normal(size=len(readouts))) for c in contexts for p in names]
        rows[4][2][1] = np.nan
        return measurements(rows, readouts, name)

    return assemble(
        [screen('first', 'ab', ['g0', 'g1', 'x']), screen('second', 'bc', ['g1', 'g2', 'x'])], ['log1p'] * 2
    )


def counts_of(compendium, seed=1):
    rng = np.random.default_rng(seed)
    return [np.where(screen.is_control, 1, rng.integers(1, 4, len(screen.context))) for screen in compendium.screens]


def fitted(model, compendium, asked):
    params = jax.jit(model.fit)(compendium, everything(compendium))
    return np.asarray(model.predict(params, asked))


RULES = {
    'mean': mean(),
    'context_mean': context_mean(),
    'perturbation_mean': perturbation_mean(),
    'additive': additive(),
    'two_way': two_way(PENALTIES),
    'linear': linear(2, 0.5),
    'linear_identity': linear(2, 0.5, perturbation_embedding='identity'),
}


@pytest.mark.parametrize('name', RULES)
def test_a_profile_of_weight_2_is_one_that_is_there_twice(compendium, name):
    counts, asked = counts_of(compendium), query_of(compendium.screens[0])
    twice = fitted(RULES[name], repeated(compendium, *counts), asked)
    weighed = fitted(RULES[name], with_weights(compendium, *counts), asked)
    np.testing.assert_allclose(weighed, twice, rtol=0, atol=2e-5)
    assert np.nanmax(np.abs(weighed - fitted(RULES[name], compendium, asked))) > 0.01 or name == 'additive'


@pytest.mark.parametrize('name', [*RULES, 'own_readout', 'kernel', 'low_rank', 'stack'])
def test_weights_of_1_change_nothing(compendium, name):
    more = {'own_readout': own_readout, 'kernel': lambda: kernel('random'), 'low_rank': low_rank, 'stack': stack}
    model, asked = RULES.get(name) or more[name](), query_of(compendium.screens[1])
    ones = with_weights(compendium, *(np.ones(len(screen.context)) for screen in compendium.screens))
    np.testing.assert_allclose(fitted(model, ones, asked), fitted(model, compendium, asked), rtol=0, atol=2e-5)


def test_weighted_means_by_hand():
    """In context a: g (2, 4), h (1, not measured), g+h (5, 5)."""
    compendium = with_weights(two_contexts(), [1, 3, 1, 2, 1, 1])
    asked = query(compendium, [('a', 'g'), ('b', 'g')], ['x', 'y'])
    expected = [[(3 * 2 + 1 + 2 * 5) / 6, (3 * 4 + 2 * 5) / 5], [14, 28]]
    np.testing.assert_allclose(fitted(context_mean(), compendium, asked), expected, rtol=1e-6)
    everywhere = [(3 * 2 + 1 + 2 * 5 + 14) / 7, (3 * 4 + 2 * 5 + 28) / 6]
    np.testing.assert_allclose(fitted(mean(), compendium, asked), [everywhere] * 2, rtol=1e-6)


def test_the_effect_in_other_contexts_is_a_weighted_mean_also_where_profiles_are_many(monkeypatch):
    """g changes x by 1, 2 and 6 in a, b and c, where it has the weights 1, 0.3 and 0.1; k is in c alone."""
    rows = [(c, 'control', [0.0]) for c in 'abc'] + [(c, 'g', [v]) for c, v in zip('abc', (1.0, 2, 6))]
    compendium = assemble([measurements([*rows, ('c', 'k', [5.0])], ['x'])], ['log1p'])
    compendium = with_weights(compendium, [1, 1, 1, 1, 0.3, 0.1, 0.7])
    asked = query(compendium, [('a', 'g'), ('b', 'g'), ('c', 'g'), ('c', 'k'), ('a', 'k')], ['x'])
    expected = [[(0.6 + 0.6) / 0.4], [(1 + 0.6) / 1.1], [(1 + 0.6) / 1.3], [np.nan], [5]]
    for large in (baselines.LARGE_TABLE, 0):
        monkeypatch.setattr(baselines, 'LARGE_TABLE', large)
        np.testing.assert_allclose(fitted(perturbation_mean(), compendium, asked), expected, rtol=1e-5)


@pytest.mark.parametrize('num_wholes', [0, 4])
def test_the_leave_out_error_is_that_of_fitting_again_with_weights(num_wholes):
    """Rows that leave alone, in pairs or threes, against weighted ridge regressions in numpy, also with wholes."""
    rng = np.random.default_rng(2)
    x = (rng.random((12, 5)) < 0.5).astype(float)
    ids = np.array([[*np.flatnonzero(row), *[-1] * (5 - int(row.sum()))] for row in x], np.int32)
    if num_wholes:  # rows 9 and 10 are of none, the others of 0 to 3 in turn
        whole = np.where(np.isin(np.arange(12), (9, 10)), -1, 5 + np.arange(12) % num_wholes)
        ids = np.column_stack([ids, whole]).astype(np.int32)
        x = np.column_stack([x, whole[:, None] == 5 + np.arange(num_wholes)])
    change, weight = rng.normal(size=(12, 3)).astype(np.float32), rng.uniform(0.1, 3, 12).astype(np.float32)
    penalty, trains = rng.uniform(0.3, 2, 5 + num_wholes).astype(np.float32), np.arange(12) != 7
    groups = [(0,), (1, 4), (2, 5, 9), (11, 3)]
    repeats = np.array([[*group, *[0] * (3 - len(group))] for group in groups])
    is_repeat = np.array([[True] * len(group) + [False] * (3 - len(group)) for group in groups])
    left_out = LeftOut(*map(jnp.asarray, (repeats[:, 0], np.ones(4, bool), repeats, is_repeat)))

    def effects(rows):
        gram = x[rows].T @ (weight[rows, None] * x[rows]) + np.diag(penalty)
        return np.linalg.solve(gram, x[rows].T @ (weight[rows, None] * change[rows]))

    regression = Regression(*map(jnp.asarray, (ids, change, trains)), 5, num_wholes, jnp.asarray(weight))
    np.testing.assert_allclose(solve(regression, jnp.asarray(penalty)), effects(trains), rtol=0, atol=2e-5)
    errors = []
    for group in groups:
        without = trains & ~np.isin(np.arange(12), group)
        errors.append(np.linalg.norm(change[group[0]] - x[group[0]] @ effects(without)))
    found = leave_out_error(regression, left_out, jnp.asarray(penalty))
    np.testing.assert_allclose(found, np.mean(errors), rtol=1e-4)
    # With other readouts missing in other rows each has a regression of its own.
    change[0, 1] = np.nan
    found = solve(regression._replace(change=jnp.asarray(change)), jnp.asarray(penalty))
    rows = trains & (np.arange(12) != 0)
    np.testing.assert_allclose(found[:, 1], effects(rows)[:, 1], rtol=0, atol=2e-5)


def test_a_completed_matrix_counts_an_entry_of_weight_2_twice():
    rng = np.random.default_rng(3)
    row, column = (jnp.asarray(each.ravel()[:, None], jnp.int32) for each in np.indices((4, 3)))
    values, counts = jnp.asarray(rng.normal(size=(12, 1)), jnp.float32), rng.integers(1, 4, 12)
    again = np.repeat(np.arange(12), counts)
    weighed = complete(Cells(row, column), values, (4, 3), 2, jnp.array(1.0), jnp.asarray(counts, jnp.float32))
    twice = complete(Cells(row[again], column[again]), values[again], (4, 3), 2, jnp.array(1.0))
    plain = complete(Cells(row, column), values, (4, 3), 2, jnp.array(1.0))
    weighed, twice, plain = (entries(each, Cells(row, column)) for each in (weighed, twice, plain))
    np.testing.assert_allclose(weighed, twice, rtol=0, atol=1e-5)
    assert np.abs(weighed - plain).max() > 0.05


def test_the_shrunken_mean_by_hand():
    values, weight = np.array([-3.0, -1, np.nan, 8], np.float32), np.array([3.0, 1, 5, 1], np.float32)
    chosen = np.array([True, True, True, False])
    average, square = -2.5, (9 * 0.25 + 1 * 2.25) / 16 * 2
    found = shrunken_mean(jnp.asarray(values), jnp.asarray(chosen), jnp.asarray(weight))
    np.testing.assert_allclose(found, average * (1 - square / average**2), rtol=1e-6)
    ones = shrunken_mean(jnp.asarray(values), jnp.asarray(chosen), jnp.ones(4))
    np.testing.assert_allclose(ones, shrunken_mean(jnp.asarray(values), jnp.asarray(chosen)), rtol=1e-6)
    assert shrunken_mean(jnp.asarray(values), jnp.zeros(4, bool), jnp.asarray(weight)) == 0


def test_a_kernel_of_many_profiles_believes_the_heavy_ones():
    """With weights of 3, each of few training perturbations pulls as three profiles do."""
    rng = np.random.default_rng(4)
    rows = [('a', 'control', np.zeros(3))] + [('a', f'g{i}', rng.normal(size=3)) for i in range(9)]
    compendium = assemble([measurements(rows, list('xyz'))], ['log1p'])
    counts = np.array([1, *[3, 1, 2] * 3])
    model, asked = kernel('random'), query_of(compendium.screens[0])
    twice = fitted(model, repeated(compendium, counts), asked)
    np.testing.assert_allclose(fitted(model, with_weights(compendium, counts), asked), twice, rtol=0, atol=1e-4)


def test_weights_of_some_screens_are_1_in_the_others(compendium):
    first, second = compendium.screens
    weight = np.arange(len(first.context), dtype=np.float32)
    some = Compendium((dataclasses.replace(first, weight=weight), second), compendium.vocabulary)
    np.testing.assert_array_equal(flat_weight(some), [*weight, *np.ones(len(second.context))])
    assert flat_weight(compendium) is None


def noisy_screen(seed):
    """Perturbations that do the same in three contexts but for a little, of 2 or 200 cells with a variance of 25."""
    rng = np.random.default_rng(seed)
    genes, rows, cells = [f'g{i}' for i in range(40)], [], []
    truth = {gene: 2 + rng.normal(size=10) for gene in genes}
    for c in 'abc':
        for name in ('control', *genes):
            number = 2000 if name == 'control' else int(rng.choice([2, 200]))
            effect = np.zeros(10) if name == 'control' else truth[name] + 0.2 * rng.normal(size=10)
            rows.append((c, name, effect + 5 / np.sqrt(number) * rng.normal(size=10)))
            cells.append(number)
    error = np.tile(5 / np.sqrt(np.array(cells, np.float32))[:, None], 10)
    made = measurements(rows, [f'r{i}' for i in range(10)])
    made = dataclasses.replace(made, cells=np.array(cells, np.int32), standard_error=error)
    return assemble([made], ['log1p']), truth


@pytest.mark.parametrize('rule', ['cells', 'replicates'])
def test_weights_lower_the_error_where_noise_differs(rule):
    """The effect of each gene in c from a and b, one of which has often a hundredth of the cells."""
    model, ratios = perturbation_mean(), []
    for seed in range(3):
        compendium, truth = noisy_screen(seed)
        (screen,) = compendium.screens
        training = (np.asarray((screen.context < 2) | screen.is_control),)
        asked = query(compendium, [('c', gene) for gene in truth], [f'r{i}' for i in range(10)])
        errors = []
        for each in (weighted(compendium, training, rule), compendium):
            predicted = model.predict(jax.jit(model.fit)(each, training), asked)
            errors.append(np.linalg.norm(np.asarray(predicted) - np.array(list(truth.values())), axis=1).mean())
        ratios.append(errors[0] / errors[1])
    assert max(ratios) < 0.95


def test_knock_outs_of_few_cells_do_less_harm_with_weights(shared, tmp_path):
    """Half of the training knock-outs of Papalexi 2021 keep 3 of their cells; the held-out ones keep all."""
    cells = anndata.read_h5ad(shared / 'papalexi_2021.h5ad')
    names, rng = cells.obs['perturbation'].astype(str).to_numpy(), np.random.default_rng(0)
    data = {**benchmark_papalexi.get_config().data.to_dict(), 'path': str(tmp_path / 'few.h5ad')}
    genes = sorted(set(names) - {'non-targeting'})
    held_out, few = genes[::5], genes[1::2]
    kept = np.ones(len(names), bool)
    for gene in set(few) - set(held_out):
        rows = np.flatnonzero(names == gene)
        kept[rows], kept[rng.choice(rows, 3, replace=False)] = False, True
    cells[kept].write_h5ad(data['path'])
    compendium = load(data)
    (screen,) = compendium.screens
    tested = np.isin(
        compendium.vocabulary.perturbation_names(screen.perturbation), [f'CRISPR-KO_{g}' for g in held_out]
    )
    asked = query_of(screen)
    for model in (context_mean(), own_readout(), linear(10, 0.1, perturbation_embedding='identity')):
        errors = []
        for each in (weighted(compendium, (~tested,), 'cells'), compendium):
            predicted = np.asarray(model.predict(jax.jit(model.fit)(each, (~tested,)), asked))
            errors.append(np.linalg.norm((predicted - screen.values)[tested], axis=1).mean())
        assert errors[0] < 0.9 * errors[1]
