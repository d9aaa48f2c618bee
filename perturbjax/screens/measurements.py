"""Rows with names, as a file holds them: what every reader returns, and what a Screen is made of."""

import dataclasses

import numpy as np

from perturbjax.errors import InputError, listed
from perturbjax.screens.blocks import Values
from perturbjax.screens.cells import Cells


@dataclasses.dataclass(frozen=True)
class Measurements:
    """N rows (cells, wells, signatures or profiles) by M readouts, with names on all axes.

    Attributes:
      name: of the screen, also in outputs.
      values: `[N, M]`: dense (NaN = not measured), scipy CSR (zeros are measured), or `blocks.Stored`, which
        leaves the values in their file until rows are averaged to profiles. `blocks.whole` loads them.
      context: names `[N]`.
      perturbation: names `[N]` as `vocabulary.combine` writes them; control is `control`.
      readout: names `[M]`, all different.
      cells: how many rows were averaged into each profile, `[N]`.
      standard_error: of the mean over those rows, `[N, M]`; NaN where there is only one row.
      halves: the means of two random halves of those rows, `[2, N, M]`; NaN where there is only one row.
      kept: those rows themselves, where they are kept.
    """

    name: str
    values: Values
    context: np.ndarray
    perturbation: np.ndarray
    readout: np.ndarray
    cells: np.ndarray | None = None
    standard_error: np.ndarray | None = None
    halves: np.ndarray | None = None
    kept: Cells | None = None

    def __post_init__(self):
        rows, columns = self.values.shape
        if (len(self.context), len(self.perturbation), len(self.readout)) != (rows, rows, columns):
            raise InputError(
                f'{self.name}: {rows} rows x {columns} readouts do not fit {len(self.context)} contexts, '
                f'{len(self.perturbation)} perturbations and {len(self.readout)} readout names.'
            )
        if not rows or not columns:
            raise InputError(f'{self.name}: there are no values, but {rows} rows x {columns} readouts.')
        names, counts = np.unique(self.readout.astype(str), return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f'{self.name}: readouts are named twice: {listed(names[counts > 1])}; '
                'give each a name of its own, or choose another column for data.fields.readout.'
            )
