"""The bilinear ridge model over all contexts of a screen, for contexts that nobody perturbed.

`linear` is fitted in every context on its own. Here one fit serves all: with P the embedding of a perturbation, C that
of a context and z = P (x) [1, C], all products of the two,

    change = G W z + b,    W = (G'G + l I)^-1 G' (Y - b) Z (Z'Z + l I)^-1,

with G, Y, b and l as in `linear`, over the training profiles of all contexts. C is standardised on the contexts that
train: each column has mean 0 there, and a row's squares add up to 1 on average.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_positive, check_range
from perturbjax.models.baselines import control_sums, delta, in_context
from perturbjax.models.embedding import Embedding, embedding
from perturbjax.models.linear import (
    Bilinear,
    Tables,
    embedding_sources,
    embedding_tables,
    embeddings_of,
    pose_rows,
    solve,
    sum_of_parts,
)
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import Sums, columns, exact_matmul
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen


class OfScreen(NamedTuple):
    """The fit of one screen.

    Attributes:
      fit: as in `linear`, its W over z.
      context: C, standardised; NaN for a context without an embedding.
      readout: ids of the panel.
    """

    fit: Bilinear
    context: Float[jax.Array, 'C R3']
    readout: Int[jax.Array, ' M']


class Params(NamedTuple):
    """Control by context, and the fit of every screen."""

    control: tuple[Sums, ...]
    screens: tuple[OfScreen, ...]


def linear_contexts(
    context_embedding: str,
    rank: int = 10,
    ridge: float = 0.1,
    readout_embedding: str = 'training',
    perturbation_embedding: str = 'training',
    seed: int = 0,
) -> Model:
    """The bilinear model with embeddings of contexts, fitted in all contexts of a screen together.

    It answers wherever control is known, and perturbation, readout and context have embeddings.

    Args:
      context_embedding: C: `identity`, `random`, or a file with a vector per context, or another source of
        `feature_sources.vectors`.
      rank, ridge, readout_embedding, perturbation_embedding, seed: as in `linear`; `training` is of all contexts.

    Raises:
      InputError: an embedding file that cannot be read or that names nothing of the screen.

    Example:
      >>> rule = linear_contexts('random')
    """
    check_range('models.linear_contexts', 1, rank=rank)
    check_positive('models.linear_contexts', ridge=ridge)
    if context_embedding == 'training':
        raise InputError('models.linear_contexts.context_embedding: there is none from training; name a file.')
    sources = embedding_sources(readout_embedding, perturbation_embedding, seed)
    of_contexts = embedding(context_embedding, seed + 2, 'context')

    def fit(compendium: Compendium, training: Masks) -> Params:
        tables, control = embedding_tables(compendium, sources, rank), control_sums(compendium, training)
        screens = [
            _fit(screen, jnp.asarray(mask), control, compendium, tables, of_contexts, rank, ridge)
            for screen, mask in zip(compendium.screens, training, strict=True)
        ]
        return Params(control, tuple(screens))

    return Model(fit, predict)


def _fit(
    screen: Screen, used: Bool[jax.Array, ' N'], control: tuple[Sums, ...], compendium: Compendium, tables: Tables,
    of_contexts: Embedding, rank: int, ridge: float,
) -> OfScreen:  # fmt: skip
    change, own = delta(screen, control), jnp.asarray(screen.context)
    vectors = of_contexts(compendium.vocabulary.contexts, rank, change.dtype)
    assert vectors is not None  # only `training` has none
    trains = jnp.zeros(len(vectors), bool).at[own].max(used & ~screen.is_control)
    context = standardised(vectors, trains)
    G, P = embeddings_of(screen, used, compendium.vocabulary, tables, rank, None)
    rows = products(sum_of_parts(P, jnp.asarray(screen.perturbation)), context[own])
    fit = solve(pose_rows(change, used, G, P, rows, screen.weight), ridge)
    return OfScreen(fit, context, jnp.asarray(screen.readout))


def standardised(vectors: Float[Array, 'C R3'], chosen: Bool[Array, ' C']) -> Float[jax.Array, 'C R3']:
    """Columns with a mean of 0 over the chosen rows that have vectors, whose squares add up to 1 on average."""
    vectors = jnp.asarray(vectors)
    known = jnp.asarray(chosen & ~jnp.isnan(vectors).any(axis=1))[:, None]
    number = jnp.maximum(known.sum(), 1)
    left = vectors - (jnp.where(known, vectors, 0).sum(axis=0) / number)[None, :]
    deviation = jnp.sqrt((jnp.where(known, left, 0) ** 2).sum(axis=0) / number)
    varies = deviation > 1e-6 * jnp.where(known, jnp.abs(vectors), 0).max(axis=0)
    scaled = left / jnp.where(varies, deviation, 1)[None, :] / jnp.sqrt(jnp.maximum(varies.sum(), 1))
    return jnp.where(varies[None, :] | jnp.isnan(vectors), scaled, 0)


def products(perturbation: Float[jax.Array, 'N R2'], context: Float[jax.Array, 'N R3']) -> Float[jax.Array, 'N Z']:
    """z of each profile: its perturbation's embedding, and the products of that with its context's."""
    both = jnp.concatenate([jnp.ones((len(context), 1), context.dtype), context], axis=1)
    return (perturbation[:, :, None] * both[:, None, :]).reshape(len(perturbation), -1)


def predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    """Predictions, by the first screen that has a readout; NaN where something has no embedding or no control."""
    answer = jnp.full((len(query.context), len(query.readout)), jnp.nan, params.control[0].total.dtype)
    for each in params.screens:
        column, there = columns(each.readout, query.readout)
        z = products(sum_of_parts(each.fit.P, query.perturbation), each.context[query.context])
        change = exact_matmul(exact_matmul(z, each.fit.W.T), each.fit.G[column].T) + each.fit.b[column][None, :]
        answer = jnp.where(there & jnp.isnan(answer), change, answer)
    return answer + in_context(params.control, query)
