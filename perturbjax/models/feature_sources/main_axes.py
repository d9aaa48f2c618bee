"""A PCA of names by what was measured of them, however wide, from the products of the names alone."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import eigsh

MOST_AXES = 32
# From here on the few longest axes of a square matrix are found faster than all of them.
_LARGE = 1000
# An axis whose square is below this share of the longest one's is rounding.
_NOISE = 1e-10

# Gives, each time it is called, the same blocks of n names by m columns, NaN where nothing was measured.
Blocks = Callable[[], Iterator[Float[np.ndarray, 'n m']]]


def products_of_incomplete(blocks: Blocks) -> Float[np.ndarray, 'n n']:
    """The products of the names over all blocks, each column of a block from its mean; what is missing is filled in.

    A value that was not measured counts as the mean of its name in that column of the other blocks, and where these
    have none either, as the mean of its own column.
    """
    total, number = np.zeros(()), np.zeros(())
    for block in blocks():
        left = from_their_means(block)
        total, number = total + np.nan_to_num(left), number + ~np.isnan(left)
    own = total / np.maximum(number, 1)
    found = np.zeros(())
    for block in blocks():
        left = from_their_means(block)
        filled = np.where(np.isnan(left), own, left)
        filled -= filled.mean(axis=0)
        found = found + filled @ filled.T
    return found


def from_their_means(values: Float[np.ndarray, 'n m']) -> Float[np.ndarray, 'n m']:
    """Each column less the mean of what was measured of it."""
    measured = ~np.isnan(values)
    return values - np.where(measured, values, 0).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)


def longest_axes(
    products: Float[np.ndarray, 'n n'], most: int = MOST_AXES
) -> tuple[Float[np.ndarray, 'n R'], Float[np.ndarray, ' R']]:
    """The unit eigenvectors of a symmetric matrix with the largest positive eigenvalues, and these; R may be 0.

    The entry of each that is farthest from 0 is positive, the first of equal ones.
    """
    size = len(products)
    if size > _LARGE:
        start = np.random.default_rng(0).normal(size=size)
        squares, axes = eigsh(products, k=most, which='LA', v0=start)
    else:
        squares, axes = np.linalg.eigh(products)
    order = np.argsort(-squares, kind='stable')[:most]
    kept = order[squares[order] > _NOISE * max(squares.max(initial=0), 0)]
    return signed(axes[:, kept]), squares[kept]


def signed(axes: Float[np.ndarray, 'n R']) -> Float[np.ndarray, 'n R']:
    """Columns with the sign that makes the entry that is farthest from 0, the first of nearly equal ones, positive."""
    size = np.abs(axes)
    first = (size > (1 - 1e-9) * size.max(axis=0, initial=0)).argmax(axis=0) if len(axes) else np.zeros(0, int)
    return axes * np.where(axes[first, np.arange(axes.shape[1])] < 0, -1, 1)


def places(products: Float[np.ndarray, 'n n'], most: int = MOST_AXES) -> Float[np.ndarray, 'n R']:
    """Where the names lie on their longest axes; the mean square of their distances from 0 is 1."""
    axes, squares = longest_axes(products, most)
    return axes * np.sqrt(squares / max(squares.sum(), np.finfo(float).tiny) * len(products))
