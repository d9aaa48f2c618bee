"""Named rows, as a file holds them: what every reader returns and what becomes a Screen."""

import dataclasses

import numpy as np

from perturbjax.errors import InputError, listed
from perturbjax.screens.blocks import Values


@dataclasses.dataclass(frozen=True)
class Measurements:
    """N rows (cells, wells, signatures or profiles) by M readouts, with names on every axis.

    Attributes:
      name: of the screen; also names it in outputs.
      values: `[N, M]`, dense (NaN = not measured), scipy CSR (zeros are measured), or `blocks.Stored`, which
        stays in its file until rows are averaged to profiles; `blocks.whole` reads it.
      context: names `[N]`.
      perturbation: names `[N]` as `vocabulary.combine` writes them; control is `control`.
      readout: names `[M]`, each once.
      cells: how many rows were averaged into each profile, `[N]`.
      standard_error: of the mean over those rows, `[N, M]`; NaN where there is one row.
      halves: the means of two random halves of those rows, `[2, N, M]`; NaN where there is one row.
    """

    name: str
    values: Values
    context: np.ndarray
    perturbation: np.ndarray
    readout: np.ndarray
    cells: np.ndarray | None = None
    standard_error: np.ndarray | None = None
    halves: np.ndarray | None = None

    def __post_init__(self):
        rows, columns = self.values.shape
        if (len(self.context), len(self.perturbation), len(self.readout)) != (rows, rows, columns):
            raise InputError(
                f'{self.name}: {rows} rows x {columns} readouts do not fit {len(self.context)} contexts, '
                f'{len(self.perturbation)} perturbations and {len(self.readout)} readout names.'
            )
        if not rows or not columns:
            raise InputError(f'{self.name}: no values: {rows} rows x {columns} readouts.')
        names, counts = np.unique(self.readout.astype(str), return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f'{self.name}: readouts are named twice: {listed(names[counts > 1])}; '
                'give each its own name, or choose another column for data.fields.readout.'
            )
