"""The bilinear ridge model of Ahlmann-Eltze et al. 2025, as their released code computes it.

Within one context, Y [M, N] is the change (profile minus control) of the training profiles,
control among them; b is the mean change; G [M, R] embeds the readouts and P [N, R2] the
perturbations. With ridge l,

    W = (G'G + l I)^-1 G' (Y - b) P (P'P + l I)^-1,    prediction = G W P' + b + control.

G from training is a PCA of the training *levels* with readouts as observations (each profile
centred over the readouts); P from training holds the rows of that G for the perturbed genes, 0
for control. Profiles whose perturbation has no embedding take part in the PCA and in nothing else.
A profile of weight 2 counts as one that is there twice, in the PCA too.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Real, Shaped

from perturbjax.errors import check_positive, check_range
from perturbjax.models.baselines import control_sums, delta, in_context
from perturbjax.models.embedding import Embedding, embedding
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.per_context import ContextFits, fit_contexts, predict_contexts
from perturbjax.models.sums import Sums, columns, exact_matmul, weighed
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import CONTROL_ID, PADDING, Vocabulary

# G of all readouts and P of all perturbations; None: from training.
Tables = tuple[Float[jax.Array, 'M R'] | None, Float[jax.Array, 'P R2'] | None]


class Bilinear(NamedTuple):
    """The fit of one context; Z is R2 there. A NaN row of G or P: no embedding."""

    G: Float[jax.Array, 'M R']
    W: Float[jax.Array, 'R Z']
    b: Float[jax.Array, ' M']
    P: Float[jax.Array, 'P R2']


class Problem(NamedTuple):
    """What W follows from, with any ridge, in one context.

    Attributes:
      G, b, P: as in `Bilinear`.
      readouts: `G'G`.
      profiles: `P'P` over the training profiles.
      between: `G' (Y - b) P`.
    """

    G: Float[jax.Array, 'M R']
    b: Float[jax.Array, ' M']
    P: Float[jax.Array, 'P R2']
    readouts: Float[jax.Array, 'R R']
    profiles: Float[jax.Array, 'Z Z']
    between: Float[jax.Array, 'R Z']


class Params(NamedTuple):
    """Control by context, and the fits of every screen."""

    control: tuple[Sums, ...]
    screens: tuple[ContextFits, ...]


def linear(
    rank: int = 10,
    ridge: float = 0.1,
    readout_embedding: str = 'training',
    perturbation_embedding: str = 'training',
    seed: int = 0,
) -> Model:
    """The bilinear model, fitted in every context of every screen on its own.

    Args:
      rank: components of the PCA, and columns of a random or zero embedding.
      ridge: l above, positive.
      readout_embedding: G: `training`, `identity`, `zero`, `random`, or a file with a vector per readout, or another
        source of `feature_sources.vectors`.
      perturbation_embedding: P: the same, from a file with a vector per perturbation (with or
        without its type). A combination's row is the sum of its parts'.
      seed: of the random embeddings.

    Raises:
      InputError: an embedding file that cannot be read or that names nothing of the screen.
    """
    check_range('models.linear', 1, rank=rank)
    check_positive('models.linear', ridge=ridge)
    sources = embedding_sources(readout_embedding, perturbation_embedding, seed)

    def fit(compendium: Compendium, training: Masks) -> Params:
        tables = embedding_tables(compendium, sources, rank)
        return fit_problems(compendium, training, tables, rank, lambda problem: solve(problem, ridge))

    return Model(fit, predict)


def embedding_sources(readouts: str, perturbations: str, seed: int) -> tuple[Embedding, Embedding]:
    """Where G and P come from."""
    return embedding(readouts, seed, 'readout'), embedding(perturbations, seed + 1)


def embedding_tables(compendium: Compendium, sources: tuple[Embedding, Embedding], width: int) -> Tables:
    """G and P for the names of the vocabulary."""
    dtype = jax.dtypes.canonicalize_dtype(compendium.screens[0].values.dtype)
    names = compendium.vocabulary
    return sources[0](names.readouts, width, dtype), sources[1](names.perturbations, width, dtype)


def fit_problems(
    compendium: Compendium,
    training: Masks,
    tables: Tables,
    rank: int,
    finish: Callable[[Problem], Bilinear | Problem],
    most: int | None = None,
) -> Params:
    """The control, and what `finish` makes of the problem of every context of every screen.

    With `most`, no context has more training profiles, and the PCA is only of so many.
    """
    control = control_sums(compendium, training)

    def fit_screen(screen: Screen, mask: Bool[Array, ' N']) -> ContextFits:
        change, perturbation = delta(screen, control), jnp.asarray(screen.perturbation)

        def fit(in_context: Bool[jax.Array, ' N']) -> Bilinear | Problem:
            used = mask & in_context
            G, P = embeddings_of(screen, used, compendium.vocabulary, tables, rank, most)
            return finish(pose(change, used, G, P, perturbation, screen.weight))

        return fit_contexts(screen, fit)

    return Params(control, tuple(map(fit_screen, compendium.screens, training)))


def embeddings_of(
    screen: Screen, used: Bool[Array, ' N'], vocabulary: Vocabulary, tables: Tables, rank: int, most: int | None
) -> tuple[Float[jax.Array, 'M R'], Float[jax.Array, 'P R2']]:
    """G of the screen's readouts and P of all perturbations, from the profiles in `used` where no table has them."""
    levels, panel = jnp.asarray(screen.values), jnp.asarray(screen.readout)
    times = used if screen.weight is None else used * jnp.asarray(screen.weight)
    if most is not None:
        rows = jnp.flatnonzero(used, size=most, fill_value=len(used))
        levels, times = (jnp.take(each, rows, axis=0, mode='fill', fill_value=0) for each in (levels, times))
    root = times if screen.weight is None else jnp.sqrt(times)
    scores = components(_fill(levels, times).T * root[None, :], rank)
    G = scores if tables[0] is None else tables[0][panel]
    P = perturbed_rows(scores, panel, vocabulary) if tables[1] is None else tables[1]
    return G, P.at[CONTROL_ID].set(0)


def pose(
    change: Float[Array, 'N M'],
    used: Bool[Array, ' N'],
    G: Float[jax.Array, 'M R'],
    P: Float[jax.Array, 'P R2'],
    perturbation: Int[Array, 'N K'],
    weight: Float[Array, ' N'] | None = None,
) -> Problem:
    """The problem of the profiles in `used` whose perturbation has a row in P.

    A value not measured counts as the mean change of its readout; a readout without a row in G
    (NaN) takes no part. With weights all sums over profiles are weighted.
    """
    return pose_rows(change, used, G, P, sum_of_parts(P, perturbation), weight)


def pose_rows(
    change: Float[Array, 'N M'],
    used: Bool[Array, ' N'],
    G: Float[jax.Array, 'M R'],
    P: Float[jax.Array, 'P R2'],
    rows: Float[jax.Array, 'N Z'],
    weight: Float[Array, ' N'] | None = None,
) -> Problem:
    """The same, with the embedding of every profile given; `P` is kept to predict by."""
    used = used & ~jnp.isnan(rows).any(axis=1)
    rows = jnp.where(used[:, None], rows, 0)
    measured = ~jnp.isnan(change) & used[:, None]
    b = weighed(jnp.where(measured, change, 0), weight).sum(axis=0) / _number(measured, weight)
    residual = jnp.where(measured, change - b[None, :], 0)
    known, counted = jnp.nan_to_num(G), weighed(rows, weight)
    between = exact_matmul(exact_matmul(residual, known).T, counted)
    return Problem(G, b, P, exact_matmul(known.T, known), exact_matmul(rows.T, counted), between)


def _number(measured: Bool[jax.Array, 'N M'], weight: Float[Array, ' N'] | None) -> Real[jax.Array, ' M']:
    """In how many profiles each readout is measured: the sum of their weights."""
    return measured.sum(axis=0) if weight is None else weighed(1.0 * measured, weight).sum(axis=0)


def solve(problem: Problem, ridge: float | Real[jax.Array, '']) -> Bilinear:
    """The fit with that ridge."""
    left = jnp.linalg.solve(_regularised(problem.readouts, ridge), problem.between)
    W = jnp.linalg.solve(_regularised(problem.profiles, ridge), left.T).T
    return Bilinear(problem.G, W, problem.b, problem.P)


def components(observations: Float[jax.Array, 'M N'], width: int) -> Float[jax.Array, 'M {width}']:
    """PCA scores of M observations (rows); columns are centred, missing components are 0.

    With X = Q R the axes of R are those of X, and Q is not needed. Eigenvectors of X'X would cost half as
    much, but in float32 they lose the small components: singular values span a factor of several hundreds.
    """
    centred = observations - observations.mean(axis=0, keepdims=True)
    is_wide = centred.shape[0] < centred.shape[1]
    _, s, axes = jnp.linalg.svd(jnp.linalg.qr(centred.T if is_wide else centred, mode='r'), full_matrices=False)
    scores = axes[:width].T * s[None, :width] if is_wide else exact_matmul(centred, axes[:width].T)
    return jnp.pad(scores, ((0, 0), (0, width - scores.shape[1])))


def perturbed_rows(
    scores: Float[jax.Array, 'M R'], panel: Int[Array, ' M'], vocabulary: Vocabulary
) -> Float[jax.Array, 'P R']:
    """For each perturbation, the row of the scores of the gene it targets; NaN where not measured."""
    column, there = columns(panel, vocabulary.target_readouts())
    return jnp.where(there.T, scores[column], jnp.nan)


def sum_of_parts(P: Float[Array, 'P R2'], perturbation: Int[Array, 'N K']) -> Float[jax.Array, 'N R2']:
    """Embeddings of combinations: the sum of the rows of their parts."""
    return jnp.where(perturbation[..., None] == PADDING, 0, P[perturbation]).sum(axis=1)


def _fill(levels: Float[jax.Array, 'N M'], times: Shaped[Array, ' N']) -> Float[jax.Array, 'N M']:
    """Levels with the mean of the used profiles where not measured, 0 where none measured it.

    `times` says how often each profile counts in the mean; 0 is not used.
    """
    measured = ~jnp.isnan(levels) & (times > 0)[:, None]
    weight = None if times.dtype == bool else times
    number = _number(measured, weight)
    mean = weighed(jnp.where(measured, levels, 0), weight).sum(axis=0) / jnp.where(number > 0, number, 1)
    return jnp.where(jnp.isnan(levels), mean[None, :], levels)


def _regularised(square: Float[jax.Array, 'R R'], ridge: float | Real[jax.Array, '']) -> Float[jax.Array, 'R R']:
    return square + ridge * jnp.eye(len(square), dtype=square.dtype)


def predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    """Predictions; NaN for a perturbation or a readout without an embedding."""

    def change(fit: Bilinear, column: Int[jax.Array, ' M']) -> Float[jax.Array, 'Q M']:
        rows = exact_matmul(sum_of_parts(fit.P, query.perturbation), fit.W.T)
        return exact_matmul(rows, fit.G[column].T) + fit.b[column][None, :]

    return predict_contexts(params.screens, query, change) + in_context(params.control, query)
