"""The network, loss and optimizer of scGPT's generator against the numbers of scGPT 0.2.5."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scgpt_for_tests import batch_of, from_torch, network_of

from perturbjax.models.scgpt import learning
from perturbjax.models.scgpt.network import Network

# What is promised of the numbers is promised of the programs that users run.
pytestmark = pytest.mark.usefixtures('as_users_run_it')

TOLERANCE = {np.float64: 1e-7, np.float32: 1e-5}
HIDDEN = 5


@pytest.fixture
def numbers(golden):
    return json.loads((golden / 'scgpt.json').read_text())


def assert_close(ours, theirs, atol):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map_with_path(
        lambda path, a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path)),
        ours,
        theirs,
    )


def test_weights_start_with_the_shapes_and_ranges_of_torch(numbers):
    network, batch = network_of(numbers), batch_of(numbers, 0, np.float32)
    weights = jax.jit(network.init)(jax.random.key(0), batch.tokens, batch.x, batch.flags)['params']
    theirs = from_torch(numbers['weights_initial'], np.float32)
    assert jax.tree.map(jnp.shape, weights) == jax.tree.map(jnp.shape, theirs)
    table = np.asarray(weights['gene']['table'])
    assert np.abs(table).max() <= 0.1
    assert table.min() < -0.09
    assert table.max() > 0.09
    assert not np.asarray(weights['flag']['table'])[2].any()
    # Xavier's bound of the joint kernel of queries, keys and values, in every block.
    joint = np.abs(weights['encoder']['blocks']['attention']['in_proj']['kernel'])
    bound = (6 / (16 + 48)) ** 0.5
    assert (joint.max(axis=(1, 2)) > 0.95 * bound).all()
    assert joint.max() <= bound


def test_states_and_predictions(numbers, dtype):
    weights, batch, theirs = from_torch(numbers['weights_initial'], dtype), batch_of(numbers, 0, dtype), numbers['eval']
    # The value of 600 makes one prediction -11, so that float32 is also allowed its share.
    tolerance, network = TOLERANCE[dtype], network_of(numbers)
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    variables = {'params': weights}
    close(network.apply(variables, batch.tokens, method='genes'), theirs['gene_embedding'])
    states = jax.jit(functools.partial(network.apply, method='states'))
    close(states(variables, batch.tokens, batch.x, batch.flags), theirs['transformer_output'])
    predict = jax.jit(network.apply)
    found = predict(variables, batch.tokens, batch.x, batch.flags)
    assert found.dtype == dtype
    close(found, theirs['prediction'])
    shown = jnp.arange(batch.x.shape[1]) < batch.x.shape[1] - HIDDEN
    hidden = predict(variables, batch.tokens, batch.x, batch.flags, jnp.broadcast_to(shown[None], batch.x.shape))
    close(hidden[:, :-HIDDEN], theirs['prediction_last_5_columns_masked'])
    assert np.abs(hidden - found).max() > 1e-3


def test_whole_cells_at_once_and_in_pieces(numbers, dtype):
    """All 24 genes; 7 at a time, which does not divide 24; and only those that are not 0 in both cells."""
    weights, whole = from_torch(numbers['weights_initial'], dtype), numbers['whole_cells']
    tokens, flags = jnp.asarray(numbers['gene_ids']), jnp.asarray(whole['pert_flags'])
    values = jnp.asarray(np.array(whole['values'], dtype))
    # The golden ones were made in float32.
    tolerance = max(TOLERANCE[dtype], 1e-6)
    for at_once in (0, 7):
        predict = jax.jit(network_of(numbers, at_once=at_once).apply)
        found = predict({'params': weights}, tokens, values, flags)
        np.testing.assert_allclose(found, whole['prediction_all'], rtol=0, atol=tolerance)
    some = np.flatnonzero(np.array(whole['values']).any(axis=0))
    found = network_of(numbers).apply({'params': weights}, tokens[some], values[:, some], flags[:, some])
    theirs = np.array(whole['prediction_batch_wise'])
    np.testing.assert_allclose(found, theirs[:, some], rtol=0, atol=tolerance)
    assert 0 < len(some) < len(tokens)


def test_three_steps(numbers, dtype):
    weights, tolerance = from_torch(numbers['weights_initial'], dtype), TOLERANCE[dtype]
    moments, network = learning.start(weights), network_of(numbers)

    @jax.jit
    def step(weights, moments, batch, rate):
        value, gradient = jax.value_and_grad(lambda own: learning.loss(network, own, batch))(weights)
        return *learning.step(weights, moments, gradient, rate), value, gradient

    for i, theirs in enumerate(numbers['training']):
        rate = jnp.asarray(theirs['learning_rate'])
        weights, moments, value, gradient = step(weights, moments, batch_of(numbers, i, dtype), rate)
        np.testing.assert_allclose(value, theirs['loss'], rtol=tolerance)
        norm = np.sqrt(sum(float((each**2).sum()) for each in jax.tree.leaves(gradient)))
        np.testing.assert_allclose(norm, theirs['gradient_norm_before_clipping'], rtol=tolerance)
        if 'gradient_clipped' in theirs:
            assert_close(learning.clipped(gradient), from_torch(theirs['gradient_clipped'], dtype), tolerance)
        if 'weights' in theirs:
            assert_close(weights, from_torch(theirs['weights'], dtype), tolerance)


def test_a_short_gradient_is_not_clipped():
    """(0.6, 0.8) / 2 has a norm of 1/2; ten times that has 5, and is divided by it (and by torch's 1e-6 more)."""
    short = {'a': jnp.array([0.3]), 'b': jnp.array([0.4])}
    assert_close(learning.clipped(short), short, 0)
    long = {name: 10 * each for name, each in short.items()}
    assert_close(learning.clipped(long), {'a': np.array([0.6]), 'b': np.array([0.8])}, 1e-6)


def test_the_loss_is_over_all_genes():
    """A network whose heads give 0 and 0 predicts 0: the loss is the mean square of the cells, (1 + 4 + 9 + 16) / 4."""
    network = Network(num_tokens=5, padding=0, width=4, heads=2, hidden=4, blocks=1)
    x, y = jnp.ones((2, 2)), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    batch = learning.CellBatch(jnp.array([1, 2]), x, jnp.zeros((2, 2), jnp.int32), y)
    weights = network.init(jax.random.key(0), batch.tokens, batch.x, batch.flags)['params']
    silent = weights | {name: jax.tree.map(jnp.zeros_like, weights[name]) for name in ('factor', 'offset')}
    np.testing.assert_allclose(learning.loss(network, silent, batch), 7.5)


def test_dropout_leaves_out_units_in_training_alone(numbers):
    weights, batch = from_torch(numbers['weights_initial'], np.float32), batch_of(numbers, 0, np.float32)
    network = network_of(numbers, dropout=0.2)
    loss = jax.jit(functools.partial(learning.loss, network))
    assert loss(weights, batch) == pytest.approx(numbers['eval']['loss'], rel=1e-5)
    one, two = (float(loss(weights, batch, jax.random.key(seed))) for seed in (1, 2))
    assert abs(one - two) > 1e-3 * one
    assert loss(weights, batch, jax.random.key(1)) == one
