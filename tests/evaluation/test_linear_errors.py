import jax
import jax.numpy as jnp
import numpy as np
import pytest

from perturbjax.evaluation.linear_errors import squared_errors
from perturbjax.evaluation.linear_sweep import _unsolved
from perturbjax.models.linear import Bilinear, Params, Problem, predict
from perturbjax.models.model import Query
from perturbjax.models.per_context import ContextFits
from perturbjax.models.sums import Sums

CONTEXTS, READOUTS, PERTURBATIONS, R, T = 3, 12, 6, 4, 9
# Weights of the models: one is the identity, so that its errors can be made tiny.
WEIGHTS = jnp.stack([jnp.eye(R), -2 * jnp.eye(R), jnp.ones((R, R))])


def problem(rng, readouts):
    G, P = rng.normal(size=(readouts, R)), rng.normal(size=(PERTURBATIONS, R))
    G[1], P[4] = np.nan, np.nan
    G[:, 3] = 0  # a missing component
    zero = np.zeros((R, R))
    return Problem(*map(jnp.float32, (G, rng.normal(size=readouts), P, zero, zero, zero)))


def posed(rng):
    """Two screens with other panels; both have context 1."""
    screens = [
        ContextFits(
            jax.tree.map(lambda *each: jnp.stack(each), *(problem(rng, len(panel)) for _ in contexts)),
            jnp.array(contexts),
            jnp.array(panel),
        )
        for contexts, panel in (((0, 1), range(7)), ((1, 2), range(4, READOUTS)))
    ]
    return Params(
        (Sums(jnp.zeros((CONTEXTS, READOUTS)), jnp.ones((CONTEXTS, READOUTS)), jnp.arange(READOUTS)),), screens
    )


def with_weights(params, W):
    def finish(problem):
        return Bilinear(problem.G, W, problem.b, problem.P)

    return params._replace(screens=tuple(s._replace(fits=jax.vmap(finish)(s.fits)) for s in params.screens))


@jax.jit
def errors(params, truth, query):
    base = params._replace(screens=tuple(s._replace(fits=jax.vmap(_unsolved)(s.fits)) for s in params.screens))

    def of_models(problem, rows, measure):
        return jax.vmap(lambda W: measure(rows @ W.T))(WEIGHTS)

    return squared_errors(params, truth - predict(base, query), query, of_models)


@pytest.mark.parametrize('holes', [0, 0.2])
@pytest.mark.parametrize('noise', [1, 1e-3])
def test_errors_equal_those_of_predictions(holes, noise):
    """Also where the truth is nearly what one model says, so that its errors are small beside what they come from."""
    rng = np.random.default_rng(0)
    params = posed(rng)
    query = Query(
        jnp.asarray(rng.integers(0, CONTEXTS, T)),
        jnp.asarray(rng.integers(1, PERTURBATIONS, (T, 1))),
        jnp.asarray(rng.permutation(READOUTS)),
    )
    predictions = np.stack([predict(with_weights(params, W), query) for W in WEIGHTS])
    truth = np.nan_to_num(predictions[0]) + noise * rng.normal(size=predictions[0].shape)
    truth[rng.random(truth.shape) < holes] = np.nan
    found = errors(params, jnp.float32(truth), query)
    np.testing.assert_allclose(
        found, np.nansum((predictions - np.float32(truth)) ** 2, axis=-1), rtol=1e-5 if noise == 1 else 2e-3
    )
