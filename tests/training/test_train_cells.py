"""Models that learn from cells through the loop of epochs: devices, streaming, resume."""

import copy
import itertools
import json
from types import SimpleNamespace

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from models_for_tests import train_on_cells
from screens_for_tests import query

from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.models.cells import dense
from perturbjax.models.scgpt import model as scgpt_model
from perturbjax.models.scgpt.network import Network
from perturbjax.models.scgpt.pretrained import Pretrained
from perturbjax.readers.loading import load
from perturbjax.training import checkpoints, interruption
from perturbjax.training.cell_epoch import Pace
from perturbjax.training.cell_pipeline import CellPipeline, _that_divide

GENES, NAMES = 12, ('G00', 'G01', 'G02', 'G03', 'G04', 'G05')
FIELDS = {'context_name': 'k562', 'perturbation': 'condition', 'control': ('ctrl',)}
HELD_OUT, VALIDATES = 'G03', 'G05'
KINDS = ('gears', 'cpa', 'scgpt')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Counts of 24 control cells and 16 of each of six knock-outs, and a graph of the genes."""
    folder, rng = tmp_path_factory.mktemp('cells'), np.random.default_rng(0)
    conditions = ['ctrl'] * 24 + [name for name in NAMES for _ in range(16)]
    counts = rng.poisson(rng.uniform(1, 4, (len(conditions), GENES))).astype(np.float32)
    obs = pd.DataFrame({'condition': conditions}, index=[f'c{i}' for i in range(len(conditions))])
    var = pd.DataFrame(index=[f'G{i:02d}' for i in range(GENES)])
    anndata.AnnData(scipy.sparse.csr_matrix(counts), obs, var).write_h5ad(folder / 'cells.h5ad')
    pd.DataFrame({'gene': NAMES, 'term': ['a', 'b'] * 3}).to_csv(folder / 'terms.csv', index=False)
    return folder


@pytest.fixture(scope='module')
def compendium(folder):
    data = {'source': 'h5ad', 'path': str(folder / 'cells.h5ad'), 'scale': 'log1p', 'fields': FIELDS}
    return load({**data, 'counts': True, 'keep_cells': True})


@pytest.fixture(scope='module')
def models(folder):
    """One model of each kind, three epochs of small networks."""
    tokens = {'<pad>': 0} | {f'G{i:02d}': i + 1 for i in range(GENES)}
    network = Network(len(tokens), 0, width=8, heads=2, hidden=8, blocks=1, dropout=0.2)
    one = jnp.zeros((1, 1))
    weights = network.init(jax.random.key(0), jnp.zeros(1, jnp.int32), one, jnp.zeros((1, 1), jnp.int32))['params']
    pretrained = Pretrained(network, {'gene': jax.device_get(weights['gene'])}, tokens)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scgpt_model, 'read_pretrained', lambda _: pretrained)
        return make_models(
            {
                'gears': {'graph': str(folder / 'terms.csv'), 'width': 4, 'epochs': 3, 'batch_size': 8},
                'cpa': {'latent': 4, 'width': 8, 'adversary_width': 8, 'epochs': 3, 'batch_size': 32}
                | {'pretraining': 0, 'mixup': 0.3},
                'scgpt': {'weights': 'folder', 'epochs': 3, 'batch_size': 8, 'genes': 9},
            }
        )


def masks_of(compendium):
    names = np.array(compendium.vocabulary.perturbation_names(compendium.screens[0].perturbation))
    return (~np.isin(names, [HELD_OUT, VALIDATES]),), (names == VALIDATES,)


def train(models, compendium, kind, folder=None, devices=1, **settings):
    return train_on_cells(models[kind], compendium, *masks_of(compendium), 5, folder, devices, **settings)


def largest_difference(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.nanmax(np.abs(np.asarray(a, float) - np.asarray(b, float)))) for a, b in pairs)


def curve_of(folder):
    lines = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    return [(line['epoch'], line['training_loss'], line.get('validation_error')) for line in lines]


@pytest.fixture(scope='module')
def uninterrupted(models, compendium, tmp_path_factory):
    folder = tmp_path_factory.mktemp('uninterrupted')
    return {kind: (train(models, compendium, kind, folder / kind), curve_of(folder / kind)) for kind in KINDS}


def check_alike(models, compendium, kind, found, uninterrupted):
    """The predictions agree. Not all weights do: the gradient of a bias before a batch norm is rounding alone."""
    names = compendium.vocabulary.perturbations
    asked = query(compendium, [('k562', name) for name in names], compendium.vocabulary.readouts)
    one, other = (np.asarray(models[kind].predict(each, asked)) for each in (found, uninterrupted[kind][0]))
    assert np.isfinite(one).all()
    # Running means follow the biases of GEARS, so that some of that rounding is seen.
    np.testing.assert_allclose(one, other, atol=1e-2 if kind == 'gears' else 2e-4)


def check_alike_curves(found, expected):
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=5e-3)
    np.testing.assert_allclose(found[0][1], expected[0][1], rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_the_curve_has_every_epoch(uninterrupted, kind):
    epochs, losses, errors = zip(*uninterrupted[kind][1], strict=True)
    assert epochs == (1, 2, 3)
    assert np.isfinite(losses).all()
    # cpa looks at validation cells after every fifth epoch, and after the last one.
    assert [each is not None for each in errors] == ([False, False, True] if kind == 'cpa' else [True] * 3)


@pytest.mark.parametrize('kind', KINDS)
def test_the_same_on_four_devices(models, compendium, uninterrupted, tmp_path, kind):
    check_alike(models, compendium, kind, train(models, compendium, kind, tmp_path, devices=4), uninterrupted)
    check_alike_curves(curve_of(tmp_path), uninterrupted[kind][1])


def test_streamed_cells_give_the_same(models, compendium, uninterrupted, tmp_path):
    """The cells of an epoch, and their partners, are sent in three parts; the model knows nothing of it."""
    check_alike(models, compendium, 'gears', train(models, compendium, 'gears', tmp_path, data_chunks=3), uninterrupted)
    check_alike_curves(curve_of(tmp_path), uninterrupted['gears'][1])


@pytest.mark.parametrize('kind', KINDS)
def test_stopped_after_an_epoch_and_resumed_is_bit_for_bit_the_same(
    models, compendium, uninterrupted, tmp_path, kind, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(interruption, 'stops_here', lambda: True)
        with pytest.raises(interruption.Stopped, match='stopped and saved after epoch 1;'):
            train(models, compendium, kind, tmp_path)
    # The params of the epoch, though cpa has not looked at validation cells yet.
    model = models[kind]
    once = {kind: model._replace(cell_learner=model.cell_learner._replace(epochs=1))}
    assert largest_difference(checkpoints.read(tmp_path / 'checkpoints').params, train(once, compendium, kind)) == 0
    assert largest_difference(train(models, compendium, kind, tmp_path), uninterrupted[kind][0]) == 0
    assert curve_of(tmp_path) == uninterrupted[kind][1]


@pytest.mark.parametrize('calls', [1, 2, 4])
def test_stopped_in_the_middle_of_an_epoch_and_resumed_is_the_same(
    models, compendium, uninterrupted, tmp_path, calls, monkeypatch
):
    """An epoch of GEARS has 11 steps; how many of them a call has depends on how long they take."""
    asked = itertools.count()
    with monkeypatch.context() as patched:
        patched.setattr(interruption, 'stops_in_epoch', lambda: next(asked) >= calls)
        patched.setattr(interruption, 'stops_here', lambda: next(copy.copy(asked)) > calls)
        with pytest.raises(interruption.Stopped, match='stopped and saved after epoch'):
            train(models, compendium, 'gears', tmp_path)
    assert largest_difference(train(models, compendium, 'gears', tmp_path), uninterrupted['gears'][0]) == 0
    assert curve_of(tmp_path) == uninterrupted['gears'][1]


def test_cells_are_dealt_and_every_device_takes_part(models, compendium):
    """Each of four devices has a quarter of the rows, and of a batch; six cells are divided among three."""
    course = models['gears'].cell_learner.prepare(compendium, *masks_of(compendium), 5)
    pipeline = CellPipeline(course, 1, jax.local_devices())
    part = next(pipeline.parts(course.validation, ()))
    size = -(-course.values.shape[0] // 4)
    assert [each.data.shape[0] for each in part.data.rows.value.addressable_shards] == [size] * 4

    def values(rows, numbers):
        return dense(rows, numbers, GENES)

    numbers = np.array([3, 0, 100, 7, 7, 50, 20, 1], np.int32)
    with jax.set_mesh(pipeline.mesh):
        found = jax.jit(values)(part.data.rows, numbers)
    assert [each.data.shape for each in found.addressable_shards] == [(2, GENES)] * 4
    np.testing.assert_array_equal(found, course.values[numbers].toarray())
    assert CellPipeline(course._replace(batch_size=6, validation=None), 1, jax.local_devices()).mesh.size == 3


def test_streamed_parts_hold_what_their_steps_need(models, compendium):
    """Cells and their partners, in the order of the steps; what was done is not sent again."""
    course = models['gears'].cell_learner.prepare(compendium, *masks_of(compendium), 5)
    pipeline = CellPipeline(course, 2, jax.local_devices()[:2])
    plan = np.arange(len(course.validation.numbers), dtype=np.float32)
    parts = list(pipeline.parts(course.validation, plan))
    assert [part.first for part in parts] == [0, 1]
    for part in parts:
        (numbers,) = np.asarray(part.data.dealt.numbers)
        for each in (numbers, course.partner[numbers]):
            np.testing.assert_array_equal(dense(part.data.rows, each, GENES), course.values[each].toarray())
        np.testing.assert_array_equal(part.data.plan, [part.first])
    assert [part.first for part in pipeline.parts(course.validation, plan, done=1)] == [1]


def test_each_host_gives_as_many_devices_as_divide_a_batch(models, compendium):
    """Batches of 12 on two hosts of four devices: three of each; on five hosts of one there is no way."""
    course = models['gears'].cell_learner.prepare(compendium, *masks_of(compendium), 5)
    course = course._replace(batch_size=12, validation=None)
    two, five = ([SimpleNamespace(process_index=i) for i in range(hosts) for _ in range(4)] for hosts in (2, 5))
    assert [each.process_index for each in _that_divide(course, two)] == [0] * 3 + [1] * 3
    with pytest.raises(InputError, match=r'--multihost: 5 hosts do not divide batches of 12 cells evenly'):
        _that_divide(course, five)


def test_a_call_takes_about_three_seconds(monkeypatch):
    """Notes at 0, 1 and 5 s: a step took 1 s, so that the next call has three; another took 4 s, so that it has one."""
    clock = iter([0.0, 1.0, 5.0])
    monkeypatch.setattr('perturbjax.training.cell_epoch.time.perf_counter', lambda: next(clock))
    pace, steps = Pace(), []
    for _ in range(3):
        steps.append(pace.steps)
        pace.after(pace.steps)
    assert [*steps, pace.steps] == [1, 1, 3, 1]


def test_of_equal_epochs_the_first_is_kept_and_patience_ends_training(models, compendium, tmp_path, monkeypatch):
    monkeypatch.setattr('perturbjax.training.cell_epoch._error', lambda *_: 1.0)
    model = models['gears']
    patient = {'gears': model._replace(cell_learner=model.cell_learner._replace(patience=1, epochs=9))}
    found = train(patient, compendium, 'gears', tmp_path)
    assert [epoch for epoch, *_ in curve_of(tmp_path)] == [1, 2]
    once = {'gears': model._replace(cell_learner=model.cell_learner._replace(epochs=1))}
    assert largest_difference(found, train(once, compendium, 'gears')) == 0


def test_a_loss_that_is_not_finite_ends_the_run_and_says_when(folder, compendium):
    settings = {'graph': str(folder / 'terms.csv'), 'width': 4, 'epochs': 3, 'batch_size': 8, 'learning_rate': 1e30}
    with pytest.raises(InputError, match=r'no longer finite at step \d of an epoch; lower the learning rates'):
        train(make_models({'gears': settings}), compendium, 'gears')
