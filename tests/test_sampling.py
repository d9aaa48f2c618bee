import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from screens_for_tests import measurements, two_contexts

from perturbjax.screens.screen import assemble
from perturbjax.training.sampling import pack, shuffled, take


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_shuffling_is_a_bijection(size, seed):
    position = jnp.arange(3000) % size
    index = np.array(jax.jit(shuffled)(position, jnp.int32(size), jnp.uint32(seed)))[:size]
    np.testing.assert_array_equal(np.sort(index), np.arange(size))


def test_shuffling_mixes():
    """Neighbours go far apart, and another seed gives another order."""
    first, other = (np.array(shuffled(jnp.arange(1000), jnp.int32(1000), jnp.uint32(seed))) for seed in (1, 2))
    assert 300 < np.abs(np.diff(first)).mean() < 367
    assert abs(np.corrcoef(first, np.arange(1000))[0, 1]) < 0.1
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.1


def test_every_place_comes_equally_often_over_seeds():
    starts = jax.vmap(lambda seed: shuffled(jnp.arange(1), jnp.int32(10), seed)[0])(jnp.arange(5000, dtype=jnp.uint32))
    counts = np.bincount(np.array(starts), minlength=10)
    assert ((counts - 500) ** 2 / 500).sum() < 30


def test_taking_equals_looking_up():
    rows = [('b', 'control', (1, 2, 3)), ('b', 'g', (4, np.nan, 6))]
    second = measurements(rows, ['q', 'y', 'r'], 'second')
    first = measurements([('a', 'control', (7, 8)), ('a', 'g+h', (9, 10)), ('a', 'h', (0, 0))], ['x', 'y'], 'first')
    compendium = assemble([first, second], ['log1p', 'log1p'])
    chosen = (np.array([True, True, False]), np.array([True, True]))
    batch = jax.device_get(take(pack(compendium, chosen), jnp.arange(10), jnp.arange(10) != 2))
    names = compendium.vocabulary
    found = [
        (names.contexts[c], name, names.readouts[r], float(value), float(weight))
        for c, name, r, value, weight in zip(
            batch.context, names.perturbation_names(batch.perturbation), batch.readout, batch.value, batch.weight
        )
    ]
    assert found == [
        ('a', 'control', 'x', 7, 1),
        ('a', 'control', 'y', 8, 1),
        ('a', 'g+h', 'x', 0, 0),
        ('a', 'g+h', 'y', 10, 1),
        ('b', 'control', 'q', 1, 1),
        ('b', 'control', 'y', 2, 1),
        ('b', 'control', 'r', 3, 1),
        ('b', 'g', 'q', 4, 1),
        ('b', 'g', 'y', 0, 0),
        ('b', 'g', 'r', 6, 1),
    ]


def test_four_bytes_a_value():
    compendium = two_contexts()
    data = pack(compendium, (np.ones(6, bool),))
    assert data.values.nbytes == 4 * compendium.screens[0].values.size


def test_padding_is_small_and_never_taken():
    values = np.random.default_rng(0).normal(size=(67, 31))
    rows = [('a', name, row) for name, row in zip(['control', *(f'g{i}' for i in range(66))], values)]
    data = pack(assemble([measurements(rows, [f'r{i}' for i in range(31)])], ['log1p']), (np.ones(67, bool),))
    assert data.size == 67 * 31
    assert data.size < len(data.values) <= data.size * 33 / 32
    assert np.isnan(data.values[data.size :]).all()
