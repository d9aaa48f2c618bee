"""How much of the networks' prediction is kept: what the folds that they did not see say of it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from perturbjax.models.held_out_like import Folds
from perturbjax.models.model import Fitted, Model, Query, spread_of
from perturbjax.screens.arrays import Array

# Profiles of a fold that are predicted at once.
_AT_ONCE = 256


class Products(NamedTuple):
    """Sums over the measured values of each profile of a fold, of residuals R and predictions g of S seeds.

    Attributes:
      number: of values.
      residual: R R.
      cross: R times the mean of g.
      square: the mean over seeds of g g.
      pairs: the mean over pairs of seeds of g1 g2; equal to `square` with one seed.
    """

    number: Float[Array, ' n']
    residual: Float[Array, ' n']
    cross: Float[Array, ' n']
    square: Float[Array, ' n']
    pairs: Float[Array, ' n']


# (fitted, query [Q], residuals [Q, U]) -> products
OfProfiles = Callable[[Fitted, Query, Float[Array, 'Q U']], Products]


def products_of_folds(
    products: OfProfiles, fitted: Fitted, profiles: Query, residual: Float[np.ndarray, 'N U'], folds: Folds
) -> Products:
    """The products of every fold's profiles, by the members that have not seen them; `products` is compiled."""
    found = list[Products]()
    for rows, asked, own in unseen_pieces(fitted, profiles, folds):
        sums = products(own, asked, residual[np.resize(rows, _AT_ONCE)])
        found.append(Products(*(np.asarray(each, float)[: len(rows)] for each in sums)))
    return Products(*map(np.concatenate, zip(*found))) if found else Products(*np.zeros((5, 0)))


def unseen_pieces(
    fitted: Fitted, profiles: Query, folds: Folds
) -> Iterator[tuple[Int[np.ndarray, ' n'], Query, Fitted]]:
    """The profiles of each fold as `pieces` gives them, and the members that have not seen them."""
    num_folds = len(folds.leaves)
    for fold in range(num_folds):
        own = _members_of(fitted, fold, num_folds)
        for rows, asked in pieces(profiles, np.flatnonzero(folds.number == fold)):
            yield rows, asked, own


def pieces(profiles: Query, rows: Int[np.ndarray, ' R']) -> Iterator[tuple[Int[np.ndarray, ' n'], Query]]:
    """Some of the profiles, n at a time, and the query for them, repeated up to one size for all pieces."""
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        asked = np.resize(some, _AT_ONCE)
        yield some, Query(profiles.context[asked], profiles.perturbation[asked], profiles.readout)


def _members_of(fitted: Fitted, fold: int, num_folds: int) -> Fitted:
    """The members that left a fold out."""
    seeds = fitted.num_members // num_folds
    own = slice(fold * seeds, (fold + 1) * seeds)
    weights, statistics = jax.tree.map(lambda each: each[own], (fitted.weights, fitted.statistics))
    return fitted._replace(weights=weights, statistics=statistics)


def products_of(model: Model) -> OfProfiles:
    """The products of profiles and their residuals, as a pure function."""
    spread = spread_of(model)

    def products(fitted: Fitted, query: Query, residual: Float[Array, 'Q U']) -> Products:
        seeds = fitted.num_members
        measured = ~jnp.isnan(residual)
        truth = jnp.where(measured, residual, 0)
        mean = jnp.where(measured, jnp.nan_to_num(model.predict(fitted, query)), 0)
        variance = jnp.where(measured, jnp.nan_to_num(spread(fitted, query)), 0) ** 2
        square = (mean**2 + variance).sum(axis=1)
        pairs = square if seeds == 1 else ((seeds * mean**2).sum(axis=1) - square) / (seeds - 1)
        return Products(measured.sum(axis=1), (truth**2).sum(axis=1), (truth * mean).sum(axis=1), square, pairs)

    return products


def amplitude(found: Products, num_members: int) -> float:
    """How much of the prediction to keep, from 0 to 1: the least squares factor for the mean of all members.

    With g1, g2 of different seeds, the mean of n members has the square <g1 g2> + (<g g> - <g1 g2>) / n.
    A factor below its own standard error, by the jackknife over profiles, is 0.
    """
    square = found.pairs + (found.square - found.pairs) / num_members
    if not square.sum() > 0:
        return 0.0
    factor = found.cross.sum() / square.sum()
    without = (found.cross.sum() - found.cross) / np.maximum(square.sum() - square, 1e-12 * square.sum())
    error = np.sqrt((len(square) - 1) / len(square) * ((without - without.mean()) ** 2).sum())
    return float(np.clip(factor, 0, 1)) if factor > error else 0.0


def unseen_l2(found: Products, share: float, num_seeds: int) -> float:
    """The mean L2 over profiles of what the shrunken mean of the seeds leaves over; NaN where there is no fold."""
    square = found.pairs + (found.square - found.pairs) / num_seeds
    error = found.residual - 2 * share * found.cross + share**2 * square
    return float(np.sqrt(np.maximum(error, 0)).mean()) if len(error) else np.nan


def left_over(found: Products, share: float, num_members: int) -> float:
    """The mean square of what the shrunken prediction leaves over, less the variance of the members; at least 0.

    Together with that variance it is the squared error of the mean of n members. 1 where there is no fold.
    """
    variance = found.square - found.pairs
    error = found.residual - 2 * share * found.cross + share**2 * (found.pairs + variance / num_members)
    noise = (error - share**2 * variance).sum()
    return float(max(noise, 0) / found.number.sum()) if found.number.sum() else 1.0
