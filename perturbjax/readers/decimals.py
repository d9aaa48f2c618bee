"""Numbers in tables, with a point or, as in much of Europe, a comma before their decimals."""

import re
from typing import Any

import numpy as np
import pandas as pd

from perturbjax.errors import InputError

POINT, COMMA = '.', ','
_SWAPPED = str.maketrans({COMMA: POINT, POINT: COMMA})
_PARTED = re.compile(r'\s*[-+]?[0-9.,]*[0-9][.,][0-9]*(?:[eE][-+]?[0-9]+)?\s*')


def check_decimal(decimal: str) -> None:
    """Raises InputError unless the setting `data.decimal` is a point or a comma."""
    if decimal not in (POINT, COMMA):
        raise InputError(f'data.decimal: expected {POINT!r} or {COMMA!r}, got {decimal!r}.')


def numbers(table: pd.DataFrame, path: str, hint: str, decimal: str = '') -> np.ndarray:
    """The columns as float64 `[N, M]`; raises InputError on the first that holds text.

    Args:
      table: as `table.read_matrix` gives it.
      path: of the file.
      hint: what the user should do about text, for the message.
      decimal: the setting `data.decimal`, or `''` where there is no such setting.
    """
    texts = [name for name, dtype in table.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    pointed = with_points(table, texts, decimal)
    for name in texts:
        wrong = table[name][pd.to_numeric(pointed[name], errors='coerce').isna() & table[name].notna()]
        if len(wrong):
            mend = decimal_hint(wrong.iloc[0], decimal) or hint
            raise InputError(f'{path}: the column {name!r} holds {wrong.iloc[0]!r}, which is not a number; {mend}.')
    return pointed.astype(dict.fromkeys(texts, np.float64)).to_numpy(np.float64, na_value=np.nan)


def with_points(table: pd.DataFrame, texts: list, decimal: str) -> pd.DataFrame:
    """The table; if decimals follow a comma, points and commas are swapped in the columns `texts`.

    So `'1,5'` can be read as a number, and `'1.200'`, whose point parts thousands, cannot.
    """
    if decimal != COMMA or not texts:
        return table
    swapped = table.copy(deep=False)
    for name in texts:
        swapped[name] = table[name].map(lambda value: value.translate(_SWAPPED) if isinstance(value, str) else value)
    return swapped


def decimal_hint(value: Any, decimal: str) -> str:
    """What to do about a text that may be a number of the other form; `''` where it is none."""
    if not isinstance(value, str) or not _PARTED.fullmatch(value):
        return ''
    if decimal == COMMA:
        return "with data.decimal=',' a number has one comma and no point"
    return "if its comma stands before decimals, set data.decimal=','" if decimal and value.count(COMMA) == 1 else ''
