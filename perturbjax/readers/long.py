"""Reader of long tables, with one value per line."""

import numpy as np
import pandas as pd

from perturbjax.readers.decimals import POINT, numbers
from perturbjax.readers.naming.columns import find_column
from perturbjax.readers.naming.fields import Fields, select
from perturbjax.readers.naming.rows import label_rows
from perturbjax.readers.naming.templates import filled
from perturbjax.readers.table import finite, read_shards, screen_name
from perturbjax.screens.measurements import Measurements


def read_long(path: str, fields: Fields, value: str = 'value', decimal: str = POINT) -> Measurements:
    """A long table, or a folder of its shards: each line has the value of one (context, perturbation, readout).

    What stands in several lines becomes several rows, which are replicates; what stands in no line is
    not measured. `where` and `readout_where` both choose lines of the table.

    Args:
      path: the table or the folder.
      fields: which columns give the names; the readout is in `fields.readout`, or else in `readout`.
      value: the column of the values.
      decimal: what stands before the decimals of numbers in text files, `.` or `,`.

    Raises:
      InputError: a column is missing, a value is not a number, or a name is empty.
    """
    return arrange(read_shards(path, decimal=decimal), fields, value, path, decimal)


def arrange(table: pd.DataFrame, fields: Fields, value: str, path: str, decimal: str = '') -> Measurements:
    """The lines of a long table as rows of a screen; see `read_long`."""
    for field in ('where', 'readout_where'):
        rows = select(table, getattr(fields, field), path, f'data.fields.{field}')
        table = table if len(rows) == len(table) else table.iloc[rows]
    contexts, perturbations = label_rows(table, fields, path)
    readout, names = pd.factorize(filled(table, fields.readout or 'readout', path, 'data.fields.readout'))
    column = find_column(table, value, path, 'data.value')
    value_of = numbers(column.to_frame(), path, 'correct it, or name the column of the numbers in data.value', decimal)
    profile, _ = pd.factorize(pd.factorize(contexts)[0] * len(table) + pd.factorize(perturbations)[0])
    entry = profile * len(names) + readout
    replicate = pd.Series(entry).groupby(entry).cumcount().to_numpy()
    row, _ = pd.factorize(profile * (replicate.max() + 1) + replicate)
    first = np.unique(row, return_index=True)[1]
    values = np.full((len(first), len(names)), np.nan)
    values[row, readout] = value_of[:, 0]
    return Measurements(screen_name(path), finite(values, path), contexts[first], perturbations[first], names)
