"""The linear model over all splits, ranks and ridges in one compiled call.

A split costs one PCA, at the highest rank: a lower one is its leading columns, and a ridge changes
nothing but the small systems that W solves. Errors come from sums over the readouts, see `linear_errors`.
"""

import functools
import itertools
import numbers
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real

from perturbjax.errors import InputError
from perturbjax.evaluation.linear_errors import Measure, squared_errors
from perturbjax.models.baselines import mean, perturbed_sums
from perturbjax.models.linear import (
    Bilinear,
    Params,
    Problem,
    Tables,
    embedding_sources,
    embedding_tables,
    fit_problems,
    predict,
    solve,
)
from perturbjax.models.model import Masks, Query
from perturbjax.models.sums import exact_matmul
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.splits import TEST, TRAIN, Split
from perturbjax.screens.vocabulary import PADDING

# By split: which profiles of each screen train, and the rows of those to predict, padded with -1.
SplitMasks = tuple[Bool[Array, 'S _N'], ...]
SplitRows = tuple[Int[Array, 'S _T'], ...]


class Errors(NamedTuple):
    """L2 errors over all readouts of T profiles, NaN where nothing was predicted.

    Attributes:
      linear: by split, rank and ridge.
      mean: of the mean baseline on the values that the linear model predicts.
    """

    linear: Float[jax.Array, 'S R L T']
    mean: Float[jax.Array, 'S T']


def linear_sweep(
    compendium: Compendium,
    training: SplitMasks,
    tested: SplitRows,
    ranks: Sequence[int],
    ridges: Sequence[float],
    readout_embedding: str = 'training',
    perturbation_embedding: str = 'training',
    seed: int = 0,
) -> Errors:
    """The errors of `linear` with every rank and ridge on every split.

    Args:
      compendium: of any number of screens and contexts, as `linear` takes it.
      training: the profiles that train, by split.
      tested: the rows of the profiles to predict, padded with -1; the T of the result counts those of
        all screens.
      ranks: R ranks, at least 1; of what comes from training. A random embedding has the highest.
      ridges: L ridges, positive.
      readout_embedding, perturbation_embedding, seed: as of `linear`.

    Raises:
      InputError: a rank or ridge out of its range; an embedding file as with `linear`.
    """
    check_sweep(ranks, ridges)
    sources = embedding_sources(readout_embedding, perturbation_embedding, seed)
    tables = embedding_tables(compendium, sources, max(ranks))
    most = max(1, *map(_most_in_a_context, compendium.screens, training))
    return _sweep(compendium, training, tested, tables, jnp.array(ranks), jnp.array(ridges), max(ranks), most)


def check_sweep(ranks: Sequence[int], ridges: Sequence[float]) -> None:
    """Raises InputError unless there are ranks and ridges, all of them positive numbers."""
    for name, values, kind in (('ranks', ranks, numbers.Integral), ('ridges', ridges, numbers.Real)):
        if not len(values) or not all(isinstance(value, kind) and value > 0 for value in values):
            whole = 'whole numbers' if kind is numbers.Integral else 'numbers'
            raise InputError(f'linear_sweep.{name}: {list(values)} must be {whole} above 0, at least one.')


def score_linear_sweep(
    compendium: Compendium, splits: Sequence[Split], ranks: Sequence[int], ridges: Sequence[float]
) -> pd.DataFrame:
    """The linear model's test error for every rank and ridge.

    Returns:
      One row each, with `split` (its seed), `rank`, `ridge`, `l2`, the mean over the test profiles
      that the model answers, over all readouts, and `ratio`, that over the same of the mean
      baseline on the same values.

    Raises:
      InputError: as `linear_sweep`.
    """
    screens = range(len(compendium.screens))
    training = tuple(np.stack([split.mask(TRAIN)[i] for split in splits]) for i in screens)
    tested = tuple(_rows([split.mask(TEST)[i] for split in splits]) for i in screens)
    errors = jax.tree.map(np.asarray, linear_sweep(compendium, training, tested, ranks, ridges))
    rows = itertools.product([split.seed for split in splits], ranks, ridges)
    table = pd.DataFrame(list(rows), columns=['split', 'rank', 'ridge'])
    answered = ~np.isnan(errors.mean)[:, None, None]
    l2, reference = (_mean_over(each, answered) for each in (errors.linear, errors.mean[:, None, None]))
    return table.assign(l2=l2.ravel(), ratio=(l2 / reference).ravel())


@functools.partial(jax.jit, static_argnames=('highest', 'most'))
def _sweep(
    compendium: Compendium,
    training: SplitMasks,
    tested: SplitRows,
    tables: Tables,
    ranks: Int[jax.Array, ' R'],
    ridges: Real[jax.Array, ' L'],
    highest: int,
    most: int,
) -> Errors:
    learned = tables[0] is None, tables[1] is None

    def of_models(problem: Problem, rows: Float[jax.Array, 'T R2'], measure: Measure) -> Float[jax.Array, 'R L T']:
        def error(rank: Int[jax.Array, ''], ridge: Real[jax.Array, '']) -> Float[jax.Array, ' T']:
            W = solve(leading(problem, rank, learned), ridge).W
            return measure(exact_matmul(rows, W.T))

        by_ridge = jax.vmap(error, in_axes=(None, 0))
        return jax.lax.map(lambda rank: by_ridge(rank, ridges), ranks)

    def of_split(split: tuple[Masks, tuple[Int[Array, ' _T'], ...]]) -> Errors:
        training, tested = split
        posed = fit_problems(compendium, training, tables, highest, lambda problem: problem, most)
        params, means = _params(posed, _unsolved), perturbed_sums(compendium, training)

        def of_screen(screen: Screen, rows: Int[Array, ' _T']) -> Errors:
            truth, query = _questions(screen, rows)
            left = truth - predict(params, query)
            compared = ~jnp.isnan(left)
            squares = squared_errors(posed, left, query, of_models)
            linear = jnp.where(compared.any(axis=1), jnp.sqrt(squares), jnp.nan)
            return Errors(linear, _l2(jnp.where(compared, truth, jnp.nan), mean().predict(means, query)))

        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *map(of_screen, compendium.screens, tested))

    return jax.lax.map(of_split, (training, tested))


def _most_in_a_context(screen: Screen, training: Bool[Array, 'S N']) -> int:
    """The largest number of training profiles that a context has in any split."""
    return max(int((training & (screen.context == context)).sum(axis=1).max()) for context in screen.present_contexts)


def _questions(screen: Screen, rows: Int[Array, ' T']) -> tuple[Float[jax.Array, 'T M'], Query]:
    """The values of the profiles at `rows` (NaN where that is padding), and the query for them."""
    values, context, perturbation = (
        jnp.asarray(each)[rows] for each in (screen.values, screen.context, screen.perturbation)
    )
    truth = jnp.where((rows == PADDING)[:, None], jnp.nan, values)
    return truth, Query(context, perturbation, jnp.asarray(screen.readout))


def _params(posed: Params, finish: Callable[[Problem], Bilinear]) -> Params:
    """The params that follow from the problems of every context."""
    screens = (each._replace(fits=jax.vmap(finish)(each.fits)) for each in posed.screens)
    return posed._replace(screens=tuple(screens))


def _unsolved(problem: Problem) -> Bilinear:
    """A fit that answers the same questions as any other of the problem, whatever W."""
    return Bilinear(problem.G, jnp.zeros_like(problem.between), problem.b, problem.P)


def leading(problem: Problem, rank: Int[jax.Array, ''], learned: tuple[bool, bool]) -> Problem:
    """The problem with only the first `rank` columns of G and of P, of those which are learned from training.

    The others weigh 0 in the systems, so that W is 0 there.
    """
    readouts, profiles = (
        (jnp.arange(size) < rank) | (not each) for size, each in zip(problem.between.shape, learned, strict=True)
    )
    return problem._replace(
        readouts=problem.readouts * (readouts[:, None] & readouts[None, :]),
        profiles=problem.profiles * (profiles[:, None] & profiles[None, :]),
        between=problem.between * (readouts[:, None] & profiles[None, :]),
    )


def _l2(truth: Float[jax.Array, 'T M'], prediction: Float[jax.Array, 'T M']) -> Float[jax.Array, ' T']:
    """sqrt(sum (y - yhat)^2) over the readouts of each profile; NaN where there is none to compare."""
    error = prediction - truth
    compared = ~jnp.isnan(error)
    return jnp.where(compared.any(axis=-1), jnp.sqrt(jnp.where(compared, error**2, 0).sum(axis=-1)), jnp.nan)


def _rows(masks: Sequence[Bool[np.ndarray, ' N']]) -> Int[np.ndarray, 'S T']:
    """Where each mask is True, padded with -1 to the longest."""
    rows = [np.flatnonzero(mask) for mask in masks]
    longest = max(map(len, rows))
    return np.stack([np.pad(each, (0, longest - len(each)), constant_values=PADDING) for each in rows])


def _mean_over(
    errors: Float[np.ndarray, ' S #R #L T'], answered: Bool[np.ndarray, 'S 1 1 T']
) -> Float[np.ndarray, ' S #R #L']:
    """Means over the answered profiles; NaN where there is none."""
    with np.errstate(invalid='ignore'):
        return np.where(answered, errors, 0).sum(axis=-1) / answered.sum(axis=-1)
