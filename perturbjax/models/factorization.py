"""Low-rank completion of a matrix by alternating least squares, and where profiles stand in such matrices.

A matrix R [I, J] of which some entries are measured is completed by `U V'`, with U [I, R] and V [J, R] that minimise

    sum over entries of (R_ij - u_i v_j)^2 + penalty * (|U|^2 + |V|^2).

The minimum for one factor, the other being fixed, is a ridge regression for each row. The sum of both
squares is what makes the nuclear norm of `U V'` small, so with enough columns the penalty alone decides
how many of them stay above 0.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.elimination import solve_each
from perturbjax.models.sums import equal_rows, exact_matmul, pad_parts, weighed
from perturbjax.screens.arrays import Array
from perturbjax.screens.vocabulary import CONTROL_ID

_ROUNDS = 10


class Factors(NamedTuple):
    """The factors of a matrix for each of U readouts."""

    left: Float[jax.Array, 'U I R']
    right: Float[jax.Array, 'U J R']


class Cells(NamedTuple):
    """Where each profile stands in a matrix: E cells for each of N profiles, whose mean it is; -1 is none."""

    row: Int[jax.Array, 'N E']
    column: Int[jax.Array, 'N E']


def complete(
    cells: Cells,
    values: Float[jax.Array, 'N U'],
    shape: tuple[int, int],
    rank: int,
    penalty: Float[Array, ''],
    importance: Float[jax.Array, ' N'] | None = None,
) -> Factors:
    """The factors of a matrix for each readout; a profile's value (NaN = not measured) stands in all of its cells.

    Its squared error counts as often as its importance says; once if None.
    """

    def of_readout(value: Float[jax.Array, ' N']) -> Factors:
        measured = ~jnp.isnan(value)
        row = jnp.where((cells.row < 0) | ~measured[:, None], shape[0], cells.row)
        ones = weighed(jnp.broadcast_to(measured[:, None], row.shape).astype(value.dtype), importance)
        weight = jnp.zeros(shape, value.dtype).at[row, cells.column].add(ones, mode='drop')
        total = jnp.zeros(shape, value.dtype)
        known = weighed(jnp.nan_to_num(value)[:, None], importance)
        total = total.at[row, cells.column].add(known, mode='drop')

        def both(_: jax.Array, factors: Factors) -> Factors:
            left = _ridge(factors.right, weight, total, penalty)
            return Factors(left, _ridge(left, weight.T, total.T, penalty))

        start = jax.random.normal(jax.random.key(0), (shape[1], rank), value.dtype) / 3
        zero = jnp.zeros((shape[0], rank), value.dtype)
        return jax.lax.fori_loop(0, _ROUNDS, both, Factors(zero, start))

    return jax.lax.map(of_readout, values.T)


def no_factors(num_readouts: int, shape: tuple[int, int], rank: int, dtype: jnp.dtype) -> Factors:
    """Factors of matrices that are 0."""
    left, right = (jnp.zeros((num_readouts, size, rank), dtype) for size in shape)
    return Factors(left, right)


def _ridge(
    fixed: Float[jax.Array, 'J R'],
    weight: Float[jax.Array, 'I J'],
    total: Float[jax.Array, 'I J'],
    penalty: Float[Array, ''],
) -> Float[jax.Array, 'I R']:
    """The best factor of the rows for that of the columns; entries count as often as `weight` says."""
    rank = fixed.shape[1]
    products = (fixed[:, :, None] * fixed[:, None, :]).reshape(len(fixed), -1)
    gram = exact_matmul(weight, products).reshape(-1, rank, rank) + penalty * jnp.eye(rank, dtype=fixed.dtype)[None]
    return solve_each(gram, exact_matmul(total, fixed)[:, :, None])[:, :, 0]


def entries(factors: Factors, cells: Cells) -> Float[jax.Array, 'N U']:
    """The completed value of each profile: the sum over its cells; 0 where it has none."""
    left = jnp.asarray(factors.left).at[:, cells.row].get(mode='fill', fill_value=0, wrap_negative_indices=False)
    right = jnp.asarray(factors.right).at[:, cells.column].get(mode='fill', fill_value=0, wrap_negative_indices=False)
    return (left * right).sum(axis=(2, 3)).T


def pair_cells(perturbation: Int[Array, 'N K']) -> Cells:
    """The matrix parts x parts: each pair of parts of a combination, in both orders."""
    parts = jnp.where(jnp.asarray(perturbation) > CONTROL_ID, perturbation, -1)
    order = parts.shape[1]
    pairs = jnp.array([(a, b) for a in range(order) for b in range(order) if a != b])
    row, column = parts[:, pairs[:, 0]], parts[:, pairs[:, 1]]
    there = (row >= 0) & (column >= 0)
    return Cells(jnp.where(there, row, -1), jnp.where(there, column, -1))


def context_cells(known: Int[Array, 'I K'], context: Int[Array, ' N'], perturbation: Int[Array, 'N K']) -> Cells:
    """The matrix perturbations x contexts; `known` are its rows, as `distinct_rows` gives them."""
    row, found = find_rows(known, jnp.asarray(perturbation))
    is_there = found & (jnp.asarray(perturbation)[:, 0] > CONTROL_ID)
    return Cells(jnp.where(is_there, row, -1)[:, None], jnp.where(is_there, context, -1)[:, None])


def most_combinations(num_perturbations: int, order: int, num_profiles: int) -> int:
    """The most distinct perturbations that so many profiles can have, the control among them."""
    # A part may be there twice.
    possible = sum(math.comb(max(num_perturbations + k - 2, 0), k) for k in range(order + 1))
    return min(num_profiles, possible)


def distinct_rows(rows: Int[Array, 'N K'], size: int) -> Int[jax.Array, '{size} K']:
    """Each row once, in lexicographic order, filled up with rows that are larger than all."""
    rows = jnp.asarray(rows)
    number = equal_rows(rows)
    largest = jnp.full((size, rows.shape[1]), jnp.iinfo(rows.dtype).max, rows.dtype)
    return largest.at[number].set(rows, mode='drop')


def find_rows(
    ordered: Int[Array, 'I K'], asked: Int[Array, 'Q K2']
) -> tuple[Int[jax.Array, ' Q'], Bool[jax.Array, ' Q']]:
    """Where each asked row stands among rows in lexicographic order, and whether it is there, by halving."""
    width = max(ordered.shape[1], asked.shape[1])
    ordered, asked = pad_parts(ordered, width), pad_parts(asked, width)

    def is_less(a: Int[jax.Array, 'Q K'], b: Int[jax.Array, 'Q K']) -> Bool[jax.Array, ' Q']:
        less = jnp.zeros(len(a), bool)
        for column in reversed(range(width)):
            less = (a[:, column] < b[:, column]) | ((a[:, column] == b[:, column]) & less)
        return less

    def halve(_: jax.Array, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = (low + high) // 2
        right = is_less(ordered[jnp.minimum(middle, len(ordered) - 1)], asked) & (low < high)
        return jnp.where(right, middle + 1, low), jnp.where(right, high, middle)

    start = jnp.zeros(len(asked), jnp.int32), jnp.full(len(asked), len(ordered), jnp.int32)
    low, _ = jax.lax.fori_loop(0, len(ordered).bit_length(), halve, start)
    place = jnp.minimum(low, len(ordered) - 1)
    return place, (ordered[place] == asked).all(axis=1)
