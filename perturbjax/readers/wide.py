"""Reader of wide tables, with a column per readout."""

import re

import pandas as pd
from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.decimals import POINT, numbers
from perturbjax.readers.naming.fields import Fields, readout_names, row_columns, select
from perturbjax.readers.naming.rows import label_rows
from perturbjax.readers.table import finite, read_matrix, screen_name
from perturbjax.screens.measurements import Measurements

# Names of columns that describe a row, and hardly ever something that was measured.
_DESCRIBES = re.compile(
    r'(plate|well|row|col|column|batch|barcode|replicate|rep|dose|time|hours?|day|passage|site|field|lane|run|sample|'
    r'position|index|id|n_?cells|cell_?count|is_?control|control)([ _.]?(id|no|nr|number|index|name))?',
    re.IGNORECASE,
)


def read_wide(path: str, fields: Fields, decimal: str = POINT) -> Measurements:
    """A wide table: each line is a row, and every column that `fields` do not use is a readout.

    The table of the readouts has only an `index`, the names of the columns, so
    `readout_where={'index': [...]}` keeps only the named columns, and `{'index': {'not': [...]}}` all others.
    Columns that are readouts but have names such as `plate` or `well` are told in a warning.

    Args:
      path: the table.
      fields: which columns give the names.
      decimal: what stands before the decimals of numbers in a text file, `.` or `,`.

    Raises:
      InputError: the column of a readout holds text, or only True and False.
    """
    table = read_matrix(path, decimal=decimal)
    table = table.iloc[select(table, fields.where, path, 'data.fields.where')]
    contexts, perturbations = label_rows(table, fields, path)
    used = {name for names in row_columns(fields) for name in (names, *names.split('|'))}
    readouts = pd.DataFrame(index=table.columns.drop(used.intersection(table.columns)))
    readouts = readouts.iloc[select(readouts, fields.readout_where, path, 'data.fields.readout_where')]
    _check_are_readouts(table[readouts.index], path)
    hint = "a column that no field uses is a readout, so take it out or set data.fields.readout_where={'index': [...]}"
    values = finite(numbers(table[readouts.index], path, hint, decimal), path)
    return Measurements(screen_name(path), values, contexts, perturbations, readout_names(readouts, fields, path))


def _check_are_readouts(table: pd.DataFrame, path: str) -> None:
    """Raises on columns of True and False, and warns of those whose names describe a row."""
    marks = [str(name) for name, dtype in table.dtypes.items() if pd.api.types.is_bool_dtype(dtype)]
    if marks:
        raise InputError(
            f'{path}: the columns {listed(marks)} hold True and False, so they are no readouts; '
            f'leave them out by data.fields.readout_where={{"index": {{"not": {marks}}}}}.'
        )
    described = [str(name) for name in table.columns if _DESCRIBES.fullmatch(str(name))]
    if described:
        logging.warning(
            '%s: the columns %s are taken as readouts; if they describe rows, leave them out by '
            'data.fields.readout_where={"index": {"not": %s}}.',
            *(path, listed(described), described),
        )
