"""The network, loss and optimizer of GEARS against the numbers of cell-gears 0.1.2."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gears_for_tests import batch_of, from_torch, graphs_of
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from perturbjax.models.gears.learning import Optimizer, loss, shares
from perturbjax.models.gears.network import TABLES, Network, renormalised

# What is promised of the numbers is promised of the programs that users run.
pytestmark = pytest.mark.usefixtures('as_users_run_it')

TOLERANCE = {np.float64: 1e-7, np.float32: 1e-5}
RATE = 1e-3
SIGN = 0.1


@pytest.fixture
def numbers(golden):
    return json.loads((golden / 'gears.json').read_text())


def network_of(numbers, **options):
    sizes = numbers['sizes']
    return Network(sizes['genes'], sizes['perts'], sizes['hidden'], **options)


def assert_close(ours, theirs, atol):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map_with_path(
        lambda path, a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path)),
        ours,
        theirs,
    )


def predicted(numbers, variables, name, dtype, cells=slice(None), **options):
    batch = batch_of(numbers, name, dtype)
    weights = renormalised(variables['params'])
    first = np.arange(len(batch.x[cells])) == 0
    both = {**variables, 'params': weights}
    run = jax.jit(network_of(numbers, **options).apply)
    return run(both, batch.x[cells], batch.parts[cells], jnp.asarray(first), graphs_of(numbers))[0]


def trained(numbers, dtype, batches):
    """Variables, losses and gradients of steps from the initial weights."""
    variables = from_torch(numbers['weights_initial'], dtype)
    weights, statistics = variables['params'], variables['batch_stats']
    optimizer, network, graphs = Optimizer(), network_of(numbers), graphs_of(numbers)
    moments, found = optimizer.init(weights), []

    @jax.jit
    def step(weights, statistics, moments, batch):
        weights = renormalised(weights)

        def total(weights):
            return loss(network, weights, statistics, graphs, batch, SIGN)

        (value, statistics), gradient = jax.value_and_grad(total, has_aux=True)(weights)
        is_perturbed = (batch.parts >= 0).any()
        weights, moments = optimizer.update(weights, moments, gradient, jnp.asarray(RATE), is_perturbed)
        return weights, statistics, moments, value, gradient

    for batch in batches:
        weights, statistics, moments, value, gradient = step(weights, statistics, moments, batch)
        found.append(({'params': weights, 'batch_stats': statistics}, value, gradient))
    return found


def test_the_tables_are_projected(numbers, dtype):
    weights = renormalised(from_torch(numbers['weights_initial'], dtype)['params'])
    theirs = from_torch(numbers['embeddings_after_first_forward'], dtype)['params']
    assert_close({name: weights[name] for name in TABLES}, theirs, TOLERANCE[dtype])


def test_predictions_in_eval_mode(numbers, dtype):
    variables = from_torch(numbers['weights_initial'], dtype)
    for name in ('batch1', 'batch4'):
        found = predicted(numbers, variables, name, dtype)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, numbers['eval_output_initial'][name], rtol=0, atol=TOLERANCE[dtype])
    variables = from_torch(numbers['training'][2]['weights'], dtype)
    for name, theirs in numbers['eval_output_after_3'].items():
        found = predicted(numbers, variables, name, dtype)
        np.testing.assert_allclose(found, theirs, rtol=0, atol=TOLERANCE[dtype])


def test_one_cell_alone_has_the_graph(numbers, dtype):
    variables = from_torch(numbers['weights_initial'], dtype)
    double = numbers['batch1']['condition'].index('G02+G04')
    found = predicted(numbers, variables, 'batch1', dtype, slice(double, double + 1))
    np.testing.assert_allclose(found, numbers['eval_output_initial']['double_alone'], rtol=0, atol=TOLERANCE[dtype])
    with_graph = predicted(numbers, variables, 'batch1', dtype, graph_on='all')
    np.testing.assert_allclose(with_graph[double], found[0], rtol=0, atol=TOLERANCE[dtype])
    assert np.abs(with_graph - predicted(numbers, variables, 'batch1', dtype))[1:].max() > 5 * TOLERANCE[dtype]


def test_three_steps(numbers, dtype):
    batches = [batch_of(numbers, f'batch{i}', dtype) for i in (1, 2, 3)]
    tolerance = TOLERANCE[dtype]
    found = trained(numbers, dtype, batches)
    for (_, value, _), theirs in zip(found, numbers['training']):
        np.testing.assert_allclose(value, theirs['loss'], rtol=tolerance, atol=0)
    assert_close(found[0][2], from_torch(numbers['training'][0]['gradient'], dtype)['params'], tolerance)
    for step in (0, 2) if dtype == np.float64 else (0,):
        ours, theirs = found[step][0], from_torch(numbers['training'][step]['weights'], dtype)
        for each in (ours, theirs) if dtype == np.float32 else ():
            _without_rounding(each)
        assert_close(ours, theirs, tolerance)


def test_predictions_after_three_steps_in_float32(numbers):
    """Batch 2 has 6 cells: its batch norms magnify float32's rounding, and so do Adam's first steps."""
    batches = [batch_of(numbers, f'batch{i}', np.float32) for i in (1, 2, 3)]
    variables = trained(numbers, np.float32, batches)[-1][0]
    for name, theirs in numbers['eval_output_after_3'].items():
        np.testing.assert_allclose(predicted(numbers, variables, name, np.float32), theirs, rtol=0, atol=5e-4)


def _without_rounding(variables):
    """Leaves out a bias that batch norm takes away again, and the mean that it moves.

    Its gradient is 0, but for rounding, which Adam turns into steps of the full length.
    """
    del variables['params']['gene_layers']['norm_1']['bias'], variables['batch_stats']['cell_norm']['mean']


def test_a_step_whose_gradient_is_clipped(numbers, dtype):
    reference = numbers['clipped_step']
    batch = batch_of(numbers, 'batch1', dtype)
    ((variables, value, gradient),) = trained(numbers, dtype, [batch._replace(y=3 * batch.y)])
    np.testing.assert_allclose(value, reference['loss'], rtol=TOLERANCE[dtype], atol=0)
    largest = max(float(jnp.abs(each).max()) for each in jax.tree.leaves(gradient))
    np.testing.assert_allclose(largest, reference['largest_gradient'], rtol=TOLERANCE[dtype], atol=0)
    theirs = from_torch(reference['weights'], dtype)['params']
    for name in ('w1', 'b2', 'perturbation'):
        np.testing.assert_allclose(variables['params'][name], theirs[name], rtol=0, atol=TOLERANCE[dtype])
    ours = variables['params']['decode']['linear_0']['kernel']
    np.testing.assert_allclose(ours, theirs['decode']['linear_0']['kernel'], rtol=0, atol=TOLERANCE[dtype])


def test_the_log_variance(numbers, dtype):
    reference, tolerance = numbers['uncertainty'], TOLERANCE[dtype]
    variables, own = (from_torch(each, dtype) for each in (numbers['weights_initial'], reference['weights']))
    weights = renormalised(variables['params'] | own['params'])
    # The golden running statistics are those after the batch.
    before = jax.tree.map_with_path(
        lambda path, leaf: jnp.ones_like(leaf) if path[-1].key == 'variance' else jnp.zeros_like(leaf),
        own['batch_stats'],
    )
    statistics = variables['batch_stats'] | before
    network, batch, graphs = (
        network_of(numbers, uncertainty=True),
        batch_of(numbers, 'batch1', dtype),
        graphs_of(numbers),
    )
    (output, spread), after = network.apply(
        {'params': weights, 'batch_stats': statistics},
        batch.x, batch.parts, batch.is_first, graphs, train=True, mutable=['batch_stats'],
    )  # fmt: skip
    np.testing.assert_allclose(output, reference['output'], rtol=0, atol=tolerance)
    np.testing.assert_allclose(spread, reference['log_variance'], rtol=0, atol=tolerance)
    assert_close(after['batch_stats']['log_variance'], own['batch_stats']['log_variance'], tolerance)
    value, _ = loss(network, weights, statistics, graphs, batch, SIGN, reference['reg'])
    np.testing.assert_allclose(value, reference['loss'], rtol=tolerance, atol=0)


def test_control_cells_alone_leave_the_weights_of_perturbations(numbers):
    batches = [batch_of(numbers, name, np.float32) for name in ('batch1', 'batch4', 'batch3')]
    (first, _, _), (second, _, _), (third, _, _) = trained(numbers, np.float32, batches)
    for name in ('ontology', 'fuse'):
        assert_close(second['params'][name], first['params'][name], 0)
    assert_close(second['batch_stats']['fuse'], first['batch_stats']['fuse'], 0)
    assert np.abs(second['params']['w1'] - first['params']['w1']).max() > 1e-4
    assert (
        np.abs(third['params']['fuse']['linear_0']['kernel'] - second['params']['fuse']['linear_0']['kernel']).max()
        > 1e-4
    )


@pytest.mark.parametrize('dtype', [np.float64], indirect=True)
@pytest.mark.parametrize('name', ['batch1', 'batch2'])
def test_devices_share_a_batch(numbers, name, dtype):
    """Loss, gradient and statistics of a batch over two devices are those of one; batch 2 has one perturbed cell."""
    variables, batch = from_torch(numbers['weights_initial'], dtype), batch_of(numbers, name, dtype)
    weights, statistics, graphs = renormalised(variables['params']), variables['batch_stats'], graphs_of(numbers)

    def both(batch):
        def total(weights):
            return loss(network_of(numbers), weights, statistics, graphs, batch, SIGN)

        (value, after), gradient = jax.value_and_grad(total, has_aux=True)(weights)
        return value, after, gradient

    mesh = Mesh(np.array(jax.devices()[:2]), ('devices',))
    halves = jax.device_put(batch, NamedSharding(mesh, PartitionSpec('devices')))
    assert_close(jax.device_get(jax.jit(both)(halves)), jax.device_get(both(batch)), 1e-7)


def test_conditions_of_a_batch_count_alike():
    np.testing.assert_allclose(shares(np.array([4, 7, 4, 4])), [1 / 6, 1 / 2, 1 / 6, 1 / 6])
