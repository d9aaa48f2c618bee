"""Rows caught up at once, against AdamW that moves every row in every step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from perturbjax.training import optimizer as rows_of
from perturbjax.training.optimizer import ADAM, B1, B2, EPSILON, descend
from perturbjax.training.train_state import TrainState

RATE, DECAY = 0.01, 0.1


def dense(rows, gradients):
    """torch's AdamW over the whole table, by optax."""
    optimizer = optax.adamw(RATE, b1=B1, b2=B2, eps=EPSILON, weight_decay=DECAY)

    @jax.jit
    def step(carry, gradient):
        weights, state = carry
        change, state = optimizer.update(gradient, state, weights)
        return (optax.apply_updates(weights, change), state), None

    (weights, state), _ = jax.lax.scan(step, (rows, optimizer.init(rows)), gradients)
    return weights, state[0]


@pytest.mark.parametrize(('touched', 'missed'), [(1, 1), (1, 3), (3, 40), (20, 400), (500, 1500)])
def test_rows_caught_up_equal_those_moved_in_every_step(touched, missed):
    """The first two rows had gradients in the first steps, and then none; the last never."""
    rng = np.random.default_rng(0)
    gradients = np.zeros((touched + missed, 3, 5), np.float32)
    gradients[:touched, :2] = rng.normal(size=(touched, 2, 5)) * [[[1.0], [1e-6]]]
    weights = jnp.array(rng.normal(size=(3, 5)), jnp.float32)
    before, moments = dense(weights, jnp.array(gradients[:touched]))
    expected, final = dense(weights, jnp.array(gradients))
    rows = rows_of.Rows(before, moments.mu, moments.nu)
    now = jnp.int32(touched + missed)
    caught = jax.jit(rows_of.catch_up)(rows, jnp.full(3, touched), now, RATE, DECAY)
    np.testing.assert_allclose(caught.weights, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(caught.mean, final.mu, rtol=2e-4, atol=1e-30)
    np.testing.assert_allclose(caught.square, final.nu, rtol=2e-4, atol=1e-30)


def test_rows_that_missed_nothing_stay():
    rows = rows_of.Rows(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.ones((2, 3)))
    caught = rows_of.catch_up(rows, jnp.array([7, 7]), jnp.int32(7), RATE, DECAY)
    jax.tree.map(np.testing.assert_array_equal, caught, rows)


def test_distinct_rows_and_their_numbers():
    ids = jnp.array([[4, -1], [2, 4], [0, 2]])
    among = rows_of.distinct(ids, 9)
    np.testing.assert_array_equal(among, [0, 2, 4, 9, 9, 9])
    np.testing.assert_array_equal(rows_of.renumber(ids, among), [[2, -1], [1, 2], [0, 1]])


def test_rows_past_the_end_are_none():
    weights = {'perturbation': jnp.arange(6.0).reshape(3, 2), 'other': jnp.ones(1)}
    state = TrainState(weights, {}, ADAM.init(weights), {'perturbation': jnp.zeros(3, jnp.int32)})
    ids = {'perturbation': jnp.array([2, 3, 3])}
    gathered = rows_of.gather_rows(state, ids, RATE, DECAY)
    np.testing.assert_array_equal(gathered.weights['perturbation'], [[4, 5], [0, 0], [0, 0]])
    moved = descend(gathered, jax.tree.map(jnp.ones_like, gathered.weights), 0.5, 0.0)
    back = rows_of.scatter_rows(state, ids, moved)
    np.testing.assert_allclose(back.weights['perturbation'], [[0, 1], [2, 3], [3.5, 4.5]], rtol=1e-6)
    np.testing.assert_array_equal(back.row_steps['perturbation'], [0, 0, 1])
