"""One device's step: what is lazy, in parts or in bfloat16 equals what is not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.models.lpm import lpm_released
from perturbjax.models.model import Fitted, Query
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training import train_step
from perturbjax.training.input_pipeline import InputPipeline, device_indices, replicate
from perturbjax.training.settings import TrainingSettings, members
from perturbjax.training.train_step import (
    StepConfig,
    StepIndex,
    init_states,
    pmap_evaluate,
    pmap_flush,
    pmap_train_steps,
)


@pytest.fixture(scope='module')
def compendium():
    rng = np.random.default_rng(0)
    names = ['control', *(f'g{i}' for i in range(50)), 'g1+g2']
    readouts = [f'r{i}' for i in range(9)]
    rows = [(c, p, rng.normal(size=9)) for c in 'ab' for p in names]
    rows[3][2][4] = np.nan
    return assemble([measurements(rows, readouts)], ['log1p'])


def config_of(compendium, blocks=6, block=(2, 3), devices=1, dropout=0.25, matmul='float32', **options):
    learner = lpm_released(4, (8, 8), dropout, 'mean', matmul).learner
    return StepConfig(learner, blocks, block, 4, devices, has_dropout=dropout > 0, **options)


def constants_of(compendium, config):
    return config.learner.prepare(compendium, (np.ones(104, bool),))


DECAYING = TrainingSettings(weight_decay=0.1)


def trained(compendium, config, steps=40, settings=DECAYING, active=None, seed=5):
    """Weights and metrics after some steps of the first epoch, on the config's number of devices."""
    devices = tuple(jax.local_devices()[: config.num_devices])
    (chunk,) = InputPipeline(compendium, (np.ones(104, bool),), 1, config, devices).epoch(0)
    every, constants = members(settings, seed, config.learner.dropout), constants_of(compendium, config)
    state = replicate(init_states(config.learner, config.row_tables, constants, every.seed), devices)
    active = np.ones(len(every.seed), bool) if active is None else active
    fixed, index = replicate((constants, every, active), devices), StepIndex(*np.zeros(3, np.int32))
    run, indices = pmap_train_steps(config, devices), device_indices(devices)
    state, metrics = run(state, chunk.data, *fixed, index, indices, np.int32(steps))
    state = pmap_flush(devices)(state, np.int32(0), replicate(every, devices), indices)
    return jax.device_get((state.weights, metrics))


def assert_same(one, other, atol=2e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), one, other)


@pytest.mark.parametrize('devices', [1, 4])
@pytest.mark.parametrize('tables', [('perturbation',), ('perturbation', 'readout')])
def test_tables_updated_row_by_row_equal_those_updated_whole(compendium, tables, devices):
    whole = trained(compendium, config_of(compendium))
    rows = trained(compendium, config_of(compendium, row_tables=tables, devices=devices))
    assert_same(rows[0], whole[0], 5e-6)
    np.testing.assert_allclose(rows[1].loss, whole[1].loss, rtol=1e-5)


@pytest.mark.parametrize(('accum_steps', 'devices'), [(2, 1), (4, 2)])
def test_a_batch_in_parts_equals_a_whole_one(compendium, accum_steps, devices):
    """6 blocks in 4 parts on 2 devices: some are filled up."""
    whole = trained(compendium, config_of(compendium))
    assert_same(trained(compendium, config_of(compendium, accum_steps=accum_steps, devices=devices))[0], whole[0])


def test_bfloat16_is_near_float32_and_not_the_same(compendium):
    whole = trained(compendium, config_of(compendium, dropout=0.0), 20)
    rough = trained(compendium, config_of(compendium, dropout=0.0, matmul='bfloat16'), 20)
    assert {each.dtype for each in jax.tree.leaves(rough[0])} == {np.dtype(np.float32)}
    assert (rough[0]['kernel_0'] != whole[0]['kernel_0']).any()
    np.testing.assert_allclose(rough[1].loss, whole[1].loss, rtol=0.01)


def test_members_at_once_equal_single_runs(compendium):
    """Seeds and swept settings, with a member that is not active and stays as it was drawn."""
    sweep = {'learning_rate': [0.002, 0.01], 'weight_decay': [0.3]}
    settings = TrainingSettings(seeds=2, sweep=sweep)
    config = config_of(compendium)
    together = trained(compendium, config, 10, settings, np.array([True, True, True, False]))[0]
    for number, rate in enumerate((0.002, 0.002, 0.01)):
        single = TrainingSettings(learning_rate=rate, weight_decay=0.3)
        alone = trained(compendium, config, 10, single, seed=5 + number % 2)[0]
        assert_same(own(together, number), alone, 0)
    constants = constants_of(compendium, config)
    drawn = jax.device_get(init_states(config.learner, (), constants, jnp.uint32([6])).weights)
    assert_same(own(together, 3), drawn, 0)


def own(weights, number):
    """Of weights `[S, ...]` one member's, `[1, ...]`."""
    return jax.tree.map(lambda each: each[number : number + 1], weights)


def test_members_by_vmap_equal_members_in_turn(compendium, monkeypatch):
    """As they are trained on a GPU or TPU."""
    config = config_of(compendium, row_tables=('perturbation',))
    in_turn = [trained(compendium, config, 10, seed=seed)[0] for seed in (5, 6)]
    monkeypatch.setattr(train_step, '_over_members', lambda function, devices: jax.vmap(function))
    for compiled in (train_step.pmap_train_steps, train_step.pmap_flush):
        monkeypatch.setattr(train_step, compiled.__name__, compiled.__wrapped__)
        monkeypatch.setitem(globals(), compiled.__name__, compiled.__wrapped__)
    at_once = trained(compendium, config, 10, DECAYING._replace(seeds=2))[0]
    for number, alone in enumerate(in_turn):
        assert_same(own(at_once, number), alone)


@pytest.mark.parametrize(('devices', 'blocks', 'block'), [(1, 7, (2, 3)), (4, 10, (1, 1)), (2, 3, (60, 9))])
def test_evaluation_sums_over_every_observation(compendium, devices, blocks, block):
    """Whatever the blocks, and with a number of them that does not divide the observations."""
    config, where = config_of(compendium, blocks, block, devices), tuple(jax.local_devices()[:devices])
    (chunk,) = InputPipeline(compendium, (np.ones(104, bool),), 1, config, where).epoch(0)
    constants = constants_of(compendium, config)
    weights = init_states(config.learner, (), constants, np.uint32([0])).weights
    fixed, steps = replicate((constants, weights), where), np.int32(chunk.steps)
    metrics = pmap_evaluate(config, where)(chunk.data, fixed[0], device_indices(where), steps, fixed[1], {})
    (screen,) = compendium.screens
    query = Query(screen.context, screen.perturbation, screen.readout)
    errors = (lpm_released(4, (8, 8)).predict(Fitted(weights, {}, constants), query) - screen.values) ** 2
    np.testing.assert_array_equal(metrics.observations, [104 * 9 - 1])
    np.testing.assert_allclose(metrics.loss, [np.nansum(errors)], rtol=1e-5)


def test_weights_of_1_train_as_none_do(compendium):
    (screen,) = compendium.screens
    ones = dataclasses.replace(screen, weight=np.ones(104, np.float32))
    plain = trained(compendium, config_of(compendium), steps=5)
    assert_same(trained(Compendium((ones,), compendium.vocabulary), config_of(compendium), steps=5), plain, 1e-6)


def test_the_loss_is_a_weighted_mean(compendium):
    """One step over everything: a profile of weight 2 counts as one that is there twice."""
    (screen,) = compendium.screens
    counts = np.arange(104) % 3 + 1
    rows = np.repeat(np.arange(104), counts)
    values, context, perturbation = (each[rows] for each in (screen.values, screen.context, screen.perturbation))
    twice = dataclasses.replace(screen, values=values, context=context, perturbation=perturbation)
    heavy = dataclasses.replace(screen, weight=counts.astype(np.float32))

    def gradients(screen):
        made, chosen = Compendium((screen,), compendium.vocabulary), (np.ones(len(screen.context), bool),)
        config, devices = config_of(made, blocks=400, dropout=0.0), tuple(jax.local_devices()[:1])
        (chunk,) = InputPipeline(made, chosen, 1, config, devices).epoch(0)
        constants, every = constants_of(compendium, config), members(DECAYING, 5, 0.0)
        state = replicate(init_states(config.learner, (), constants, every.seed), devices)
        fixed = replicate((constants, every, np.ones(1, bool)), devices)
        run, indices = pmap_train_steps(config, devices), device_indices(devices)
        state, metrics = run(
            state, chunk.data, *fixed, replicate(StepIndex(*np.zeros(3, np.int32)), devices), indices, np.int32(1)
        )
        return jax.device_get((state.opt_state, metrics.loss / metrics.observations, metrics.observations))

    weighed, repeated = gradients(heavy), gradients(twice)
    assert_same(weighed[:2], repeated[:2], 1e-6)
    np.testing.assert_allclose(weighed[2], repeated[2])
    assert abs(weighed[1] - gradients(screen)[1]) > 1e-3
