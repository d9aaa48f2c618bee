"""Reads predictions from a table with a row per condition and a column per readout."""

import numpy as np
import pandas as pd

from perturbjax.errors import InputError
from perturbjax.interop.foreign import CONTEXTS, Foreign, canonical_condition
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.table import finite, read_matrix

TABLES = ('.csv', '.tsv', '.txt', '.parquet')


def read_table(path: str) -> Foreign:
    """Reads the predictions of a table (text, also .gz, or parquet); infinite values count as missing.

    A column `context` (or `celltype`, `cell_type`) names the contexts, the first of the other columns names the
    conditions, and the rest are readouts.

    Raises:
      InputError: there are no readouts, or one of them has text.
    """
    table = read_matrix(path)
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()
    context = next((name for name in CONTEXTS if name in table), None)
    contexts = None if context is None else list(texts(table.pop(context)))
    if len(table.columns) < 2:
        raise InputError(f'{path}: there are no readouts; give each readout a column, next to that of the conditions.')
    names = texts(table.pop(table.columns[0]))
    if '' in names:
        raise InputError(f'{path}: {(names == "").sum()} of {len(names)} rows name no condition in the first column.')
    for name, column in table.select_dtypes(exclude='number').items():
        wrong = column[pd.to_numeric(column, errors='coerce').isna() & column.notna()]
        if len(wrong):
            raise InputError(
                f'{path}: the column {name!r} has {wrong.iloc[0]!r}, which is no number; '
                'every column but those of condition and context must be a readout.'
            )
    values = table.astype(np.float64).to_numpy()
    return Foreign(
        [canonical_condition(name) for name in names], contexts, [str(name) for name in table], finite(values, path)
    )
