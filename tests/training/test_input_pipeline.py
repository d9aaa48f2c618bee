"""Data in parts: every observation once an epoch, parts of one shape, and the same training on any devices."""

import jax
import numpy as np
import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.models.lpm import lpm_released
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import make_split
from perturbjax.training.epoch import make_trainer, train_epoch
from perturbjax.training.input_pipeline import InputPipeline, check_room, replicate
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train_step import init_states, make_step_config

SETTINGS = TrainingSettings(batch_size=60, block=(2, 5), shards=4, data_chunks=3)


class Bar:
    """A progress bar that only counts."""

    def __init__(self):
        self.counted = 0

    def update(self, number):
        self.counted += number


@pytest.fixture(scope='module')
def compendium():
    rng = np.random.default_rng(0)
    names = ['control', *(f'g{i}' for i in range(22))]

    def screen(name, contexts, readouts):
        return measurements([(c, p, rng.normal(size=len(readouts))) for c in contexts for p in names], readouts, name)

    readouts = [f'r{i}' for i in range(14)]
    return assemble([screen('first', 'ab', readouts[:11]), screen('second', 'c', readouts[5:])], ['log1p'] * 2)


def pipeline_of(compendium, settings=SETTINGS):
    chosen = [np.ones(len(each.values), bool) for each in compendium.screens]
    config = make_step_config(lpm_released(4, (8,)).learner, compendium, chosen, settings, 1)
    return InputPipeline(compendium, chosen, settings.data_chunks, config, tuple(jax.local_devices()[:1]))


def values_of(part):
    values = np.asarray(part.data.values)
    return np.sort(values[~np.isnan(values)])


def test_the_parts_hold_every_value_once(compendium):
    parts = list(pipeline_of(compendium).epoch(0))
    everything = np.concatenate([each.values.ravel() for each in compendium.screens])
    np.testing.assert_array_equal(np.sort(np.concatenate([values_of(each) for each in parts])), np.sort(everything))
    assert [len(values_of(each)) for each in parts] == [each.size for each in parts]
    assert len({jax.tree.map(np.shape, each.data) for each in parts}) == 1


def test_every_part_is_a_sample_of_every_screen(compendium):
    for part in pipeline_of(compendium).epoch(0):
        rows = np.asarray(part.data.pieces.rows[0]).sum(axis=0)
        np.testing.assert_allclose(rows, [46 / 3, 23 / 3], atol=1)


def test_epochs_take_the_parts_in_orders_of_their_own(compendium):
    pipeline = pipeline_of(compendium)
    orders = {tuple(float(values_of(part)[0]) for part in pipeline.epoch(number)) for number in range(12)}
    assert 3 <= len(orders) <= 6
    assert [values_of(part)[0] for part in pipeline.epoch(4)] == [values_of(part)[0] for part in pipeline.epoch(4)]


def test_one_part_stays_on_the_devices(compendium):
    pipeline = pipeline_of(compendium, SETTINGS._replace(data_chunks=1))
    (first,), (second,) = pipeline.epoch(0), pipeline.epoch(1)
    assert first.data.values is second.data.values


def errors_of(compendium, devices, epochs=4):
    """The training RMSE by epoch, after checking that every observation was counted."""
    split = make_split(compendium, 'unseen_in_context', 13, context='c')
    where = tuple(jax.local_devices()[:devices])
    trainer = make_trainer(lpm_released(4, (8,)).learner, compendium, split, SETTINGS, 3, where)
    config = trainer.training.config
    state = init_states(config.learner, (), jax.device_get(trainer.constants), np.uint32([3]))
    state = replicate(state, where)
    bar, errors = Bar(), []
    for epoch in range(epochs):
        state, seen, _ = train_epoch(trainer, state, epoch, np.array([True]), bar)
        errors.append(float(seen.rmse[0]))
    assert bar.counted == epochs * trainer.training.size
    assert int(state.opt_state.count[0]) == epochs * sum(trainer.training.steps)
    return errors


def test_learning_from_parts_is_the_same_on_any_number_of_devices(compendium):
    alone, together = errors_of(compendium, 1), errors_of(compendium, 4)
    assert alone[-1] < alone[0]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_devices_that_cannot_share_the_shards_are_told(compendium):
    chosen = [np.ones(len(each.values), bool) for each in compendium.screens]
    with pytest.raises(InputError, match='training.shards: 4 is not a multiple of the 3 devices; make it 6'):
        make_step_config(lpm_released(4, (8,)).learner, compendium, chosen, SETTINGS, 3)


def test_data_that_do_not_fit_a_device_are_told():
    class Small:
        def memory_stats(self):
            return {'bytes_limit': 2**30}

    with pytest.raises(
        InputError, match=r'2.0 GiB of values do not fit the 1.0 GiB of a device; set training.data_chunks to 7'
    ):
        check_room(2**31, Small())
    with pytest.raises(InputError, match='set training.data_chunks to 27 or more'):  # 4 chunks of 2 GiB, 0.3 GiB each
        check_room(2**31, Small(), 4)
    check_room(2**29, Small())
