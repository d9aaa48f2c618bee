"""Reader of wide tables, with a column per readout."""

import pandas as pd

from perturbjax.readers.naming.fields import Fields, label_rows, readout_names, row_columns, select
from perturbjax.readers.table import finite, numbers, read_matrix, screen_name
from perturbjax.screens.measurements import Measurements


def read_wide(path: str, fields: Fields) -> Measurements:
    """A wide table: each line is a row, and every column that `fields` do not use is a readout.

    The table of the readouts has only an `index`, the names of the columns, so
    `readout_where={'index': [...]}` keeps only the named columns.

    Raises InputError where the column of a readout holds text.
    """
    table = read_matrix(path)
    table = table.iloc[select(table, fields.where, path, 'data.fields.where')]
    contexts, perturbations = label_rows(table, fields, path)
    used = {name for names in row_columns(fields) for name in (names, *names.split('|'))}
    readouts = pd.DataFrame(index=table.columns.drop(used.intersection(table.columns)))
    readouts = readouts.iloc[select(readouts, fields.readout_where, path, 'data.fields.readout_where')]
    hint = "a column that no field uses is a readout, so take it out or set data.fields.readout_where={'index': [...]}"
    values = finite(numbers(table[readouts.index], path, hint), path)
    return Measurements(screen_name(path), values, contexts, perturbations, readout_names(readouts, fields, path))
