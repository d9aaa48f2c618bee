"""The losses of CPA: what the autoencoder gives up of the cells, and what the adversary guesses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from perturbjax.models.cpa.log_gamma import log_gamma
from perturbjax.models.cpa.network import Adversary, Mixing, Output
from perturbjax.screens.arrays import Array

Variables = Mapping[str, Any]

_EPSILON = 1e-8


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
    # A sum as a product, as in `_log_negative_binomial`.
    return ((each @ jnp.ones(each.shape[1], each.dtype)) * weight).sum() / weight.sum()


def _log_negative_binomial(
    x: Float[jax.Array, 'B G'], mean: Float[jax.Array, 'B G'], theta: Float[jax.Array, '#B G']
) -> Float[jax.Array, 'B G']:
    # XLA on a CPU computes what it sums on one core and without vectors: the repetition of theta is a product, so that
    # in its gradient the sum over cells is one too.
    theta = jnp.ones((len(x), 1), theta.dtype) @ theta if len(theta) == 1 else theta
    log_both = jnp.log(theta + mean + _EPSILON)
    failures = theta * (jnp.log(theta + _EPSILON) - log_both)
    return (
        failures
        + x * (jnp.log(mean + _EPSILON) - log_both)
        + log_gamma(x + theta)
        - log_gamma(theta)
        - log_gamma(x + 1)
    )


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
        return guess(adversary, weights, statistics, basal, weight, key)

    found, pull, after = jax.vjp(logits, jnp.asarray(basal), has_aux=True)
    penalty = jnp.zeros((), basal.dtype)
    for i in range(len(found)):
        ones = tuple(jnp.broadcast_to((weight * (i == j))[:, None], own.shape) for j, own in enumerate(found))
        (slopes,) = pull(ones)
        penalty += (slopes**2).sum() / (weight.sum() * basal.shape[1])
    return found, penalty, after


def guess(
    adversary: Adversary, weights: Variables, statistics: Variables, basal: Float[Array, 'B D'],
    weight: Float[Array, ' B'], key: Key[jax.Array, ''],
) -> tuple[tuple[jax.Array, ...], Variables]:  # fmt: skip
    """The logits in training, and the statistics after."""
    variables = {'params': weights, 'batch_stats': statistics}
    found, after = adversary.apply(variables, basal, weight, True, mutable=['batch_stats'], rngs={'dropout': key})
    return found, after['batch_stats']
