"""Ridge regressions of all readouts on indicator features, and penalties chosen by an exact leave-out error.

Leaving out the rows g of a regression with hat matrix H and residuals r gives them the residuals

    (I - H_gg)^-1 r_g,

so nothing is fitted again. The rows that are left out in turn are training profiles like the held-out ones,
each together with its repeats in the contexts where profiles are held out.

With weights W the regression is (X'WX + L)^-1 X'Wy and H = X (X'WX + L)^-1 X'W. The error counts rows alike, for it
stands for that of the held-out ones.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.models.elimination import solve_each
from perturbjax.models.held_out_like import HeldOutLike, random_order
from perturbjax.models.sums import exact_matmul, weighed
from perturbjax.screens.arrays import Array

# The most rows that are left out in turn, a random choice of those like the held-out ones; fewer, but not below
# the second number, where many repeats leave with each; and the most repeats.
_TRIED, _FEWEST_TRIED, _REPEATS = 256, 64, 16
_ROWS = 1024  # of all left-out groups together
_SMALL = 256  # features; threads of LAPACK wait for each other longer than such a matrix takes
# What a penalty is chosen from, and how often each is chosen anew while the others are kept.
_GRID = tuple(10.0 ** np.arange(-2, 5))
_SWEEPS = 2


class Regression(NamedTuple):
    """Ridge regressions of U readouts on the same F features; a readout leaves out the rows where it is not measured.

    Attributes:
      features: the numbers of the features that are 1 in each of all N profiles, screen after screen; one that
        is there twice is 2, and -1 fills up.
      change: what is regressed; NaN where not measured.
      is_training: which rows are fitted.
      num_features: F.
      weight: of each row; None: all alike.
    """

    features: Int[jax.Array, 'N J']
    change: Float[jax.Array, 'N U']
    is_training: Bool[jax.Array, ' N']
    num_features: int
    weight: Float[jax.Array, ' N'] | None = None


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


def times(features: Int[jax.Array, '*n J'], effects: Float[Array, 'F U']) -> Float[jax.Array, '*n U']:
    """`X @ effects`: the sum of the effects of each row's features."""
    rows = jnp.asarray(effects).at[features].get(mode='fill', fill_value=0, wrap_negative_indices=False)
    return rows.sum(axis=-2)


class Normal(NamedTuple):
    """The normal equations of B blocks of u readouts; the readouts of a block are measured in the same rows."""

    gram: Float[jax.Array, 'B F F']
    right: Float[jax.Array, 'B F u']
    change: Float[jax.Array, 'B N u']


def _by_block(regression: Regression, function: Callable[[Normal], Any]) -> Any:
    """The function of the normal equations: of one block if all readouts are measured in the same rows, else of U."""
    change = regression.change
    measured = ~jnp.isnan(change) & regression.is_training[:, None]

    def normal(change: Float[jax.Array, 'N u']) -> Normal:
        num_features, fitted = regression.num_features, _fitted(regression, change)
        ids = jnp.where((regression.features < 0) | ~fitted[:, None], num_features, regression.features)
        gram = jnp.zeros((num_features, num_features), change.dtype)
        each = 1 if regression.weight is None else regression.weight[:, None, None]
        gram = gram.at[ids[:, :, None], ids[:, None, :]].add(each, mode='drop')
        right = jnp.zeros((num_features, change.shape[1]), change.dtype)
        counted = weighed(jnp.where(fitted[:, None], change, 0), regression.weight)
        right = right.at[ids].add(counted[:, None, :], mode='drop')
        return Normal(gram, right, change)

    def of_blocks(blocks: Float[jax.Array, 'B N u']) -> Any:
        return function(jax.lax.map(normal, blocks))

    is_shared = (measured == measured[:, :1]).all()
    return jax.lax.cond(is_shared, lambda: of_blocks(change[None]), lambda: of_blocks(change.T[:, :, None]))


def _fitted(regression: Regression, change: Float[jax.Array, 'N u']) -> Bool[jax.Array, ' N']:
    return regression.is_training & ~jnp.isnan(change[:, 0])


def solve(regression: Regression, penalty: Float[jax.Array, ' F']) -> Float[jax.Array, 'F U']:
    """The effects, with the penalty of each feature."""

    def of_blocks(normal: Normal) -> Float[jax.Array, 'F U']:
        def of_block(each: Normal) -> Float[jax.Array, 'F u']:
            return jax.scipy.linalg.solve(each.gram + jnp.diag(penalty), each.right, assume_a='pos')

        effects = jax.lax.map(of_block, normal)
        return jnp.moveaxis(effects, 1, 0).reshape(effects.shape[1], -1)

    return _by_block(regression, of_blocks)


def leave_out_error(regression: Regression, left_out: LeftOut, penalty: Float[jax.Array, ' F']) -> Float[jax.Array, '']:
    """The mean L2 error over the rows that are left out in turn; NaN where there is none."""
    return _by_block(regression, lambda normal: _error(regression, left_out, normal, penalty))


def _error(
    regression: Regression, left_out: LeftOut, normal: Normal, penalty: Float[jax.Array, ' F']
) -> Float[jax.Array, '']:
    ids = regression.features[left_out.repeats]
    dtype, size = regression.change.dtype, left_out.repeats.shape[1]
    root = None if regression.weight is None else jnp.sqrt(regression.weight)[left_out.repeats]

    def squares(each: Normal) -> Float[jax.Array, ' T']:
        inverse = _inverse(each.gram + jnp.diag(penalty))
        effects = exact_matmul(inverse, each.right)
        is_in = left_out.is_repeat & _fitted(regression, each.change)[left_out.repeats]
        # X (X'DX + L)^-1 X' of the rows g, by picking: X is a few ones in each row.
        hat = jax.vmap(lambda some: times(some, times(some, inverse).T))(ids).mT
        hat = jnp.where(is_in[:, :, None] & is_in[:, None, :], hat, 0)
        residual = each.change[left_out.repeats] - times(ids, effects)
        if root is not None:  # sqrt(W) r with sqrt(W) X A^-1 X' sqrt(W), which is symmetric
            hat, residual = root[:, :, None] * hat * root[:, None, :], root[:, :, None] * residual
        left = jnp.eye(size, dtype=dtype)[None] - hat
        without = solve_each(left, jnp.where(is_in[:, :, None], residual, 0))[:, 0]
        without = without if root is None else without / root[:, :1]
        return jnp.where(is_in[:, :1], without**2, 0).sum(axis=1)

    counts = left_out.counts & regression.is_training[left_out.row]
    total = jnp.sqrt(jax.lax.map(squares, normal).sum(axis=0))
    return jnp.where(counts, total, 0).sum() / counts.sum()


def _inverse(gram: Float[jax.Array, 'F F']) -> Float[jax.Array, 'F F']:
    """The inverse of a positive definite matrix; a small one is not worth a call of LAPACK."""
    eye = jnp.eye(len(gram), dtype=gram.dtype)
    if len(gram) <= _SMALL:
        return solve_each(gram[None], eye[None])[0]
    return jax.scipy.linalg.solve(gram, eye, assume_a='pos')


def choose_penalties(
    regression: Regression, left_out: LeftOut, group: Int[np.ndarray, ' F'], num_groups: int
) -> Float[jax.Array, ' groups']:
    """The penalty of each group of features with the lowest leave-out error, by coordinate descent from 1."""
    grid = jnp.asarray(_GRID, regression.change.dtype)

    def descend(normal: Normal) -> Float[jax.Array, ' groups']:
        def better(penalties: jax.Array, coordinate: jax.Array) -> tuple[jax.Array, None]:
            tried = jnp.where((jnp.arange(num_groups) == coordinate)[None, :], grid[:, None], penalties[None, :])
            errors = jax.lax.map(lambda each: _error(regression, left_out, normal, each[group]), tried)
            return tried[jnp.where(jnp.isfinite(errors), errors, jnp.inf).argmin()], None

        coordinates = jnp.tile(jnp.arange(num_groups), _SWEEPS)
        return jax.lax.scan(better, jnp.ones(num_groups, grid.dtype), coordinates)[0]

    return _by_block(regression, descend)
