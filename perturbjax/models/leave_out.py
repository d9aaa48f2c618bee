"""Penalties of a ridge regression, chosen by an exact leave-out error.

With M, L and the effects b of `ridge`, let P = M - M X (X'MX + L)^-1 X'M. Leaving out the rows g leaves them

    (P_gg)^-1 (P y)_g,    P y = M (y - X b),

of y, so nothing is fitted again; without weights and wholes P is I less the hat matrix, and P y the residuals. The
rows that are left out in turn are training profiles like the held-out ones, each together with its repeats in the
contexts where profiles are held out. The error counts rows alike, for it stands for that of the held-out ones.

Where whole contexts are held out, too much would leave with a row; there the regression is fitted again without each
of some folds.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.models.elimination import solve_each
from perturbjax.models.held_out_like import Folds, HeldOutLike, random_order
from perturbjax.models.ridge import (
    Normal,
    Regression,
    Wholes,
    by_block,
    is_fitted,
    solve,
    times,
    wholes_of,
    with_wholes,
    without_wholes,
)
from perturbjax.models.sums import exact_matmul

# The most rows that are left out in turn, a random choice of those like the held-out ones; fewer, but not below
# the second number, where many repeats leave with each; and the most repeats.
_TRIED, _FEWEST_TRIED, _REPEATS = 256, 64, 16
_ROWS = 1024  # of all left-out groups together
_SMALL = 256  # features; threads of LAPACK wait for each other longer than such a matrix takes
# What a penalty is chosen from, and how often each is chosen anew while the others are kept.
_GRID = tuple(10.0 ** np.arange(-2, 5))
_SWEEPS = 2


class LeftOut(NamedTuple):
    """The rows that are left out in turn, with those that leave together with each.

    Attributes:
      row: the numbers of the rows.
      counts: whether a row counts; the others only fill up.
      repeats: the rows that leave with it, itself the first.
      is_repeat: which of them exist.
    """

    row: Int[jax.Array, ' T']
    counts: Bool[jax.Array, ' T']
    repeats: Int[jax.Array, 'T G']
    is_repeat: Bool[jax.Array, 'T G']


def left_out_in_turn(like: HeldOutLike, num_slots: int) -> LeftOut:
    """The rows to leave out in turn: a random choice of 64 to 256, each with at most 16 of its group.

    Args:
      like: what stands for the held-out profiles.
      num_slots: the most profiles that a group can have: the number of contexts in all screens.
    """
    size, repeats = len(like.group), min(num_slots, _REPEATS)
    tried = min(_TRIED, max(_FEWEST_TRIED, _ROWS // repeats))
    _, row = jax.lax.top_k(jnp.where(like.is_like, random_order(size).astype(jnp.int32), -1), min(size, tried))
    group = jnp.where(like.leaves, like.group, size)
    order = jnp.argsort(group)
    first = jnp.searchsorted(group[order], group[row])
    place = first[:, None] + jnp.arange(repeats)[None, :]
    member = order.at[place].get(mode='fill', fill_value=0)
    is_member = (place < size) & (group[member] == group[row][:, None]) & (member != row[:, None])
    members = jnp.concatenate([row[:, None], jnp.where(is_member, member, 0)], axis=1)
    is_repeat = jnp.concatenate([like.is_like[row][:, None], is_member], axis=1)
    return LeftOut(row, like.is_like[row], members, is_repeat)


def leave_out_error(regression: Regression, left_out: LeftOut, penalty: Float[jax.Array, ' A']) -> Float[jax.Array, '']:
    """The mean L2 error over the rows that are left out in turn; NaN where there is none."""
    return by_block(regression, lambda normal: _error(regression, left_out, normal, penalty))


def _error(
    regression: Regression, left_out: LeftOut, normal: Normal, penalty: Float[jax.Array, ' A']
) -> Float[jax.Array, '']:
    rows = left_out.repeats
    ids, weight = regression.features[rows], None if regression.weight is None else regression.weight[rows]

    def squares(each: Normal) -> Float[jax.Array, ' T']:
        wholes = wholes_of(regression, each.change, penalty)
        gram, right = without_wholes(each, wholes, penalty)
        inverse = _inverse(gram)
        residual = each.change[rows] - times(ids, with_wholes(exact_matmul(inverse, right), wholes))
        residual = residual if weight is None else residual * weight[:, :, None]
        is_in = left_out.is_repeat & is_fitted(regression, each.change)[rows]
        both = is_in[:, :, None] & is_in[:, None, :]
        between = _between(regression, wholes, ids, weight, inverse)
        left = jnp.where(both, between, jnp.eye(rows.shape[1], dtype=between.dtype)[None])
        without = solve_each(left, jnp.where(is_in[:, :, None], residual, 0))[:, 0]
        return jnp.where(is_in[:, :1], without**2, 0).sum(axis=1)

    counts = left_out.counts & regression.is_training[left_out.row]
    total = jnp.sqrt(jax.lax.map(squares, normal).sum(axis=0))
    return jnp.where(counts, total, 0).sum() / counts.sum()


def _between(
    regression: Regression,
    wholes: Wholes | None,
    ids: Int[jax.Array, 'T G J'],
    weight: Float[jax.Array, 'T G'] | None,
    inverse: Float[jax.Array, 'F F'],
) -> Float[jax.Array, 'T G G']:
    """P above, between the rows that leave together."""
    size = regression.num_features
    own = jnp.ones(ids.shape[:2], inverse.dtype) if weight is None else weight
    identity = own[:, :, None] * jnp.eye(ids.shape[1], dtype=own.dtype)[None]
    if wholes is None:  # X A^-1 X' by picking: X is a few ones in each row
        hat = jax.vmap(lambda some: times(some, times(some, inverse).T))(ids).mT
        return identity - hat * (own[:, :, None] * own[:, None, :])
    whole = ids[:, :, -1]
    place = jnp.maximum(whole - size, 0)
    share = jnp.where(whole < 0, 0, wholes.share[place])
    x = times(ids, jnp.eye(size, dtype=own.dtype)) - share[:, :, None] * wholes.features[place]
    x = own[:, :, None] * x
    is_same = whole[:, :, None] == whole[:, None, :]
    shared = jnp.where(is_same, share[:, :, None] * own[:, :, None] * own[:, None, :], 0)
    hat = jnp.einsum('taf,fg,tbg->tab', x, inverse, x, precision='highest')
    return identity - shared - hat


def _inverse(gram: Float[jax.Array, 'F F']) -> Float[jax.Array, 'F F']:
    """The inverse of a positive definite matrix; a small one is not worth a call of LAPACK."""
    eye = jnp.eye(len(gram), dtype=gram.dtype)
    if len(gram) <= _SMALL:
        return solve_each(gram[None], eye[None])[0]
    return jax.scipy.linalg.solve(gram, eye, assume_a='pos')


def fold_error(regression: Regression, folds: Folds, penalty: Float[jax.Array, ' A']) -> Float[jax.Array, '']:
    """The mean L2 error over the rows of all folds, by the regression without each fold; NaN where there is none."""
    is_asked = (folds.number >= 0) & regression.is_training

    def of_fold(fold: tuple[jax.Array, jax.Array]) -> Float[jax.Array, '']:
        number, leaves = fold
        effects = solve(regression._replace(is_training=regression.is_training & ~leaves), penalty)
        left = regression.change - times(regression.features, effects)
        l2 = jnp.sqrt(jnp.where(jnp.isnan(left), 0, left**2).sum(axis=1))
        return jnp.where(is_asked & (folds.number == number), l2, 0).sum()

    return jax.lax.map(of_fold, (jnp.arange(len(folds.leaves)), folds.leaves)).sum() / is_asked.sum()


def choose_penalties(
    regression: Regression, left_out: LeftOut, group: Int[np.ndarray, ' A'], start: Sequence[float]
) -> Float[jax.Array, ' groups']:
    """The penalty of each group of features with the lowest leave-out error, see `_descend`."""

    def descend(normal: Normal) -> Float[jax.Array, ' groups']:
        return _descend(lambda each: _error(regression, left_out, normal, each[group]), start, normal.change.dtype)

    return by_block(regression, descend)


def choose_by_folds(
    regression: Regression, folds: Folds, group: Int[np.ndarray, ' A'], start: Sequence[float]
) -> Float[jax.Array, ' groups']:
    """The penalty of each group of features with the lowest error over folds, see `_descend`."""
    return _descend(lambda each: fold_error(regression, folds, each[group]), start, regression.change.dtype)


def _descend(
    error: Callable[[Float[jax.Array, ' groups']], Float[jax.Array, '']], start: Sequence[float], dtype: Any
) -> Float[jax.Array, ' groups']:
    """The penalties with the lowest error, by coordinate descent from a start.

    A penalty is kept where none is better, an infinite one among them: so a group may stay without effects.
    """
    grid = jnp.asarray(_GRID, dtype)

    def better(penalties: jax.Array, coordinate: jax.Array) -> tuple[jax.Array, None]:
        values = jnp.append(penalties[coordinate], grid)
        tried = jnp.where((jnp.arange(len(start)) == coordinate)[None, :], values[:, None], penalties[None, :])
        errors = jax.lax.map(error, tried)
        return tried[jnp.where(jnp.isfinite(errors), errors, jnp.inf).argmin()], None

    coordinates = jnp.tile(jnp.arange(len(start)), _SWEEPS)
    return jax.lax.scan(better, jnp.asarray(start, dtype), coordinates)[0]
