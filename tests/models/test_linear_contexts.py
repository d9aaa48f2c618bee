"""The bilinear model over all contexts, against loops in numpy, and in contexts that nobody perturbed."""

import jax
import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements, query_of

from perturbjax.errors import InputError
from perturbjax.models import linear_contexts, perturbation_mean
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

CONTEXTS, NAMES = [f'c{i:02}' for i in range(14)], [f'g{i}' for i in range(8)]
READOUTS = [*NAMES[:5], 'r0', 'r1']


@pytest.fixture(scope='module')
def vectors():
    return np.random.default_rng(3).normal(size=(len(CONTEXTS), 2)) * [1, 50] + [0, 200]


@pytest.fixture(scope='module')
def path(vectors, tmp_path_factory):
    file = tmp_path_factory.mktemp('contexts') / 'contexts.csv'
    pd.DataFrame(vectors.T, columns=CONTEXTS).to_csv(file, index=False)
    return str(file)


@pytest.fixture(scope='module')
def compendium(vectors):
    """A change is an effect of the perturbation, and its product with the vector of the context."""
    rng = np.random.default_rng(0)
    effect, with_context = rng.normal(size=(8, 7)), rng.normal(size=(8, 2, 7))
    rows = []
    for context, vector in zip(CONTEXTS, (vectors - [0, 200]) / [1, 50], strict=True):
        level = rng.normal(size=7)
        rows.append((context, 'control', level))
        change = effect + np.einsum('j,pjm->pm', vector, with_context)
        rows += [(context, name, level + each) for name, each in zip(NAMES, change, strict=True)]
    return assemble([measurements(rows, READOUTS)], ['log1p'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_context', 0, context='c0[0-2]')


def test_predictions_are_those_of_a_ridge_regression_on_products(compendium, split, path, vectors):
    (screen,), (training,) = compendium.screens, split.mask(TRAIN)
    settings = {'ridge': 0.3, 'readout_embedding': 'identity', 'perturbation_embedding': 'identity'}
    rule = linear_contexts(path, **settings)
    answer = rule.predict(jax.jit(rule.fit)(compendium, split.mask(TRAIN)), query_of(screen))
    ours = vectors[3:]
    context = (vectors - ours.mean(axis=0)) / ours.std(axis=0) / np.sqrt(2)
    parts = np.eye(9)
    parts[0] = 0  # control
    z = np.array([np.kron(parts[p], [1, *context[c]]) for c, (p,) in zip(screen.context, screen.perturbation)])
    levels = {c: screen.values[(screen.context == c) & screen.is_control][0] for c in range(len(CONTEXTS))}
    change = screen.values - np.array([levels[c] for c in screen.context])
    mean = change[training].mean(axis=0)
    left = (change[training] - mean) / 1.3  # G is the identity: (G'G + l I)^-1 = 1 / (1 + l)
    weights = np.linalg.solve(z[training].T @ z[training] + 0.3 * np.eye(27), z[training].T @ left)
    expected = z @ weights + mean + np.array([levels[c] for c in screen.context])
    np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-3)


def test_a_context_that_nobody_perturbed_is_predicted(compendium, split, path):
    (screen,), (tested,) = compendium.screens, split.mask(TEST)

    def l2(rule):
        answer = rule.predict(jax.jit(rule.fit)(compendium, split.mask(TRAIN)), query_of(screen))
        return np.linalg.norm((np.asarray(answer) - screen.values)[tested], axis=1).mean()

    settings = {'ridge': 0.01, 'perturbation_embedding': 'identity', 'readout_embedding': 'identity'}
    assert l2(linear_contexts(path, **settings)) < 0.3 * l2(perturbation_mean())


def test_a_context_without_a_vector_has_no_answer(compendium, split, vectors, tmp_path):
    pd.DataFrame(vectors[1:].T, columns=CONTEXTS[1:]).to_csv(tmp_path / 'some.csv', index=False)
    rule, (screen,) = linear_contexts(str(tmp_path / 'some.csv'), perturbation_embedding='identity'), compendium.screens
    answer = rule.predict(jax.jit(rule.fit)(compendium, split.mask(TRAIN)), query_of(screen))
    np.testing.assert_array_equal(np.isnan(answer).all(axis=1), screen.context == 0)
    np.testing.assert_array_equal(np.isnan(answer).any(axis=1), screen.context == 0)


def test_it_needs_an_embedding_of_contexts():
    with pytest.raises(InputError, match='context_embedding: there is none from training; name a file'):
        linear_contexts('training')
