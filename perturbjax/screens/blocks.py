"""Values block by block, whether they are in memory or, where they are too large for it, still in their file."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse
from jaxtyping import Shaped

from perturbjax.progress import bar

# Entries of a block. With all that is computed from them they take about 100 MB.
ENTRIES = 2**21
# A progress bar is shown only for what takes longer, in seconds.
_SOON = 3


class Block(NamedTuple):
    """Some rows by some columns of a larger `[N, M]`.

    Attributes:
      rows, columns: the position of the block; it has either all rows or all columns.
      values: dense (NaN = not measured) or scipy sparse (zeros are measured).
    """

    rows: slice
    columns: slice
    values: Any


@dataclasses.dataclass(frozen=True)
class Stored:
    """Values `[N, M]` that stay in a file; `Measurements` can hold them in place of an array.

    Attributes:
      shape: N and M.
      read: reads all blocks from the file, in order, each time it is called.
      by_columns: whether a block has all rows of some columns, instead of all columns of some rows.
    """

    shape: tuple[int, int]
    read: Callable[[], Iterator[Block]]
    by_columns: bool = False


Values: TypeAlias = Shaped[np.ndarray, 'N M'] | scipy.sparse.csr_matrix | Stored


def blocks(values: Values, title: str) -> Iterator[Block]:
    """The values block by block, with a progress bar of that title if it takes long."""
    rows, columns = values.shape
    with bar(title, rows * columns, unit=' values', delay=_SOON) as progress:
        for block in values.read() if isinstance(values, Stored) else _cut(values):
            yield block
            progress.update(block.values.shape[0] * block.values.shape[1])


def whole(values: Values, title: str = 'reading') -> np.ndarray | scipy.sparse.csr_matrix:
    """The values in memory, dense or CSR as they are stored; with a progress bar as in `blocks`."""
    if not isinstance(values, Stored):
        return values
    found = blocks(values, title)
    first = next(found)
    if scipy.sparse.issparse(first.values):
        join = scipy.sparse.hstack if values.by_columns else scipy.sparse.vstack
        return scipy.sparse.csr_matrix(join([first.values, *(block.values for block in found)], format='csr'))
    array = np.empty(values.shape, first.values.dtype)
    for block in (first, *found):
        array[block.rows, block.columns] = block.values
    return array


def edges(indptr: np.ndarray) -> np.ndarray:
    """Where to cut N rows into blocks: row numbers, the first 0 and the last N.

    Args:
      indptr: row i has the entries `indptr[i]:indptr[i + 1]`, as in CSR, `[N + 1]`.
    """
    inside = np.searchsorted(indptr, np.arange(ENTRIES, indptr[-1], ENTRIES))
    return np.unique(np.concatenate([[0], inside, [len(indptr) - 1]]))


def _cut(values: Any) -> Iterator[Block]:
    rows, columns = values.shape
    indptr = values.indptr if scipy.sparse.issparse(values) else np.arange(rows + 1) * columns
    for start, stop in itertools.pairwise(edges(indptr)):
        yield Block(slice(start, stop), slice(0, columns), values[start:stop])
