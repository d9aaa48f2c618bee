"""How CPA learns: the steps that the autoencoder and the adversary take, and their optimizers."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Key

from perturbjax.models.cpa.losses import Guessed, Variables, guess, guess_and_slopes, guess_loss, reconstruction
from perturbjax.models.cpa.network import Adversary, Autoencoder, CellBatch, Mixing
from perturbjax.screens.arrays import Array


class Rates(NamedTuple):
    """How the two are trained; the defaults are those of Ahlmann-Eltze et al. 2025.

    Attributes:
      autoencoder, adversary, doser: learning rates of Adam.
      autoencoder_decay, adversary_decay, doser_decay: added to the gradients, times the weights (L2).
      penalty: how much the slopes of the adversary count in its loss.
    """

    autoencoder: float = 1e-4
    adversary: float = 1e-4
    doser: float = 3e-4
    autoencoder_decay: float = 3.2170178270865573e-6
    adversary_decay: float = 7.051355554517135e-6
    doser_decay: float = 4e-7
    penalty: float = 20.0


class Players(NamedTuple):
    """The two networks, and how they are trained."""

    autoencoder: Autoencoder
    adversary: Adversary
    rates: Rates


class Side(NamedTuple):
    """What training changes of one of them."""

    weights: Variables
    statistics: Variables
    moments: Any


class State(NamedTuple):
    """What training changes."""

    autoencoder: Side
    adversary: Side


def autoencoder_step(
    players: Players, state: State, batch: CellBatch, guessed: Guessed, mixing: Mixing | None,
    share: Float[Array, ''] | None, factor: Float[Array, ''], key: Key[jax.Array, ''],
) -> tuple[State, Float[jax.Array, 'B D'], dict[str, jax.Array]]:  # fmt: skip
    """A step of the autoencoder on its loss, minus `share` of the adversary's; None leaves the adversary alone.

    Returns the state, the basal states before the step and the losses. The adversary's statistics move with it.
    """
    own, other = state

    def total(weights: Variables) -> tuple[jax.Array, Any]:
        variables = {'params': weights, 'batch_stats': own.statistics}
        output, after = players.autoencoder.apply(
            variables, batch, True, mixing, mutable=['batch_stats'], rngs={'dropout': jax.random.fold_in(key, 0)}
        )
        loss = reconstruction(players.autoencoder.likelihood, output, batch.x, batch.weight)
        if share is None:
            return loss, (output.basal, after['batch_stats'], other.statistics, {'reconstruction': loss})
        logits, moved = guess(
            players.adversary, other.weights, other.statistics, output.basal, batch.weight, jax.random.fold_in(key, 1)
        )
        of_guess = guess_loss(logits, guessed, batch.weight, mixing)
        aux = (output.basal, after['batch_stats'], moved, {'reconstruction': loss, 'guess': of_guess})
        return loss - jnp.asarray(share, loss.dtype) * of_guess, aux

    gradient, (basal, statistics, moved, losses) = jax.grad(total, has_aux=True)(own.weights)
    own = _moved(autoencoder_rule(players.rates), own._replace(statistics=statistics), gradient, factor)
    return State(own, other._replace(statistics=moved)), basal, losses


def adversary_step(
    players: Players, state: State, basal: Float[Array, 'B D'], batch: CellBatch, guessed: Guessed,
    mixing: Mixing | None, factor: Float[Array, ''], key: Key[jax.Array, ''],
) -> tuple[State, dict[str, jax.Array]]:  # fmt: skip
    """A step of the adversary on its loss and the penalty, with the basal states as they are; and the losses."""
    own = state.adversary

    def total(weights: Variables) -> tuple[jax.Array, Any]:
        logits, penalty, after = guess_and_slopes(
            players.adversary, weights, own.statistics, basal, batch.weight, jax.random.fold_in(key, 2)
        )
        of_guess = guess_loss(logits, guessed, batch.weight, mixing)
        return of_guess + players.rates.penalty * penalty, (after, {'guess': of_guess, 'penalty': penalty})

    gradient, (statistics, losses) = jax.grad(total, has_aux=True)(own.weights)
    own = _moved(adversary_rule(players.rates), own._replace(statistics=statistics), gradient, factor)
    return state._replace(adversary=own), losses


def encoded(
    players: Players, state: State, batch: CellBatch, key: Key[jax.Array, '']
) -> tuple[State, Float[jax.Array, 'B D']]:
    """The basal states in training: the encoder's statistics move, its weights do not."""
    own = state.autoencoder
    basal, after = players.autoencoder.apply(
        {'params': own.weights, 'batch_stats': own.statistics}, batch.x, batch.weight, True,
        method='encode', mutable=['batch_stats'], rngs={'dropout': jax.random.fold_in(key, 0)},
    )  # fmt: skip
    return state._replace(autoencoder=own._replace(statistics=after['batch_stats'])), basal


@functools.lru_cache
def autoencoder_rule(rates: Rates) -> optax.GradientTransformation:
    """Adam after weight decay, without the sign of descent; dosers have rates of their own."""
    rules = {
        'doser': _adam(rates.doser, rates.doser_decay),
        'rest': _adam(rates.autoencoder, rates.autoencoder_decay),
    }
    return optax.partition(
        rules, lambda weights: {name: 'doser' if name.startswith('doser_') else 'rest' for name in weights}
    )


@functools.lru_cache
def adversary_rule(rates: Rates) -> optax.GradientTransformation:
    """Adam after weight decay, without the sign of descent."""
    return _adam(rates.adversary, rates.adversary_decay)


def _adam(rate: float, decay: float) -> optax.GradientTransformation:
    return optax.chain(optax.add_decayed_weights(decay), optax.scale_by_adam(), optax.scale(rate))


def _moved(rule: optax.GradientTransformation, side: Side, gradient: Variables, factor: Float[Array, '']) -> Side:
    """The weights and moments after a step of `factor` times the rates."""
    direction, moments = rule.update(gradient, side.moments, side.weights)
    weights = jax.tree.map(lambda w, d: w - jnp.asarray(factor, w.dtype) * d, side.weights, direction)
    return side._replace(weights=weights, moments=moments)
