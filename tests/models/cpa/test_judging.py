"""The metric that chooses an epoch: the released numbers, and brute force."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cpa_for_tests import from_torch
from sklearn.neighbors import NearestNeighbors

from perturbjax.models.cpa.judging import metric, purity, r2_of_conditions
from perturbjax.models.cpa.network import Autoencoder, CellBatch


@pytest.mark.parametrize('filled', [0, 9])
def test_the_metric_is_the_released_one(golden, dtype, filled):
    """Also with rows that only fill the batch up."""
    numbers = json.loads((golden / 'cpa.json').read_text())
    reference, names = numbers['validation'], numbers['conditions']
    x, condition = (np.array(reference['cells'][name]) for name in ('X', 'condition'))
    parts = np.full((len(x), 2), -1, np.int32)
    for row, label in zip(parts, condition, strict=True):
        ids = [numbers['perturbation_index'][part] - 1 for part in names[label].split('+')]
        row[: len(ids)] = ids
    rows = np.arange(len(x) + filled) % len(x)
    weight = (np.arange(len(rows)) < len(x)).astype(dtype)
    labels = jnp.asarray(condition[rows].astype(np.int32))
    batch = CellBatch(
        x[rows].astype(dtype), parts[rows], np.ones((len(rows), 2), dtype), labels, jnp.zeros_like(labels), weight
    )
    autoencoder = Autoencoder(40, 8, 0, 8, (12,) * 3, (12,) * 2)

    @jax.jit
    def judged(variables):
        output = autoencoder.apply(variables, batch)
        r2 = r2_of_conditions(output, batch, 10, 'nb')
        purities = [purity(state, labels, weight, 10) for state in (output.basal, output.latent)]
        return [*r2, *purities, metric(output, batch, (10,), 'nb')]

    found = judged(from_torch(numbers['weights_initial'], dtype))
    golden_names = ('r2_mean', 'r2_var', 'disnt_basal', 'disnt_after', 'cpa_metric')
    expected = [reference[name] for name in golden_names]
    np.testing.assert_allclose(found, expected, rtol=0, atol={np.float64: 1e-7, np.float32: 2e-5}[dtype])


def test_purity_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    state, label = rng.normal(size=(50, 3)), rng.integers(0, 4, 50).astype(np.int32)
    weight = (np.arange(50) < 40).astype(np.float32)
    nearest = NearestNeighbors(n_neighbors=31).fit(state[:40]).kneighbors(return_distance=False)[:, :30]
    alike = (label[nearest] == label[:40, None]).mean(axis=1)
    expected = np.mean([alike[label[:40] == each].mean() for each in np.unique(label[:40])])
    np.testing.assert_allclose(purity(state, label, weight, 6), expected, atol=1e-6)


def test_purity_of_few_cells():
    """Of four cells all three others are neighbours: a third of those of the pair are alike, none of the others."""
    state, label = np.arange(6.0)[:, None], np.array([0, 0, 1, 2, 0, 0], np.int32)
    np.testing.assert_allclose(purity(state, label, np.array([1.0, 1, 1, 1, 0, 0]), 3), (1 / 3 + 0 + 0) / 3, atol=1e-6)


def test_the_variance_of_gauss_is_the_mean_of_variances():
    from perturbjax.models.cpa.network import Output

    x = np.array([[0.0, 1.0], [2.0, 1.0], [5.0, 5.0]])
    mean, spread = np.zeros((3, 2)), np.array([[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]])
    label, weight = np.zeros(3, np.int32), np.array([1.0, 1.0, 0.0])
    output = Output(*(jnp.asarray(each) for each in (mean, mean, mean, spread)))
    batch = CellBatch(x, label[:, None], np.ones((3, 1)), label, label, weight)
    # The means of both readouts are 1, so r2 of means is 0; variances are 2 and 0, predicted as 2 and 0.
    np.testing.assert_allclose(r2_of_conditions(output, batch, 2, 'gauss'), [0, 1], atol=1e-6)
