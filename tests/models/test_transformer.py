"""The encoder block against plain numpy, and what holds for any weights."""

import jax
import numpy as np
import pytest

from perturbjax.models.transformer import Block, Encoder, Table

B, S, D, HEADS = 2, 5, 6, 3


@pytest.fixture
def x():
    return np.asarray(jax.random.normal(jax.random.key(1), (B, S, D)))


def normed(x, norm, epsilon):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + epsilon) * norm['scale'] + norm['bias']


def applied(x, layer):
    return x @ np.asarray(layer['kernel']) + np.asarray(layer['bias'])


def looked(x, weights, shown):
    """Row by row, head by head, place by place."""
    query, key, value = np.split(applied(x, weights['in_proj']), 3, axis=-1)
    found, size = np.zeros_like(x), D // HEADS
    for row, place, head in np.ndindex(B, S, HEADS):
        own = slice(head * size, (head + 1) * size)
        seen = np.flatnonzero(shown[row])
        share = np.exp([query[row, place, own] @ key[row, other, own] / size**0.5 for other in seen])
        found[row, place, own] = share / share.sum() @ value[row, seen, own]
    return applied(found, weights['out_proj'])


def test_a_block_is_what_its_formula_says(x):
    """With Geneformer's activation and epsilon."""
    shown = np.array([[True] * S, [True, True, False, True, False]])
    block = Block(HEADS, 7, activation=lambda x: jax.nn.gelu(x, approximate=False), epsilon=1e-12)
    weights = block.init(jax.random.key(0), x, shown)['params']
    weights = jax.tree.map(
        lambda each: (
            np.asarray(each) + np.float32(0.1) * np.cos(np.arange(each.size)).reshape(each.shape).astype(np.float32)
        ),
        weights,
    )
    middle = normed(x + looked(x, weights['attention'], shown), weights['norm_1'], 1e-12)
    inner = np.asarray(jax.nn.gelu(applied(middle, weights['linear_1']), approximate=False))
    expected = normed(middle + applied(inner, weights['linear_2']), weights['norm_2'], 1e-12)
    np.testing.assert_allclose(block.apply({'params': weights}, x, shown), expected, atol=2e-6)


def test_places_have_no_order_and_hidden_ones_do_not_matter(x):
    shown = np.broadcast_to(np.array([True, True, False, True, True]), (B, S))
    encoder = Encoder(2, HEADS, 7)
    variables = encoder.init(jax.random.key(0), x, shown)
    run = jax.jit(encoder.apply)
    found, order = run(variables, x, shown), np.array([3, 0, 4, 2, 1])
    np.testing.assert_allclose(run(variables, x[:, order], shown[:, order]), found[:, order], atol=1e-6)
    other = x.copy()
    other[:, 2] = 9
    visible = np.array([0, 1, 3, 4])
    np.testing.assert_allclose(run(variables, other, shown)[:, visible], found[:, visible], atol=1e-6)


def test_blocks_differ_and_come_one_after_the_other(x):
    shown = np.ones((B, S), bool)
    encoder = Encoder(2, HEADS, 7)
    variables = encoder.init(jax.random.key(0), x, shown)
    stacked = variables['params']['blocks']
    one, two = ({'params': jax.tree.map(lambda each, i=i: each[i], stacked)} for i in range(2))
    assert np.abs(np.subtract(*stacked['linear_1']['kernel'])).max() > 0.1
    block = Block(HEADS, 7)
    expected = block.apply(two, block.apply(one, x, shown), shown)
    np.testing.assert_allclose(encoder.apply(variables, x, shown), expected, atol=1e-6)


def test_one_vector_of_a_table_has_no_gradient():
    table = Table(3, 2, 1, jax.nn.initializers.ones)
    variables = table.init(jax.random.key(0), np.array([0]))
    gradient = jax.grad(lambda own: table.apply(own, np.array([0, 1, 1, 0])).sum())(variables)
    np.testing.assert_array_equal(gradient['params']['table'], [[2, 2], [0, 0], [0, 0]])
