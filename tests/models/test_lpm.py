import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perturbjax.errors import InputError
from perturbjax.models.dropout import Noise, relu_dropout
from perturbjax.models.flax_model import Sizes
from perturbjax.models.lpm import lpm_released
from perturbjax.models.lpm_network import LPM, combine
from perturbjax.models.model import Batch, Fitted, Query
from perturbjax.models.training_counts import AXES
from perturbjax.training.optimizer import ADAM, descend
from perturbjax.training.settings import TrainingSettings, members
from perturbjax.training.train_state import TrainState

SIZES = Sizes(num_contexts=3, num_perturbations=7, num_readouts=4)


def from_torch(state):
    """perturblib's names and [out, in] kernels as the module's parameters."""
    tables = {'context': 'context', 'perturbation': 'perturb', 'readout': 'readout'}
    weights = {name: state[f'{theirs}_embedding_layer.weight'] for name, theirs in tables.items()}
    for layer, theirs in enumerate((0, 3, 6)):
        weights[f'kernel_{layer}'] = np.transpose(state[f'predictor.{theirs}.weight'])
        weights[f'bias_{layer}'] = state[f'predictor.{theirs}.bias']
    return {name: jnp.array(value, jnp.float32) for name, value in weights.items()}


def batch_of(codes, value):
    starts = codes['perturbation_offset']
    bags = np.split(codes['perturbation_flat'], starts[1:])
    perturbation = np.full((len(bags), max(map(len, bags))), -1)
    for row, bag in zip(perturbation, bags):
        row[: len(bag)] = bag
    columns = map(jnp.array, (codes['context'], perturbation, codes['readout'], value))
    return Batch(*columns, weight=jnp.ones(len(bags)), position=jnp.arange(len(bags)))


def assert_close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), ours, theirs)


@pytest.mark.parametrize('number', range(3), ids=['mean', 'sum', 'max'])
def test_forward_gradient_and_optimiser_equal_torch(golden, number):
    reference = json.loads((golden / 'lpm_torch.json').read_text())[number]
    sizes, weights = reference['hyper'], from_torch(reference['state'])
    hidden_dims = (sizes['hidden_dim'],) * sizes['num_layers']
    model = lpm_released(sizes['embedding_dim'], hidden_dims, aggregation=sizes['agg'])
    module = LPM(Sizes(2, 6, 4), (sizes['embedding_dim'],) * 3, hidden_dims, sizes['agg'])
    constants = {f'{axis}_counts': np.ones(rows, int) for axis, rows in zip(AXES, (2, 6, 4))}
    batch = batch_of(reference['codes'], reference['value'])
    member = jax.tree.map(lambda each: each[0], members(TrainingSettings(learning_rate=sizes['lr']), 0, 0.0))

    forward = module.apply({'params': weights}, batch.context, batch.perturbation, batch.readout)
    assert_close(forward, np.array(reference['forward']))

    @jax.jit
    def step(state):
        def loss(weights):
            return model.learner.loss(weights, {}, constants, batch, None)[0] / 14

        value, gradient = jax.value_and_grad(loss)(state.weights)
        return value, gradient, descend(state, gradient, member.rate(jnp.array(0)), member.weight_decay)

    state = TrainState(weights, {}, ADAM.init(weights), {})
    for number, expected in enumerate(reference['losses']):
        loss, gradient, state = step(state)
        assert_close(loss, expected)
        if number == 0:
            assert_close(gradient, from_torch(reference['grad']))
        if number in (0, 2):
            assert_close(state.weights, from_torch(reference[f'params_after_{number + 1}']))


@pytest.mark.parametrize('aggregation', ['mean', 'sum', 'max'])
def test_the_split_first_layer_equals_concatenation(aggregation):
    module = LPM(SIZES, (2, 3, 5), (6,), aggregation)
    ids = jnp.array([0, 2]), jnp.array([[1, 3], [4, -1]]), jnp.array([3, 1])
    weights = module.init(jax.random.key(0), *ids)['params']
    combined = combine(weights['perturbation'], ids[1], aggregation)
    x = jnp.concatenate([weights['context'][ids[0]], combined, weights['readout'][ids[2]]], axis=1)
    hidden = jax.nn.relu(x @ weights['kernel_0'] + weights['bias_0'][None, :])
    expected = (hidden @ weights['kernel_1'] + weights['bias_1'][None, :])[:, 0]
    np.testing.assert_allclose(module.apply({'params': weights}, *ids), expected, rtol=1e-5)


def fitted(model, trained_on=6, key=1):
    constants = {f'{axis}_counts': jnp.ones(rows, int) for axis, rows in zip(AXES, SIZES)}
    constants['perturbation_counts'] = (jnp.arange(7) < trained_on).astype(int)
    weights, statistics = model.learner.init(jax.random.key(key), constants)
    return Fitted(jax.tree.map(lambda each: each[None], weights), statistics, constants)


def test_a_grid_equals_its_triples():
    model = lpm_released(4, (8, 8))
    params = fitted(model, trained_on=7)
    grid = Query(jnp.array([0, 1, 2]), jnp.array([[0, -1], [1, 5], [6, -1]]), jnp.array([3, 0]))
    answer = jax.jit(model.predict)(params, grid)
    triples = jnp.repeat(grid.context, 2), jnp.repeat(grid.perturbation, 2, axis=0), jnp.tile(grid.readout, 3)
    module = LPM(SIZES, (4, 4, 4), (8, 8))
    expected = module.apply({'params': jax.tree.map(lambda each: each[0], params.weights)}, *triples)
    np.testing.assert_allclose(answer.ravel(), expected, rtol=1e-5)


def test_an_ensemble_predicts_its_mean_and_spread():
    model = lpm_released(4, (8, 8))
    members = [fitted(model, key=key) for key in (1, 2, 3)]
    query = Query(jnp.array([0, 1]), jnp.array([[1, 5], [6, -1]]), jnp.array([0, 1]))
    each = jnp.stack([model.predict(member, query) for member in members])
    together = members[0]._replace(
        weights=jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *(m.weights for m in members))
    )
    assert (model.num_members(members[0]), model.num_members(together)) == (1, 3)
    np.testing.assert_allclose(model.predict(together, query), each.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.spread(together, query), each.std(axis=0), rtol=1e-4)
    assert np.isnan(model.spread(together, query)[1]).all()


def test_names_that_no_training_profile_had_get_no_prediction():
    model = lpm_released(4, (8,))
    query = Query(jnp.array([0, 0, 0]), jnp.array([[6, -1], [1, 6], [1, 5]]), jnp.array([0, 1]))
    answer = model.predict(fitted(model, trained_on=6), query)
    np.testing.assert_array_equal(np.isnan(answer).all(axis=1), [True, True, False])


def test_initialisation_as_released():
    module = LPM(Sizes(50, 200, 50), (32, 32, 32), (256, 256))
    ids = jnp.zeros(1, jnp.int32)
    weights = module.init(jax.random.key(0), ids, ids[:, None], ids)['params']
    assert abs(weights['perturbation'].std() - 1) < 0.03
    for layer, (rows, columns) in enumerate(((96, 256), (256, 256), (256, 1))):
        bound = np.sqrt(2) * np.sqrt(6 / (rows + columns))
        assert 0.97 * bound < abs(weights[f'kernel_{layer}']).max() <= bound
        assert abs(weights[f'bias_{layer}']).max() <= 1 / np.sqrt(rows)


@given(rate=st.floats(0.05, 0.9), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_dropout_keeps_the_right_share_and_the_mean(rate, seed):
    x = jnp.ones((100, 64))
    dropped = relu_dropout(x, Noise(rate, jnp.uint32(seed), jnp.arange(100)), 1)
    kept = dropped > 0
    spread = 5 * np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) < spread / np.sqrt(6400)
    assert abs(kept.mean(axis=0) - (1 - rate)).max() < spread / np.sqrt(100)
    np.testing.assert_allclose(dropped[kept], 1 / (1 - rate), rtol=2e-4)  # rates have 16 bits


def test_dropout_depends_on_place_layer_and_seed_alone():
    x = jnp.ones((8, 32))
    whole = relu_dropout(x, Noise(0.5, jnp.uint32(3), jnp.arange(8)), 1)
    half = relu_dropout(x[4:], Noise(0.5, jnp.uint32(3), jnp.arange(4, 8)), 1)
    np.testing.assert_array_equal(whole[4:], half)
    for seed, layer in ((4, 1), (3, 2)):
        assert (relu_dropout(x, Noise(0.5, jnp.uint32(seed), jnp.arange(8)), layer) != whole).any()


def test_the_gradient_of_dropout_passes_where_it_let_through():
    x = jax.random.normal(jax.random.key(0), (50, 7))
    noise = Noise(0.25, jnp.uint32(3), jnp.arange(50))
    gradient = jax.grad(lambda x: (relu_dropout(x, noise, 1) * 2).sum())(x)
    passed = np.array(relu_dropout(x, noise, 1)) > 0
    assert 0.3 < passed.mean() < 0.45
    assert (np.array(x)[passed] > 0).all()
    np.testing.assert_allclose(gradient, np.where(passed, 2 / 0.75, 0), rtol=1e-6)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'aggregation': 'maen'}, "did you mean 'mean'"),
        ({'dropout': 1.0}, 'dropout: 1.0 must be'),
        ({'matmul_precision': 'bfloat'}, "models.lpm.matmul_precision: no such 'bfloat'; did you mean 'bfloat16'"),
    ],
)
def test_bad_settings_are_told(settings, message):
    with pytest.raises(InputError, match=message):
        lpm_released(**settings)
