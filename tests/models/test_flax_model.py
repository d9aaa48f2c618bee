"""A network of the user's own trains as LPM does: on 1 and 4 devices, resumed, as members, with batch norm."""

import jax
import numpy as np
import pytest
from etils import epath
from networks_for_tests import mlp, normed
from screens_for_tests import measurements

from perturbjax.models import Query
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import make_split
from perturbjax.training import checkpoints
from perturbjax.training.fit import read_params
from perturbjax.training.metric_writer import MetricWriter, read_curves
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train import train

# One instance of each, since steps are compiled by model.
PLAIN, NORMED, DROPPED = mlp(), normed(), normed(0.2)
SETTINGS = TrainingSettings(batch_size=64, block=(2, 4), epochs=3, shards=4, learning_rate=0.01)


@pytest.fixture(scope='module')
def compendium():
    rng = np.random.default_rng(0)
    genes, readouts = [f'g{i}' for i in range(8)], [f'r{i}' for i in range(8)]
    rows = [(c, p, rng.normal(size=8)) for c in 'abc' for p in ['control', *genes, 'g1+g2']]
    return assemble([measurements(rows, readouts)], ['log1p'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_in_context', 0, context='c')


def fitted(model, compendium, split, folder, settings=SETTINGS, devices=1):
    about = checkpoints.About(compendium.vocabulary, {}, split.describe(compendium), 'mine')
    writer = MetricWriter(epath.Path(folder) / 'metrics.jsonl', 'mine', 0)
    where = jax.local_devices()[:devices]
    return train(model.learner, compendium, split, settings, 5, about, epath.Path(folder) / 'mine' / '0', writer, where)


def assert_same(one, other, atol=0.0):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol), one, other)


@pytest.mark.parametrize('model', [PLAIN, NORMED, DROPPED], ids=['plain', 'batch norm', 'dropout'])
def test_four_devices_train_what_one_does(compendium, split, tmp_path, model):
    """With batch norm the devices' shares are full: 2 of the 8 blocks of a batch each."""
    alone = fitted(model, compendium, split, tmp_path / '1')
    assert_same(fitted(model, compendium, split, tmp_path / '4', devices=4), alone, 2e-5)


def test_stopped_and_resumed_is_bit_for_bit_the_same(compendium, split, tmp_path):
    whole = fitted(DROPPED, compendium, split, tmp_path / 'whole')
    fitted(DROPPED, compendium, split, tmp_path / 'stopped', SETTINGS._replace(epochs=1))
    assert_same(fitted(DROPPED, compendium, split, tmp_path / 'stopped'), whole)
    assert_same(read_params(DROPPED, tmp_path / 'stopped' / 'mine' / '0'), whole)


def test_statistics_move_and_are_what_prediction_uses(compendium, split, tmp_path):
    params = fitted(NORMED, compendium, split, tmp_path)
    mean = params.statistics['batch_stats']['BatchNorm_0']['mean']
    assert (mean.shape, bool(np.any(mean != 0))) == ((1, 6), True)
    screen = compendium.screens[0]
    query = Query(screen.context, screen.perturbation, screen.readout)
    moved = params._replace(statistics=jax.tree.map(lambda each: each + 1, params.statistics))
    assert not np.allclose(NORMED.predict(params, query), NORMED.predict(moved, query))


def test_it_learns(compendium, split, tmp_path):
    fitted(PLAIN, compendium, split, tmp_path, SETTINGS._replace(epochs=40))
    curve = read_curves(epath.Path(tmp_path) / 'metrics.jsonl')['mine, training RMSE']
    assert curve.iloc[-1] < 0.9 * curve.iloc[0]


def test_members_predict_their_mean_and_names_without_training_get_nothing(compendium, split, tmp_path):
    model, predict = PLAIN, jax.jit(PLAIN.predict)
    params = fitted(model, compendium, split, tmp_path, SETTINGS._replace(seeds=2))
    query = Query(np.array([0, 1]), np.array([[1, 2], [3, -1]]), np.arange(8))
    own = [jax.tree.map(lambda each, i=i: each[i : i + 1], params.weights) for i in range(2)]
    each = [predict(params._replace(weights=weights), query) for weights in own]
    assert model.num_members(params) == 2
    np.testing.assert_allclose(predict(params, query), np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.spread(params, query), np.std(each, axis=0), rtol=1e-4, atol=1e-6)
    untrained = params.constants | {'perturbation_counts': np.array([1, 1, 0, *[1] * 6])}
    answer = predict(params._replace(constants=untrained), query)
    np.testing.assert_array_equal(np.isnan(answer).all(axis=1), [True, False])
