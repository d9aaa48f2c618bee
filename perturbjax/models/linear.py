"""The bilinear ridge model of Ahlmann-Eltze et al. 2025, as their released code computes it.

Within one context, Y [M, N] is the change (profile minus control) of the training profiles,
control among them; b is the mean change; G [M, R] embeds the readouts and P [N, R'] the
perturbations. With ridge l,

    W = (G'G + l I)^-1 G' (Y - b) P (P'P + l I)^-1,    prediction = G W P' + b + control.

G from training is a PCA of the training *levels* with readouts as observations (each profile
centred over the readouts); P from training holds the rows of that G for the perturbed genes, 0
for control. Profiles whose perturbation has no embedding take part in the PCA and in nothing else.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from perturbjax.errors import check_range
from perturbjax.models.baselines import control_sums, delta, in_context
from perturbjax.models.embedding import Embedding, embedding
from perturbjax.models.model import (
    ContextFits,
    Masks,
    Model,
    Query,
    Sums,
    columns,
    exact_matmul,
    fit_contexts,
    predict_contexts,
)
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID, PADDING, Vocabulary, target


class Bilinear(NamedTuple):
    """The fit of one context: `G [M, R]`, `W [R, R']`, `b [M]`, `P [P, R']` (NaN rows: no embedding)."""

    G: jax.Array
    W: jax.Array
    b: jax.Array
    P: jax.Array


class Params(NamedTuple):
    control: tuple[Sums, ...]
    screens: tuple[ContextFits, ...]


def linear(
    rank: int | jax.Array = 10,
    ridge: float | jax.Array = 0.1,
    readout_embedding: str = 'training',
    perturbation_embedding: str = 'training',
    seed: int = 0,
    max_rank: int | None = None,
) -> Model:
    """The bilinear model, fitted in every context of every screen on its own.

    Args:
      rank: components of the PCA, and columns of a random or zero embedding.
      ridge: l above, positive.
      readout_embedding: G: `training`, `identity`, `zero`, `random`, or a file with a column per readout.
      perturbation_embedding: P: the same, from a file with a column per perturbation (with or
        without its type). A combination's row is the sum of its parts'.
      seed: of the random embeddings.
      max_rank: static bound of `rank`; with it, rank and ridge may be traced, so that a whole
        grid of them is one vmap.

    Raises:
      InputError: an embedding file that cannot be read or that names nothing of the screen.
    """
    if max_rank is None:
        check_range('models.linear', 1, rank=rank)
        check_range('models.linear', 0.0, ridge=ridge)
    width = int(rank) if max_rank is None else max_rank
    sources = embedding(readout_embedding, seed), embedding(perturbation_embedding, seed + 1)

    def fit(compendium: Compendium, training: Masks) -> Params:
        control = control_sums(compendium, training)
        fit_one = functools.partial(_fit_screen, compendium.vocabulary, control, sources, rank, width, ridge)
        return Params(control, tuple(map(fit_one, compendium.screens, training)))

    return Model(fit, _predict)


def _fit_screen(
    vocabulary: Vocabulary,
    control: tuple[Sums, ...],
    sources: tuple[Embedding, Embedding],
    rank: int | jax.Array,
    width: int,
    ridge: float | jax.Array,
    screen: Screen,
    mask: jax.Array,
) -> ContextFits:
    levels, change = jnp.asarray(screen.values), delta(screen, control)
    panel, perturbation = jnp.asarray(screen.readout), jnp.asarray(screen.perturbation)
    readout_table = sources[0](vocabulary.readouts, width, levels.dtype)
    perturbation_table = sources[1](vocabulary.perturbations, width, levels.dtype)

    def fit(in_context: jax.Array) -> Bilinear:
        used = mask & in_context
        scores = components(_fill(levels, used).T * used[None, :], width)
        scores = scores * (jnp.arange(scores.shape[1]) < rank)[None, :]
        G = scores if readout_table is None else readout_table[panel]
        P = perturbed_rows(scores, panel, vocabulary) if perturbation_table is None else perturbation_table
        return bilinear(change, used, G, P.at[CONTROL_ID].set(0), perturbation, ridge)

    return fit_contexts(screen, fit)


def bilinear(
    change: jax.Array, used: jax.Array, G: jax.Array, P: jax.Array, perturbation: jax.Array, ridge: float | jax.Array
) -> Bilinear:
    """Solves for W on the profiles in `used` (bool `[N]`) whose perturbation has a row in P.

    A value not measured counts as the mean change of its readout; a readout without a row in G
    (NaN) takes no part. change is `[N, M]`, G `[M, R]`, P `[P, R']`, perturbation ids `[N, K]`.
    """
    rows = sum_of_parts(P, perturbation)
    used = used & ~jnp.isnan(rows).any(axis=1)
    rows = jnp.where(used[:, None], rows, 0)
    measured = ~jnp.isnan(change) & used[:, None]
    b = jnp.where(measured, change, 0).sum(axis=0) / measured.sum(axis=0)
    residual = jnp.where(measured, change - b[None, :], 0)
    known = jnp.nan_to_num(G)
    right = exact_matmul(exact_matmul(residual, known).T, rows)
    left = jnp.linalg.solve(_regularised(known, ridge), right)
    return Bilinear(G, jnp.linalg.solve(_regularised(rows, ridge), left.T).T, b, P)


def components(observations: jax.Array, width: int) -> jax.Array:
    """PCA scores `[M, width]` of M observations (rows); columns are centred, missing components are 0."""
    u, s, _ = jnp.linalg.svd(observations - observations.mean(axis=0, keepdims=True), full_matrices=False)
    scores = (u * s[None, :])[:, :width]
    return jnp.pad(scores, ((0, 0), (0, width - scores.shape[1])))


def perturbed_rows(scores: jax.Array, panel: jax.Array, vocabulary: Vocabulary) -> jax.Array:
    """For each perturbation, the row of `scores [M, R]` of the gene it targets, `[P, R]`; NaN where not measured."""
    ids = {name: i for i, name in enumerate(vocabulary.readouts)}
    genes = jnp.array([ids.get(target(name), PADDING) for name in vocabulary.perturbations])
    place, there = columns(panel, genes)
    return jnp.where(there.T, scores[place], jnp.nan)


def sum_of_parts(P: jax.Array, perturbation: jax.Array) -> jax.Array:
    """Embeddings `[N, R']` of combinations `[N, K]`: the sum of the rows of their parts."""
    return jnp.where(perturbation[..., None] == PADDING, 0, P[perturbation]).sum(axis=1)


def _fill(levels: jax.Array, used: jax.Array) -> jax.Array:
    """Levels `[N, M]` with the mean of the used profiles where not measured, 0 where none measured it."""
    measured = ~jnp.isnan(levels) & used[:, None]
    mean = jnp.where(measured, levels, 0).sum(axis=0) / jnp.maximum(measured.sum(axis=0), 1)
    return jnp.where(jnp.isnan(levels), mean[None, :], levels)


def _regularised(x: jax.Array, ridge: float | jax.Array) -> jax.Array:
    return exact_matmul(x.T, x) + ridge * jnp.eye(x.shape[1], dtype=x.dtype)


def _predict(params: Params, query: Query) -> jax.Array:
    def change(fit: Bilinear, place: jax.Array) -> jax.Array:
        rows = exact_matmul(sum_of_parts(fit.P, query.perturbation), fit.W.T)
        return exact_matmul(rows, fit.G[place].T) + fit.b[place][None, :]

    return predict_contexts(params.screens, query, change) + in_context(params.control, query)
