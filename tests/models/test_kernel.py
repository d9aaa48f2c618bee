"""The kernel rule against regressions in numpy, fitted again without what is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements, query

from perturbjax.errors import InputError
from perturbjax.models import context_mean, kernel
from perturbjax.models.kernel import PENALTIES, Rows, leave_out_errors, squared_distances
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

READOUTS = list('vwxyz')
GENES = [f'g{i}' for i in range(16)]
VECTORS = pd.DataFrame(np.random.default_rng(3).normal(size=(2, 15)), columns=GENES[:15])  # none for the last


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp('embedding') / 'vectors.tsv'
    VECTORS.to_csv(file, sep='\t', index=False)
    return str(file)


@pytest.fixture(scope='module')
def compendium():
    """Two contexts; effects are smooth in the embedding, but for some noise."""
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=(2, 5))
    effect = {
        gene: np.tanh(VECTORS[gene].to_numpy()) @ slopes if gene in VECTORS else rng.normal(size=5) for gene in GENES
    }
    effect |= {'control': np.zeros(5), 'g0+g1': effect['g0'] + effect['g1']}
    level = {'a': 1.0, 'b': 4.0}
    rows = [
        (context, name, level[context] + effect[name] + rng.normal(0, 0.1, 5))
        for context in 'ab'
        for name in effect
        if (context, name) != ('b', 'g3')
    ]
    return assemble([measurements(rows, READOUTS)], ['log1p'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_single', 1, test=0.25)


def in_numpy(compendium, split, length, penalty, asked):
    """Predictions of the rule with that length and penalty, by one regression on all training perturbations."""
    table, values = compendium.table(), np.asarray(compendium.screens[0].values, float)
    used = (split.roles[0] == TRAIN) & (table['order'] > 0)
    means = {context: values[used & (table['context'] == context)].mean(axis=0) for context in 'ab'}
    embedded = {name: sum(VECTORS[part] for part in name.split('+')).to_numpy() for name in asked}
    left = {}
    for i in np.flatnonzero(used):
        name = table['perturbation'][i]
        if 'g15' not in name:
            left.setdefault(name, []).append(values[i] - means[table['context'][i]])
    x = np.array([sum(VECTORS[part] for part in name.split('+')) for name in left])
    r, n = np.array([np.mean(each, axis=0) for each in left.values()]), np.array([len(each) for each in left.values()])

    def near(y):
        return np.exp(-((x[:, None] - y[None]) ** 2).sum(axis=2) / (2 * length**2))

    a = np.linalg.solve(near(x) + penalty * np.diag(1 / n), r)
    return {name: (means, near(vector[None])[:, 0] @ a) for name, vector in embedded.items()}


def test_predictions_are_those_of_a_regression_in_numpy(compendium, split, path):
    rule = kernel(path)
    params = jax.jit(rule.fit)(compendium, split.mask(TRAIN))
    length = float(params.screens[0].length)
    asked = ['g0', 'g3', 'g14', 'g0+g1', 'g2+g5']
    found = {
        context: np.asarray(rule.predict(params, query(compendium, [(context, name) for name in asked], READOUTS)))
        for context in 'ab'
    }
    errors = []
    for penalty in PENALTIES:
        expected = in_numpy(compendium, split, length, penalty, asked)
        errors.append(
            max(
                np.abs(found[context][i] - (expected[name][0][context] + expected[name][1])).max()
                for context in 'ab'
                for i, name in enumerate(asked)
            )
        )
    assert min(errors) < 1e-4
    assert sorted(errors)[1] > 1e-3  # one penalty alone is that of the rule


@pytest.mark.parametrize('length', [0.3, 1.0, 3.0])
def test_the_leave_out_error_is_that_of_fitting_again(length):
    rng = np.random.default_rng(5)
    x, r = rng.normal(size=(9, 3)), rng.normal(size=(9, 4))
    n, like = np.array([1, 2, 1, 3, 1, 0, 1, 2, 1.0]), np.array([1, 1, 0, 1, 1, 1, 0, 1, 1], bool)
    rows = Rows(*(jnp.asarray(each, jnp.float32) for each in (x, r, n)), jnp.asarray(like))
    found = leave_out_errors(rows, squared_distances(rows.vectors, rows.vectors), jnp.float32(length))
    kernel_of = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=2) / (2 * length**2))
    for penalty, error in zip(PENALTIES, found, strict=True):
        left_out = []
        for i in np.flatnonzero(like & (n > 0)):
            kept = np.flatnonzero((np.arange(9) != i) & (n > 0))
            a = np.linalg.solve(kernel_of[np.ix_(kept, kept)] + penalty * np.diag(1 / n[kept]), r[kept])
            left_out.append(np.linalg.norm(r[i] - kernel_of[i, kept] @ a))
        np.testing.assert_allclose(error, np.mean(left_out), rtol=2e-3)


def error_of(rule, compendium, split):
    table = compendium.table()
    tested = np.flatnonzero(split.roles[0] == TEST)
    tested = tested[[name != 'g15' for name in table['perturbation'][tested]]]
    params = jax.jit(rule.fit)(compendium, split.mask(TRAIN))
    pairs = list(zip(table['context'][tested], table['perturbation'][tested]))
    predicted = np.asarray(rule.predict(params, query(compendium, pairs, READOUTS)))
    return np.linalg.norm(predicted - compendium.screens[0].values[tested], axis=1).mean()


def test_embeddings_that_know_what_perturbations_do_beat_the_mean_and_random_ones_do_no_harm(compendium, path):
    ratios = []
    for seed in range(4):
        split = make_split(compendium, 'unseen_single', seed, test=0.25)
        mean = error_of(context_mean(), compendium, split)
        ratios.append([error_of(rule, compendium, split) / mean for rule in (kernel(path), kernel('random'))])
    knows, random = np.mean(ratios, axis=0)
    assert knows < 0.6
    assert random < 1.1


def test_without_an_embedding_there_is_no_answer(compendium, split, path):
    rule = kernel(path)
    params = rule.fit(compendium, split.mask(TRAIN))
    found = rule.predict(
        params, query(compendium, [('a', 'g15'), ('a', 'g0+g15'), ('a', 'g0'), ('a', 'control')], READOUTS)
    )
    assert np.isnan(found).all(axis=1).tolist() == [True, True, False, False]
    mean = context_mean().predict(
        context_mean().fit(compendium, split.mask(TRAIN)), query(compendium, [('a', 'g0')], READOUTS)
    )
    np.testing.assert_allclose(found[3], mean[0], rtol=1e-5)


def test_nor_is_there_in_a_program_for_many_queries(tmp_path):
    """In which XLA takes the maximum of NaN and 0 for 0, so that such a perturbation would be near to all others."""
    names, rng = [f'g{i}' for i in range(300)], np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(32, 299)), columns=names[1:]).to_csv(tmp_path / 'v.tsv', sep='\t', index=False)
    rows = [('a', 'control', [0.0]), *(('a', name, rng.normal(size=1)) for name in names)]
    compendium = assemble([measurements(rows, ['v'])], ['log1p'])
    rule = kernel(str(tmp_path / 'v.tsv'))
    params = rule.fit(compendium, (np.ones(301, bool),))
    found = np.asarray(jax.jit(rule.predict)(params, query(compendium, [('a', name) for name in names], ['v'])))
    assert np.flatnonzero(np.isnan(found[:, 0])).tolist() == [0]


def test_two_masks_in_one_vmap_are_two_fits(compendium, path):
    rule = kernel(path)
    masks = [make_split(compendium, 'unseen_single', seed, test=0.25).mask(TRAIN) for seed in (1, 2)]
    together = jax.vmap(rule.fit, in_axes=(None, 0))(compendium, tuple(map(np.stack, zip(*masks))))
    for i, mask in enumerate(masks):
        alone = rule.fit(compendium, mask)
        asked = query(compendium, [('b', 'g3'), ('a', 'g1')], READOUTS)
        both = rule.predict(jax.tree.map(lambda leaf, i=i: leaf[i], together), asked)
        np.testing.assert_allclose(both, rule.predict(alone, asked), rtol=1e-3, atol=1e-4)


def test_it_cannot_learn_its_own_embedding():
    with pytest.raises(InputError, match=r'models.kernel.embedding: there is none from training'):
        kernel('training')
