"""One device's step: what is lazy, in parts or in bfloat16 equals what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.models.lpm import LPM
from perturbjax.screens.screen import assemble
from perturbjax.training import parallel
from perturbjax.training.feed import Feed
from perturbjax.training.parallel import pmap_evaluate, pmap_settle, pmap_steps
from perturbjax.training.placement import numbers, replicate
from perturbjax.training.settings import Settings, members
from perturbjax.training.step import Place, Plan, initialise


@pytest.fixture(scope='module')
def compendium():
    rng = np.random.default_rng(0)
    names = ['control', *(f'g{i}' for i in range(50)), 'g1+g2']
    readouts = [f'r{i}' for i in range(9)]
    rows = [(c, p, rng.normal(size=9)) for c in 'ab' for p in names]
    rows[3][2][4] = np.nan
    return assemble([measurements(rows, readouts)], ['log1p'])


def plan_of(compendium, blocks=6, block=(2, 3), devices=1, dropout=0.25, matmul='float32', **options):
    sizes = (len(getattr(compendium.vocabulary, axis)) for axis in ('contexts', 'perturbations', 'readouts'))
    module = LPM(*sizes, (4, 4, 4), (8, 8), dropout, 'mean', matmul)
    return Plan(module, blocks, block, 4, devices, **options)


DECAYING = Settings(weight_decay=0.1)


def trained(compendium, plan, steps=40, settings=DECAYING, active=None, seed=5):
    """Weights and tally after some steps of the first epoch, on the plan's number of devices."""
    devices = tuple(jax.local_devices()[: plan.devices])
    feed = Feed(compendium, (np.ones(104, bool),), 1, plan, devices)
    (data,) = feed.epoch(0)
    every = members(settings, seed, plan.module.dropout)
    state = replicate(initialise(plan, 2, every.seed), devices)
    active = np.ones(len(every.seed), bool) if active is None else active
    fixed, place = replicate((every, active), devices), Place(*np.zeros(3, np.int32))
    run = pmap_steps(plan, devices)
    state, tally = run(state, data.data, *fixed, place, numbers(devices), np.int32(steps))
    state = pmap_settle(devices)(state, np.int32(0), replicate(every, devices), numbers(devices))
    return jax.device_get((state.weights, tally))


def assert_same(one, other, atol=2e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), one, other)


@pytest.mark.parametrize('devices', [1, 4])
@pytest.mark.parametrize('lazy', [('perturbation',), ('perturbation', 'readout')])
def test_lazy_tables_equal_those_updated_whole(compendium, lazy, devices):
    whole = trained(compendium, plan_of(compendium))
    rows = trained(compendium, plan_of(compendium, lazy=lazy, devices=devices))
    assert_same(rows[0], whole[0], 5e-6)
    np.testing.assert_allclose(rows[1].squared_error, whole[1].squared_error, rtol=1e-5)


@pytest.mark.parametrize(('accumulate', 'devices'), [(2, 1), (4, 2)])
def test_a_batch_in_parts_equals_a_whole_one(compendium, accumulate, devices):
    """6 blocks in 4 parts on 2 devices: some are filled up."""
    whole = trained(compendium, plan_of(compendium))
    assert_same(trained(compendium, plan_of(compendium, accumulate=accumulate, devices=devices))[0], whole[0])


def test_bfloat16_is_near_float32_and_not_the_same(compendium):
    whole = trained(compendium, plan_of(compendium, dropout=0.0), 20)
    rough = trained(compendium, plan_of(compendium, dropout=0.0, matmul='bfloat16'), 20)
    assert {each.dtype for each in jax.tree.leaves(rough[0])} == {np.dtype(np.float32)}
    assert (rough[0]['kernel_0'] != whole[0]['kernel_0']).any()
    np.testing.assert_allclose(rough[1].squared_error, whole[1].squared_error, rtol=0.01)


def test_members_at_once_equal_single_runs(compendium):
    """Seeds and swept settings, with a member that is not active and stays as it was drawn."""
    sweep = {'learning_rate': [0.002, 0.01], 'weight_decay': [0.3]}
    settings = Settings(seeds=2, sweep=sweep)
    plan = plan_of(compendium)
    together = trained(compendium, plan, 10, settings, np.array([True, True, True, False]))[0]
    for number, rate in enumerate((0.002, 0.002, 0.01)):
        single = Settings(learning_rate=rate, weight_decay=0.3)
        alone = trained(compendium, plan, 10, single, seed=5 + number % 2)[0]
        assert_same(own(together, number), alone, 0)
    drawn = jax.device_get(initialise(plan, 2, jnp.uint32([6])).weights)
    assert_same(own(together, 3), drawn, 0)


def own(weights, number):
    """Of weights `[S, ...]` one member's, `[1, ...]`."""
    return jax.tree.map(lambda each: each[number : number + 1], weights)


def test_members_by_vmap_equal_members_in_turn(compendium, monkeypatch):
    """As they are trained on a GPU or TPU."""
    plan = plan_of(compendium, lazy=('perturbation',))
    in_turn = [trained(compendium, plan, 10, seed=seed)[0] for seed in (5, 6)]
    monkeypatch.setattr(parallel, '_over_members', lambda function, devices: jax.vmap(function))
    for compiled in (parallel.pmap_steps, parallel.pmap_settle):
        monkeypatch.setattr(parallel, compiled.__name__, compiled.__wrapped__)
        monkeypatch.setitem(globals(), compiled.__name__, compiled.__wrapped__)
    at_once = trained(compendium, plan, 10, DECAYING._replace(seeds=2))[0]
    for number, alone in enumerate(in_turn):
        assert_same(own(at_once, number), alone)


@pytest.mark.parametrize(('devices', 'blocks', 'block'), [(1, 7, (2, 3)), (4, 10, (1, 1)), (2, 3, (60, 9))])
def test_evaluation_sums_over_every_observation(compendium, devices, blocks, block):
    """Whatever the blocks, and with a number of them that does not divide the observations."""
    plan, where = plan_of(compendium, blocks, block, devices), tuple(jax.local_devices()[:devices])
    feed = Feed(compendium, (np.ones(104, bool),), 1, plan, where)
    (part,) = feed.epoch(0)
    weights = initialise(plan, 2, np.uint32([0])).weights
    tally = pmap_evaluate(plan, where)(part.data, numbers(where), np.int32(part.steps), replicate(weights, where))
    (screen,) = compendium.screens
    grid = screen.context[:, None], screen.perturbation[:, None], screen.readout[None]
    single = jax.tree.map(lambda each: each[0], weights)
    errors = (plan.module.apply({'params': single}, *grid) - screen.values) ** 2
    np.testing.assert_array_equal(tally.observations, [104 * 9 - 1])
    np.testing.assert_allclose(tally.squared_error, [np.nansum(errors)], rtol=1e-5)
