import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from screens_for_tests import measurements

from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training.sampling import Observations, draw, num_positions, shuffled
from perturbjax.training.sharding import make_layout, pack

SHARDS = 4


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


def test_every_position_comes_equally_often_over_seeds():
    starts = jax.vmap(lambda seed: shuffled(jnp.arange(1), jnp.int32(10), seed)[0])(jnp.arange(5000, dtype=jnp.uint32))
    counts = np.bincount(np.array(starts), minlength=10)
    assert ((counts - 500) ** 2 / 500).sum() < 30


@pytest.fixture(scope='module')
def compendium():
    """Two screens with different panels, combinations, and three values that are not measured."""
    rng = np.random.default_rng(0)
    names = ['control', *(f'g{i}' for i in range(20)), 'g1+g2']

    def screen(name, contexts, readouts):
        return measurements([(c, p, rng.normal(size=len(readouts))) for c in contexts for p in names], readouts, name)

    readouts = [f'r{i}' for i in range(14)]
    made = assemble([screen('first', 'ab', readouts[:11]), screen('second', 'c', readouts[5:])], ['log1p'] * 2)
    made.screens[0].values[[0, 7, 30], [0, 3, 10]] = np.nan
    return made


def owned(compendium, devices, device):
    """The observations of one of several devices, and how many positions there are, for a block."""
    plan = make_layout(compendium, [np.ones(len(each.values), bool) for each in compendium.screens], SHARDS)
    own = range(device, SHARDS, devices)
    tables = plan.context, plan.perturbation, plan.readout
    data = Observations(pack(compendium, plan, own), *tables, type(plan.pieces)(*(each[own] for each in plan.pieces)))
    return jax.tree.map(jnp.asarray, data), plan.pieces


def epoch(compendium, block, devices=1, seed=3):
    """What all devices draw in an epoch, 8 positions at a time: (context, perturbation, readout, value) of weight 1."""
    seen = []
    for device in range(devices):
        data, pieces = owned(compendium, devices, device)
        count = num_positions(pieces, block)
        take = jax.jit(draw, static_argnums=(1, 5, 6))
        for first in range(0, -(-count // devices), 8):
            position = device + devices * (first + jnp.arange(8, dtype=jnp.uint32))
            batch = jax.device_get(take(data, block, jnp.uint32(seed), position, position < count, SHARDS, devices))
            seen.append(observations(batch))
    return [each for part in seen for each in part]


def observations(batch):
    shape = batch.value.shape
    perturbation = np.broadcast_to(batch.perturbation, (*shape, batch.perturbation.shape[-1])).reshape(-1, 2)
    columns = (np.broadcast_to(each, shape).ravel() for each in (batch.context, batch.readout, batch.value))
    return [
        (int(c), tuple(p.tolist()), int(r), float(v))
        for c, r, v, p, weight in zip(*columns, perturbation, batch.weight.ravel())
        if weight
    ]


def everything(compendium):
    return [
        (int(c), tuple(p.tolist()), int(r), float(value))
        for screen in compendium.screens
        for c, p, row in zip(screen.context, screen.perturbation, screen.values)
        for r, value in zip(screen.readout, row)
        if not np.isnan(value)
    ]


@pytest.mark.parametrize('block', [(1, 1), (3, 4), (10, 1), (50, 50)])
def test_every_measured_observation_comes_once_in_an_epoch(compendium, block):
    assert sorted(epoch(compendium, block)) == sorted(everything(compendium))


@pytest.mark.parametrize('devices', [2, 4])
def test_devices_share_the_same_epoch(compendium, devices):
    assert sorted(epoch(compendium, (3, 4), devices)) == sorted(everything(compendium))


def test_another_seed_gives_another_order(compendium):
    orders = [epoch(compendium, (1, 1), seed=seed) for seed in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]


def test_a_block_is_a_random_set_of_rows_and_columns(compendium):
    """Rows that stand together in the screen seldom meet in a block, and not the same ones with every seed."""
    data, _ = owned(compendium, 1, 0)
    first = jax.jit(lambda seed: draw(data, (4, 4), seed, jnp.uint32([0]), jnp.array([True]), SHARDS, 1))
    met = [first(jnp.uint32(seed)) for seed in range(40)]
    rows = {tuple(sorted(np.ravel(batch.perturbation[0, :, 0, 0]).tolist())) for batch in met}
    columns = {tuple(sorted(np.ravel(batch.readout).tolist())) for batch in met}
    assert len(rows) > 15
    assert len(columns) > 30


def test_an_observation_has_the_weight_of_its_profile(compendium):
    """Weights by screen, context and perturbation; missing values and what fills up stay at 0."""
    screens = compendium.screens
    own = [np.linspace(0.5, 2, len(each.context), dtype=np.float32) for each in screens]
    changed = [dataclasses.replace(screen, weight=weight) for screen, weight in zip(screens, own, strict=True)]
    plan = make_layout(
        Compendium((changed[0], changed[1]), compendium.vocabulary), [mask_of(s) for s in screens], SHARDS
    )
    tables = plan.context, plan.perturbation, plan.readout
    data = Observations(pack(compendium, plan, range(SHARDS)), *tables, plan.pieces, None, plan.weight)
    data = jax.tree.map(jnp.asarray, data)
    position = jnp.arange(num_positions(plan.pieces, (3, 4)), dtype=jnp.uint32)
    batch = jax.device_get(draw(data, (3, 4), jnp.uint32(3), position, position >= 0, SHARDS, 1))
    expected = {
        (int(c), tuple(p.tolist()), int(r)): weight
        for screen, weights in zip(screens, own, strict=True)
        for c, p, weight in zip(screen.context, screen.perturbation, weights)
        for r in screen.readout
    }
    shape, names = batch.value.shape, (batch.context, batch.readout, batch.weight)
    columns = [np.broadcast_to(each, shape).ravel() for each in names]
    perturbation = np.broadcast_to(batch.perturbation, (*shape, 2)).reshape(-1, 2)
    found = [(expected[int(c), tuple(p.tolist()), int(r)], w) for c, r, w, p in zip(*columns, perturbation) if w]
    assert len(found) == len(everything(compendium))
    np.testing.assert_array_equal(*zip(*found))


def mask_of(screen):
    return np.ones(len(screen.values), bool)
