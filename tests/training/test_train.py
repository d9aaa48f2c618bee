"""The training loop: the same on any number of devices, exact resume, early stop, bad losses."""

import copy
import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest
from etils import epath
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.models.lpm import lpm_released
from perturbjax.models.training_counts import training_counts
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TRAIN, make_split
from perturbjax.training import checkpoints, interruption
from perturbjax.training import train as training
from perturbjax.training.epoch import make_trainer
from perturbjax.training.input_pipeline import replicate
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train_step import StepIndex, init_states, pmap_train_steps

MODEL = lpm_released(4, (8, 8), dropout=0.1)
# A block does not divide the panels, nor 12 shards the blocks of a batch.
SETTINGS = TrainingSettings(batch_size=100, block=(2, 5), epochs=4, shards=12)


@pytest.fixture(scope='module')
def compendium():
    rng = np.random.default_rng(0)
    genes = [f'g{i}' for i in range(20)]

    def screen(name, contexts, readouts):
        rows = [(c, p, rng.normal(size=len(readouts))) for c in contexts for p in ['control', *genes, 'g1+g2']]
        rows[1][2][0] = np.nan
        return measurements(rows, readouts, name)

    readouts = [f'r{i}' for i in range(14)]
    return assemble([screen('first', 'ab', readouts[:11]), screen('second', 'c', readouts[5:])], ['log1p'] * 2)


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_in_context', 13, context='c')


def train(compendium, split, folder, settings=SETTINGS, devices=1):
    about = checkpoints.About(compendium.vocabulary, {'any': 'config'}, split.describe(compendium))
    writer = MetricWriter(epath.Path(folder) / 'metrics.jsonl', 'lpm', split.seed)
    device_list = jax.local_devices()[:devices]
    checkpoint = epath.Path(folder) / 'checkpoints'
    return training.train(MODEL.learner, compendium, split, settings, 5, about, checkpoint, writer, device_list)


def largest_difference(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def curve_of(folder):
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    return [(line['epoch'], line['training_rmse'], line.get('validation_rmse')) for line in lines]


@pytest.fixture(scope='module')
def uninterrupted(compendium, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp('uninterrupted')
    return train(compendium, split, folder), curve_of(folder)


@pytest.mark.parametrize('devices', [3, 4])
def test_the_same_on_any_number_of_devices(compendium, split, uninterrupted, tmp_path, devices):
    """Batches of 100 do not divide by 3, the last batch of an epoch is short, and dropout is on."""
    assert largest_difference(train(compendium, split, tmp_path, devices=devices), uninterrupted[0]) < 2e-6


@pytest.mark.parametrize('stop', [1, 2, 3])
def test_stopped_and_resumed_is_bit_for_bit_the_same(compendium, split, uninterrupted, tmp_path, stop):
    train(compendium, split, tmp_path, SETTINGS._replace(epochs=stop))
    MetricWriter(epath.Path(tmp_path) / 'metrics.jsonl', 'lpm', 13).write({'epoch': stop + 1, 'training_rmse': 9})
    resumed = train(compendium, split, tmp_path)
    assert largest_difference(resumed, uninterrupted[0]) == 0
    assert curve_of(tmp_path) == uninterrupted[1]


@pytest.mark.parametrize('data_chunks', [1, 2])
@pytest.mark.parametrize('calls', [0, 1, 2, 3, 5])
def test_stopped_in_the_middle_of_an_epoch_and_resumed_is_the_same(
    compendium, split, uninterrupted, tmp_path, monkeypatch, calls, data_chunks
):
    """A signal comes before that call of the compiled steps; an epoch has two calls for each chunk."""
    settings, asked = SETTINGS._replace(data_chunks=data_chunks), itertools.count()
    expected = uninterrupted
    if data_chunks > 1:
        expected = train(compendium, split, tmp_path / 'whole', settings), curve_of(tmp_path / 'whole')
    with monkeypatch.context() as patched:
        patched.setattr(interruption, 'stops_in_epoch', lambda: next(asked) >= calls)
        patched.setattr(interruption, 'stops_here', lambda: next(copy.copy(asked)) > calls)
        with pytest.raises(interruption.Stopped, match='stopped and saved after epoch'):
            train(compendium, split, tmp_path, settings)
    assert largest_difference(train(compendium, split, tmp_path, settings), expected[0]) == 0
    assert curve_of(tmp_path) == expected[1]


def test_the_best_epoch_is_returned_and_patience_ends_training(compendium, split, tmp_path):
    """Of noise nothing can be learnt: validation gets worse, and the params are those before it did."""
    fast = SETTINGS._replace(learning_rate=0.05, epochs=30, patience=4)
    params = train(compendium, split, tmp_path, fast)
    errors = [validation for _, _, validation in curve_of(tmp_path)]
    best = int(np.argmin(errors)) + 1
    assert len(errors) == best + 4 < 30
    again = train(compendium, split, tmp_path / 'again', fast._replace(epochs=best, patience=0))
    assert largest_difference(params, again) == 0
    assert [int(each.name) for each in (tmp_path / 'checkpoints').iterdir()] == [best + 3, best + 4]


def test_the_best_epoch_is_saved_whenever_it_comes(compendium, split, tmp_path):
    fast = SETTINGS._replace(learning_rate=0.05, epochs=9)
    every = [train(compendium, split, tmp_path / str(n), fast._replace(checkpoint_every=n)) for n in (1, 4)]
    assert largest_difference(*every) == 0


def test_without_validation_the_last_epoch_is_returned(compendium, tmp_path):
    split = make_split(compendium, 'unseen_double', 0, test=1.0)
    train(compendium, split, tmp_path, SETTINGS._replace(epochs=2))
    assert [validation for _, _, validation in curve_of(tmp_path)] == [None, None]


def test_training_counts(compendium, split):
    mask = split.mask(TRAIN)
    contexts, perturbations, readouts = training_counts(compendium, mask).values()
    table = compendium.table()[np.concatenate(mask)]
    assert list(contexts) == list(table['context'].value_counts().sort_index())
    g1 = compendium.vocabulary.perturbations.index('g1')
    assert perturbations[g1] == table['perturbation'].map(lambda name: 'g1' in name.split('+')).sum()
    assert readouts[0] == mask[0].sum() - 1


def test_a_loss_that_is_not_finite_ends_the_run_and_says_when(compendium, split, tmp_path):
    screens = tuple(dataclasses.replace(each, values=each.values * 1e30) for each in compendium.screens)
    huge = dataclasses.replace(compendium, screens=screens)
    with pytest.raises(InputError, match=r'no longer finite at step 0; lower training.learning_rate \(it is 0.002\)'):
        train(huge, split, tmp_path)


def test_replicas_agree(compendium, split):
    """Every device took part, and all hold the same weights after steps on different data."""
    devices = tuple(jax.local_devices())
    trainer = make_trainer(MODEL.learner, compendium, split, SETTINGS, 0, devices)
    config, (chunk,) = trainer.training.config, trainer.training.epoch(0)
    first = init_states(config.learner, (), jax.device_get(trainer.constants), np.uint32([0]))
    state, active = replicate((first, np.array([True])), devices)
    fixed = trainer.constants, trainer.members, active, StepIndex(*np.zeros(3, np.int32)), trainer.device_index
    state, metrics = pmap_train_steps(config, devices)(state, chunk.data, *fixed, np.int32(3))
    copies = [np.asarray(shard.data) for shard in state.weights['kernel_0'].addressable_shards]
    assert len(copies) == 4
    assert all((copy == copies[0]).all() for copy in copies)
    assert 150 <= float(metrics.observations[0]) <= 300  # many blocks are not full


def test_another_split_of_the_same_sizes_compiles_nothing(compendium, split, tmp_path):
    train(compendium, split, tmp_path / 'first', SETTINGS._replace(epochs=1), devices=2)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration, **_: compiled.append(duration) if event.endswith('backend_compile_duration') else None
    )
    other = make_split(compendium, 'unseen_in_context', 14, context='c')
    train(compendium, other, tmp_path / 'second', devices=2)
    jax.monitoring.clear_event_listeners()
    assert not compiled
