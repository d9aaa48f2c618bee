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
)
from perturbjax.models.cpa.losses import Guessed, guess_and_slopes, guess_loss, reconstruction
from perturbjax.models.cpa.network import Adversary, Autoencoder, Mixing

# What is promised of the numbers is promised of the programs that users run.
pytestmark = pytest.mark.usefixtures('as_users_run_it')

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


@pytest.mark.parametrize('doser', ['logsigm'])
def test_gauss_and_dosers(numbers, dtype, doser):
    reference, tolerance = numbers['gauss'], TOLERANCE[dtype]
    x = np.log1p(np.array(numbers['batches'][0]['X']))
    batch = batch_of(numbers, 0, dtype, X=x, perts_doses=reference['doses'])
    variables = from_torch(reference['weights'], dtype, doser)
    output = players_of(likelihood='gauss', doser=doser).autoencoder.apply(variables, batch)
    np.testing.assert_allclose(output.latent, reference['latent'], rtol=0, atol=tolerance)
    np.testing.assert_allclose(output.mean, reference['mean'], rtol=0, atol=tolerance)
    np.testing.assert_allclose(output.spread**0.5, reference['standard_deviation'], rtol=0, atol=tolerance)
    loss = reconstruction('gauss', output, batch.x, batch.weight)
    np.testing.assert_allclose(loss, reference['reconstruction_loss'], rtol=tolerance, atol=0)


def before(statistics):
    """Running statistics as they start."""
    return jax.tree.map_with_path(
        lambda path, leaf: jnp.ones_like(leaf) if path[-1].key == 'variance' else jnp.zeros_like(leaf), statistics
    )


def test_contexts_are_embedded_and_guessed(numbers, dtype):
    reference, tolerance = numbers['covariate'], TOLERANCE[dtype]
    players, batch = players_of(contexts=2), batch_of(numbers, 0, dtype)
    own, other = (from_torch(reference[name], dtype) for name in ('weights', 'adversaries'))
    output, after = players.autoencoder.apply(
        own | {'batch_stats': before(own['batch_stats'])}, batch, True, mutable=['batch_stats']
    )
    np.testing.assert_allclose(output.latent, reference['latent'], rtol=0, atol=tolerance)
    np.testing.assert_allclose(output.mean, reference['mean'], rtol=0, atol=tolerance)
    assert_close(after['batch_stats'], own['batch_stats'], tolerance)
    loss = reconstruction('nb', output, batch.x, batch.weight)
    np.testing.assert_allclose(loss, reference['reconstruction_loss'], rtol=tolerance, atol=0)
    statistics, key = before(other['batch_stats']), jax.random.key(KEY)
    logits, penalty, after = guess_and_slopes(
        players.adversary, other['params'], statistics, output.basal, batch.weight, key
    )
    np.testing.assert_allclose(penalty, reference['penalty_adv'], rtol=0, atol=tolerance)
    guess = guess_loss(logits, guessed_of(numbers, batch, 2), batch.weight, None)
    np.testing.assert_allclose(guess, reference['adv_loss'], rtol=0, atol=tolerance)
    assert_close(after, other['batch_stats'], tolerance)


def start(numbers, players, dtype):
    sides = [from_torch(numbers[name], dtype) for name in ('weights_initial', 'adversary_initial')]
    rules = (autoencoder_rule(players.rates), adversary_rule(players.rates))
    return State(*(Side(s['params'], s['batch_stats'], r.init(s['params'])) for s, r in zip(sides, rules, strict=True)))


def three_steps(numbers, dtype):
    """The state after, and the losses of, the three golden steps: both, the adversary, the autoencoder against it."""
    players, key, factor = players_of(), jax.random.key(KEY), jnp.ones((), dtype)
    state, found = start(numbers, players, dtype), []
    both, alone, game = (batch_of(numbers, i, dtype) for i in range(3))

    @jax.jit
    def run(state):
        state, basal, losses = autoencoder_step(
            players, state, both, guessed_of(numbers, both), None, None, factor, key
        )
        state, more = adversary_step(players, state, basal, both, guessed_of(numbers, both), None, factor, key)
        found.append((state, losses | more))
        state, basal = encoded(players, state, alone, key)
        state, losses = adversary_step(players, state, basal, alone, guessed_of(numbers, alone), None, factor, key)
        found.append((state, losses))
        share = jnp.asarray(numbers['training'][2]['adversary_weight'], dtype)
        state, _, losses = autoencoder_step(players, state, game, guessed_of(numbers, game), None, share, factor, key)
        return [*found, (state, losses)]

    return run(state)


def without_rounding(variables):
    """Leaves out biases that a batch norm takes away again: their gradient is 0, but for rounding."""

    def kept(path, leaf):
        names = [each.key for each in path]
        return None if names[-1] == 'bias' and 'linear' in names[-2] and 'decoding' not in names else leaf

    return jax.tree.map_with_path(kept, variables)


def gradients_of(state, first):
    """The gradients of the first step: a tenth of them, with the decay, is the first moment."""
    moments = state.autoencoder.moments.inner_states['rest'].inner_state[1].mu, state.adversary.moments[1].mu
    decays = Rates().autoencoder_decay, Rates().adversary_decay
    return [
        jax.tree.map(lambda m, w, decay=decay: 10 * m - decay * w, mu, side.weights)
        for mu, side, decay in zip(moments, first, decays, strict=True)
    ]


def test_gradients(numbers, dtype):
    state, _ = three_steps(numbers, dtype)[0]
    ours = gradients_of(state, start(numbers, players_of(), dtype))
    for own, name in zip(ours, ('gradient', 'gradient_adversary'), strict=True):
        golden = from_torch(numbers['training'][0][name], dtype)['params']
        largest = max(float(jnp.abs(each).max()) for each in jax.tree.leaves(golden))
        assert largest > 1
        assert_close(own, golden, TOLERANCE[dtype] * largest)


def test_three_steps(numbers, dtype):
    tolerance = TOLERANCE[dtype]
    for i, ((state, losses), theirs) in enumerate(zip(three_steps(numbers, dtype), numbers['training'], strict=True)):
        for name, golden in (('reconstruction', 'recon_loss'), ('guess', 'adv_loss'), ('penalty', 'penalty_adv')):
            if name in losses:
                np.testing.assert_allclose(losses[name], theirs[golden], rtol=tolerance, atol=0, err_msg=f'{name} {i}')
        for side, name in zip(state, ('weights', 'adversary'), strict=True):
            golden = from_torch(theirs[name], dtype)
            ours = {'params': side.weights, 'batch_stats': side.statistics}
            if dtype == np.float32:
                ours, golden = without_rounding(ours), without_rounding(golden)
            assert_close(ours, golden, tolerance)


def test_cells_of_no_weight_change_nothing(numbers):
    """A batch that is filled up gives the steps of the batch without what fills it up."""
    players, key, factor = players_of(), jax.random.key(KEY), jnp.ones(())
    state, batch = start(numbers, players, np.float32), batch_of(numbers, 0, np.float32)
    few = jax.tree.map(lambda each: each[:20], batch)
    filled = batch._replace(weight=jnp.where(jnp.arange(24) < 20, 1.0, 0.0))

    @jax.jit
    def steps(batch):
        number = jnp.arange(len(batch.x))
        mixing = Mixing(jnp.asarray(0.7), jnp.where(number < 20, 19 - number, number))
        mixed, guessed = batch._replace(x=mixing.of(batch.x)), guessed_of(numbers, batch)
        moved, basal, losses = autoencoder_step(players, state, mixed, guessed, mixing, jnp.asarray(5.0), factor, key)
        moved, more = adversary_step(players, moved, basal, mixed, guessed, mixing, factor, key)
        return losses, more, moved.autoencoder.statistics, moved.adversary.statistics, basal[:20]

    assert_close(steps(few), steps(filled), 1e-4)


def test_mixing_by_hand(numbers):
    """A quarter of each cell's perturbation and three of the other's; the guess counts both."""
    batch = batch_of(numbers, 0, np.float32)
    batch = jax.tree.map(lambda each: each[:2], batch)
    mixing = Mixing(jnp.asarray(0.25), jnp.array([1, 0]))
    np.testing.assert_allclose(mixing.of(batch.x), 0.25 * batch.x + 0.75 * batch.x[::-1], rtol=1e-6)
    autoencoder = players_of().autoencoder
    variables = from_torch(numbers['weights_initial'], np.float32)
    output, mixed = (autoencoder.apply(variables, batch, False, each) for each in (None, mixing))
    added = output.latent - output.basal
    np.testing.assert_allclose(mixed.latent - mixed.basal, 0.25 * added + 0.75 * added[::-1], atol=1e-6)
    logits, weights = jnp.array([[0.0, 1.0], [0.0, 0.0]]), np.array([1.0, 3.0])
    guessed = Guessed((jnp.array([0, 1]),), (weights,))
    high, low = np.log1p(np.e), np.log1p(np.e) - 1  # minus log of the shares of logits 0 and 1
    own = (high + 3 * np.log(2)) / 4
    other = (3 * low + np.log(2)) / 4
    found = guess_loss((logits,), guessed, jnp.ones(2), mixing)
    np.testing.assert_allclose(found, 0.25 * own + 0.75 * other, rtol=1e-6)
