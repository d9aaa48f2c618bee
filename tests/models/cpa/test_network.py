"""The networks, losses and steps of CPA against the numbers of cpa-tools 0.8.8."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cpa_for_tests import batch_of, from_torch, guessed_of

from perturbjax.models.cpa.learning import (
    Players,
    Rates,
    Side,
    State,
    adversary_rule,
    adversary_step,
    autoencoder_rule,
    autoencoder_step,
    encoded,
    guess_and_slopes,
    guess_loss,
    reconstruction,
)
from perturbjax.models.cpa.network import Adversary, Autoencoder

TOLERANCE = {np.float64: 1e-7, np.float32: 1e-5}
KEY = 0


@pytest.fixture
def numbers(golden):
    return json.loads((golden / 'cpa.json').read_text())


def players_of(contexts=0, **options):
    autoencoder = Autoencoder(40, 8, contexts, 8, (12,) * 3, (12,) * 2, dropout=0.0, **options)
    classes = (10, contexts) if contexts else (10,)
    return Players(autoencoder, Adversary(classes, 8, (10,) * 2, dropout=0.0), Rates())


def assert_close(ours, theirs, atol):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map_with_path(
        lambda path, a, b: np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path)),
        ours,
        theirs,
    )


def test_states_and_means_in_eval_mode(numbers, dtype):
    reference, tolerance = numbers['eval'], TOLERANCE[dtype]
    variables, batch = from_torch(numbers['weights_initial'], dtype), batch_of(numbers, 0, dtype)
    output = jax.jit(players_of().autoencoder.apply)(variables, batch)
    assert output.mean.dtype == dtype
    for ours, name in (
        (output.basal, 'latent_basal'),
        (output.latent - output.basal, 'latent_perturbation'),
        (output.latent, 'latent'),
        (output.mean, 'mean'),
        (output.spread[0], 'inverse_dispersion'),
    ):
        np.testing.assert_allclose(ours, reference[name], rtol=0, atol=tolerance, err_msg=name)
    loss = reconstruction('nb', output, batch.x, batch.weight)
    np.testing.assert_allclose(loss, reference['reconstruction_loss'], rtol=tolerance, atol=0)
