"""The cells behind profiles, for models that learn from cells: kept where `data.keep_cells` asks for it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Int


class Cells(NamedTuple):
    """The n cells of a screen of N profiles by M readouts, on the scale of the profiles, whose means are theirs.

    Attributes:
      values: n by M, float32 scipy CSR (zeros are measured), or None where a value is missing.
      profile: the row of the screen that each cell belongs to.
    """

    values: scipy.sparse.csr_matrix | None
    profile: Int[np.ndarray, ' n']

    def of(self, profiles: Bool[np.ndarray, ' N']) -> Int[np.ndarray, ' c']:
        """The numbers of the cells of these profiles."""
        return np.flatnonzero(np.asarray(profiles)[self.profile])

    def regrouped(self, rows: Int[np.ndarray, ' N2']) -> 'Cells':
        """The cells of other profiles, each of which has those of profile `rows[i]` of now; some may be there twice."""
        cells = [np.flatnonzero(self.profile == row) for row in rows]
        chosen, profile = np.concatenate(cells), np.repeat(np.arange(len(rows)), [len(each) for each in cells])
        return Cells(None if self.values is None else self.values[chosen], profile)


class Keeper:
    """Keeps what passes by: the entries (row, column, value) of all blocks of a screen."""

    def __init__(self) -> None:
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def passing(self, entries: Iterable) -> Iterator:
        """The same entries, each kept unless it is 0."""
        for each in entries:
            there = each.value != 0
            self._kept.append((each.row[there], each.column[there], each.value[there].astype(np.float32)))
            yield each

    def cells(self, profile: Int[np.ndarray, ' n'], readouts: int) -> Cells:
        """The cells, once all entries have passed."""
        row, column, value = (np.concatenate(each) for each in zip(*self._kept, strict=True))
        self._kept.clear()
        if np.isnan(value).any():
            return Cells(None, profile)
        return Cells(scipy.sparse.csr_matrix((value, (row, column)), shape=(len(profile), readouts)), profile)
