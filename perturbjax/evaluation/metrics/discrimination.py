"""Is a prediction nearer to the truth of its own perturbation than to those of others?"""

import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import parts, target_gene

# (prediction, truth) -> how far apart they are.
Distance = Callable[[Float[Array, '*#batch M'], Float[Array, '*#batch M']], Float[jax.Array, '*#batch']]

# A smaller difference, relative to the distances, is float32 rounding.
_ROUNDING = 1e-6


def l1(prediction: Float[Array, '*#batch M'], truth: Float[Array, '*#batch M']) -> Float[jax.Array, '*#batch']:
    """Mean absolute difference `[...]` over the readouts that both have, of `[..., M]`."""
    return jnp.nanmean(jnp.abs(prediction - truth), axis=-1)


def cosine(prediction: Float[Array, '*#batch M'], truth: Float[Array, '*#batch M']) -> Float[jax.Array, '*#batch']:
    """1 - cosine `[...]` over the readouts that both have, of `[..., M]`; 1 where one of them is 0."""
    seen = ~jnp.isnan(prediction - truth)
    prediction, truth = jnp.where(seen, prediction, 0), jnp.where(seen, truth, 0)
    lengths = jnp.sqrt(jnp.sum(prediction**2, axis=-1)) * jnp.sqrt(jnp.sum(truth**2, axis=-1))
    angle = jnp.sum(prediction * truth, axis=-1) / jnp.where(lengths > 0, lengths, 1)
    return jnp.where(seen.any(axis=-1), 1 - angle, jnp.nan)


@functools.partial(jax.jit, static_argnames='distance')
def discrimination(
    prediction: Float[Array, 'P M'], truth: Float[Array, 'P M'], left_out: Bool[Array, 'P M'], distance: Distance
) -> Float[jax.Array, ' P']:
    """The perturbation discrimination score (PDS) of each of P predictions; 0 to 1, higher is better.

    1 - rank / (P - 1), where rank is the number of other truths that are nearer to the prediction than its own.
    Ties take the middle rank, so chance scores 0.5, and so does the same prediction for all perturbations.
    NaN if there is no other truth to compare with. Source: the score of that name in cell-eval. One difference:
    cell-eval keeps the perturbed genes of the other truths, which puts these far from any prediction, so its
    chance is above 0.5.

    Args:
      prediction: predicted changes from control of P perturbations in one context.
      truth: the true changes of the same perturbations.
      left_out: the readouts of the perturbed genes themselves, which would give the answer away.
      distance: `l1` or `cosine`.
    """

    truth = jnp.where(left_out, jnp.nan, truth)

    def score(own: Int[jax.Array, '']) -> Float[jax.Array, '']:
        seen = jnp.where(left_out[own], jnp.nan, prediction[own])
        distances = distance(seen[None, :], truth)
        difference = distances - distances[own]
        tied = jnp.abs(difference) <= _ROUNDING * jnp.abs(distances[own])
        others = (~jnp.isnan(difference)).sum() - 1
        rank = (~tied & (difference < 0)).sum() + (tied.sum() - 1) / 2
        return jnp.where(others > 0, 1 - rank / others, jnp.nan)

    return jax.lax.map(score, jnp.arange(len(prediction)))


def discriminate(
    prediction: Float[np.ndarray, 'N M'],
    truth: Float[np.ndarray, 'N M'],
    left_out: Bool[np.ndarray, 'N M'],
    group: Shaped[np.ndarray, ' N'],
    distance: Distance,
) -> Float[np.ndarray, ' N']:
    """Computes `discrimination` within each group of profiles."""
    scores = np.full(len(group), np.nan)
    for each in np.unique(group):
        rows = np.flatnonzero(group == each)
        # Groups are padded to a power of two, so that they share compilations.
        most = 1 << (len(rows) - 1).bit_length()
        padded = np.pad(rows, (0, most - len(rows)))
        own = np.where((np.arange(most) < len(rows))[:, None], truth[padded], np.nan)
        scores[rows] = discrimination(prediction[padded], own, left_out[padded], distance)[: len(rows)]
    return scores


def perturbed_readouts(perturbations: Iterable[str], readouts: Iterable[str]) -> Bool[np.ndarray, 'N M']:
    """Which readouts are those of the perturbed genes themselves, for each of N perturbations."""
    names, panel = list(perturbations), list(readouts)
    column = {name: i for i, name in enumerate(panel)}
    own = np.zeros((len(names), len(panel)), bool)
    for row, name in enumerate(names):
        own[row, [column[gene] for gene in map(target_gene, parts(name)) if gene in column]] = True
    return own
