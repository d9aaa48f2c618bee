"""The predictions of CPA from its params, worked out in numpy."""

import jax
import numpy as np
import pytest

from perturbjax.models.cpa.network import Autoencoder, CellBatch
from perturbjax.models.cpa.predicting import predict
from perturbjax.models.model import Query


def sized(readouts, perturbations, contexts):
    return Autoencoder(readouts, perturbations, contexts, 2, (3,), (4,))


@pytest.fixture(scope='module')
def params():
    """Two contexts with 300 control cells each, whose sums are 50 and 80; three readouts, of which one is asked for."""
    rng = np.random.default_rng(0)
    x, one = np.zeros((1, 3), np.float32), np.zeros(1, np.int32)
    batch = CellBatch(x, one[:, None], np.ones((1, 1), np.float32), one, one, np.ones(1, np.float32))
    variables = sized(3, 4, 0).init(jax.random.key(0), batch)
    return {
        'weights': variables['params'],
        'statistics': variables['batch_stats'],
        'basal': rng.normal(size=(2, 300, 2)).astype(np.float32),
        'totals': np.repeat(np.array([[50.0], [80.0]], np.float32), 300, axis=1),
        'control': rng.uniform(size=(2, 3)).astype(np.float32),
        'embedded': one.repeat(2),
        'column': np.array([2, -1, 0], np.int32),
        'is_known': np.array([True, True, True, False]),
    }


def by_hand(params, context, parts, total):
    """The mean over control cells of ln(1 + total x softmax of the decoder)."""
    weights = jax.tree.map(np.asarray, params['weights'])
    latent = params['basal'][context] + sum(weights['perturbation'][part] for part in parts)
    layers = weights['decoding']['linear_0'], weights['to_mean']
    hidden = np.maximum(latent @ layers[0]['kernel'] + layers[0]['bias'], 0)
    logits = hidden @ layers[1]['kernel'] + layers[1]['bias']
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.log1p(total * shares).mean(axis=0)


def test_as_released_and_as_a_change(params):
    parts = np.array([[1, -1], [1, 2], [0, -1], [1, 3]], np.int32)
    asked = Query(np.array([0, 1, 1, 0], np.int32), parts, np.array([0, 1, 2], np.int32))
    released, change = (np.asarray(predict(sized, profile, params, asked)) for profile in ('released', 'change'))
    for row, (context, own, total) in enumerate([(0, [1], 50), (1, [1, 2], 80), (1, [0], 80)]):
        expected = by_hand(params, context, own, 1e4)
        np.testing.assert_allclose(released[row, [0, 2]], expected[[2, 0]], rtol=1e-5)
        moved = by_hand(params, context, own, total) - by_hand(params, context, [0], total)
        expected = params['control'][context] + moved
        np.testing.assert_allclose(change[row, [0, 2]], expected[[2, 0]], rtol=1e-5, atol=1e-6)
    for answer in (released, change):
        assert np.isnan(answer[:, 1]).all()  # no such readout
        assert np.isnan(answer[3]).all()  # a part that is not known
