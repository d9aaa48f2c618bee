"""How CPA learns: the losses of the autoencoder and of the adversary, and the steps that each of them takes."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import gammaln
from jaxtyping import Float, Int, Key

from perturbjax.models.cpa.network import Adversary, Autoencoder, CellBatch, Mixing, Output
from perturbjax.screens.arrays import Array

Variables = Mapping[str, Any]

_EPSILON = 1e-8


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


class Guessed(NamedTuple):
    """What the adversary is asked for: the class of each cell (of conditions, of contexts), and weights of classes.

    Attributes:
      classes: one array for each thing that is guessed.
      weights: how much a cell of each class counts.
    """

    classes: tuple[Int[Array, ' B'], ...]
    weights: tuple[Float[Array, ' _C'], ...]


def reconstruction(likelihood: str, output: Output, x: Float[Array, 'B G'], weight: Float[Array, ' B']) -> jax.Array:
    """Minus the log likelihood of the cells, summed over readouts; the mean over cells."""
    if likelihood == 'gauss':
        each = 0.5 * (jnp.log(2 * jnp.pi * output.spread) + (x - output.mean) ** 2 / output.spread)
    else:
        each = -_log_negative_binomial(jnp.asarray(x), output.mean, output.spread)
    return (each.sum(axis=1) * weight).sum() / weight.sum()


def _log_negative_binomial(
    x: Float[jax.Array, 'B G'], mean: Float[jax.Array, 'B G'], theta: Float[jax.Array, '#B G']
) -> Float[jax.Array, 'B G']:
    log_both = jnp.log(theta + mean + _EPSILON)
    failures = theta * (jnp.log(theta + _EPSILON) - log_both)
    return failures + x * (jnp.log(mean + _EPSILON) - log_both) + gammaln(x + theta) - gammaln(theta) - gammaln(x + 1)


def guess_loss(
    logits: tuple[Float[jax.Array, 'B _C'], ...], guessed: Guessed, weight: Float[Array, ' B'], mixing: Mixing | None
) -> Float[jax.Array, '']:
    """The cross entropy of what is guessed, weighted by class; the sum over the things that are guessed."""

    def entropy(own: jax.Array, classes: Array, of_class: Array) -> jax.Array:
        each = -jnp.take_along_axis(jax.nn.log_softmax(own), jnp.asarray(classes)[:, None], axis=1)[:, 0]
        counts = jnp.asarray(of_class, own.dtype)[classes] * weight
        return (counts * each).sum() / counts.sum()

    total = jnp.zeros((), logits[0].dtype)
    for own, classes, of_class in zip(logits, *guessed, strict=True):
        loss = entropy(own, classes, of_class)
        if mixing is not None:
            other = entropy(own, jnp.asarray(classes)[mixing.order], of_class)
            share = jnp.asarray(mixing.share, loss.dtype)
            loss = share * loss + (1 - share) * other
        total += loss
    return total


def guess_and_slopes(
    adversary: Adversary, weights: Variables, statistics: Variables, basal: Float[Array, 'B D'],
    weight: Float[Array, ' B'], key: Key[jax.Array, ''],
) -> tuple[tuple[jax.Array, ...], Float[jax.Array, ''], Variables]:  # fmt: skip
    """The logits in training; the penalty, which is the mean square of d (sum of logits) / d basal; the statistics."""

    def logits(basal: jax.Array) -> tuple[tuple[jax.Array, ...], Variables]:
        return _guess(adversary, weights, statistics, basal, weight, key)

    found, pull, after = jax.vjp(logits, jnp.asarray(basal), has_aux=True)
    penalty = jnp.zeros((), basal.dtype)
    for i in range(len(found)):
        ones = tuple(jnp.broadcast_to((weight * (i == j))[:, None], own.shape) for j, own in enumerate(found))
        (slopes,) = pull(ones)
        penalty += (slopes**2).sum() / (weight.sum() * basal.shape[1])
    return found, penalty, after


def _guess(
    adversary: Adversary, weights: Variables, statistics: Variables, basal: Float[Array, 'B D'],
    weight: Float[Array, ' B'], key: Key[jax.Array, ''],
) -> tuple[tuple[jax.Array, ...], Variables]:  # fmt: skip
    variables = {'params': weights, 'batch_stats': statistics}
    found, after = adversary.apply(variables, basal, weight, True, mutable=['batch_stats'], rngs={'dropout': key})
    return found, after['batch_stats']


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
        logits, moved = _guess(
            players.adversary, other.weights, other.statistics, output.basal, batch.weight, jax.random.fold_in(key, 1)
        )
        guess = guess_loss(logits, guessed, batch.weight, mixing)
        aux = (output.basal, after['batch_stats'], moved, {'reconstruction': loss, 'guess': guess})
        return loss - jnp.asarray(share, loss.dtype) * guess, aux

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
        guess = guess_loss(logits, guessed, batch.weight, mixing)
        return guess + players.rates.penalty * penalty, (after, {'guess': guess, 'penalty': penalty})

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
