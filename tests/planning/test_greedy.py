"""The greedy batch against covariances computed anew in numpy for every candidate, and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from perturbjax.planning.greedy import Effects, Rows, choose, gram, quadratic


def dense(rows, num_effects):
    """x as [B, T, F]."""
    made = np.zeros((*rows.value.shape[:2], num_effects))
    for (b, t, j), value in np.ndenumerate(rows.value):
        made[b, t, rows.ids[t, j]] += value
    return made


def posterior(covariance, noise, measured):
    """The covariance once the rows [k, F] are measured, from the precisions."""
    return np.linalg.inv(np.linalg.inv(covariance) + measured.T @ measured / noise)


def greedy_in_numpy(effects, candidates, targets, size):
    """Chooses by the sum of the targets' variances, with every candidate added in turn."""
    num_effects = effects.covariance.shape[-1]
    x, y = dense(candidates, num_effects), dense(targets, num_effects)

    def total(chosen):
        parts = []
        for b in range(len(x)):
            left = posterior(effects.covariance[b], effects.noise[b], x[b, chosen])
            parts.append(effects.unit[b] * np.einsum('tf,fg,tg->', y[b], left, y[b]))
        return sum(parts)

    chosen, reductions, before = [], [], total([])
    for _ in range(size):
        now = total(chosen)
        gains = [now - total([*chosen, j]) if j not in chosen else -np.inf for j in range(x.shape[1])]
        chosen.append(int(np.argmax(gains)))
        reductions.append(max(gains))
    return chosen, reductions, before


@pytest.fixture(scope='module')
def problem():
    """Two blocks of five effects, 12 candidates and 7 targets; a row may have an effect twice."""
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(2, 5, 5))
    covariance = factor @ factor.swapaxes(1, 2) + 0.1 * np.eye(5)
    effects = Effects(covariance, np.array([0.5, 2.0]), np.array([1.0, 0.3]))
    candidates, targets = (Rows(rng.integers(0, 5, (number, 2)), rng.normal(size=(2, number, 2))) for number in (12, 7))
    return Effects(*map(jnp.float32, effects)), candidates, targets


def in_float32(rows):
    return Rows(jnp.int32(rows.ids), jnp.float32(rows.value))


def test_the_batch_is_that_of_refitting_with_every_candidate(problem):
    effects, candidates, targets = problem
    found = choose(effects, in_float32(candidates), in_float32(targets), size=6)
    exact = Effects(*(np.asarray(each, float) for each in effects))
    chosen, reductions, before = greedy_in_numpy(exact, candidates, targets, 6)
    assert found.row.tolist() == chosen
    np.testing.assert_allclose(found.reduction, reductions, rtol=2e-3)
    np.testing.assert_allclose(found.before, before, rtol=1e-5)


def test_three_pairs_by_hand():
    """Effects 0 and 1 with variances 4 and 1, noise 1; rows are effect 0 twice, and effect 1.

    Effect 0: 4 * 4 / (1 + 4) = 3.2 for each of two rows, 6.4. Effect 1: 1 / 2 for one row. Then 0.8 is left of effect
    0, and measuring it again would take 2 * 0.8^2 / 1.8 = 0.711 off, which is more than 0.5.
    """
    effects = Effects(jnp.diag(jnp.array([4.0, 1.0]))[None], jnp.ones(1), jnp.ones(1))
    rows = Rows(jnp.array([[0], [0], [1]]), jnp.ones((1, 3, 1)))
    found = choose(effects, rows, rows, size=3)
    assert found.row.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.before, 9)
    np.testing.assert_allclose(found.variance, [4, 0.8, 1], rtol=1e-6)
    np.testing.assert_allclose(found.reduction, [6.4, 2 * 0.64 / 1.8, 0.5], rtol=1e-6)


def test_two_candidates_that_are_alike_are_not_both_first():
    effects = Effects(jnp.diag(jnp.array([4.0, 3.0]))[None], jnp.full(1, 0.1), jnp.ones(1))
    rows = Rows(jnp.array([[0], [0], [1]]), jnp.ones((1, 3, 1)))
    assert choose(effects, rows, rows, size=2).row.tolist() == [0, 2]


def test_what_tells_nothing_is_not_chosen():
    effects = Effects(jnp.eye(2)[None], jnp.ones(1), jnp.ones(1))
    rows = Rows(jnp.array([[0], [1]]), jnp.array([[[0.0], [1.0]]]))
    found = choose(effects, rows, rows, size=3)
    assert found.row.tolist() == [1, -1, -1]
    assert found.reduction.tolist() == [0.5, 0, 0]


def test_without_noise_one_measurement_tells_all():
    effects = Effects(jnp.eye(1)[None], jnp.zeros(1), jnp.ones(1))
    rows = Rows(jnp.zeros((2, 1), int), jnp.ones((1, 2, 1)))
    found = choose(effects, rows, rows, size=2)
    assert found.row.tolist() == [0, -1]
    assert found.reduction.tolist() == [2, 0]


def test_products_are_those_of_dense_rows(problem):
    effects, candidates, _ = problem
    x = dense(candidates, 5)
    expected = np.einsum('btf,bfg,btg->bt', x, effects.covariance, x)
    np.testing.assert_allclose(quadratic(effects.covariance, in_float32(candidates)), expected, rtol=1e-4)
    np.testing.assert_allclose(gram(in_float32(candidates), 5), np.einsum('btf,btg->bfg', x, x), rtol=1e-4, atol=1e-5)
