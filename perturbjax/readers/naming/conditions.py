"""The conditions that `where` can set on a column: a value, one of several, none of several, or bounds."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.readers.naming.columns import matches, text, texts

Column = pd.Series | pd.Index

BOUNDS = {'at_least': operator.ge, 'at_most': operator.le, 'above': operator.gt, 'below': operator.lt}
_NOT = 'not'


def meets(column: Column, wanted: Any, what: str) -> np.ndarray:
    """Which values `[N]` meet the condition.

    Args:
      column: `[N]`.
      wanted: a value, or several values of which one must match; or a mapping with `not` (a value, or
        several) and the bounds `at_least`, `at_most`, `above` and `below`, all of which must hold. A
        missing value counts as `''` and is within no bounds.
      what: file, field and column, for messages.

    Raises:
      InputError: the mapping has another word, a bound is not a number, the column has text where a
        number is needed, or no value meets the condition.
    """
    if not isinstance(wanted, Mapping):
        met = matches(column, several(wanted))
        if not met.any():
            sought = listed(map(text, several(wanted)))
            raise InputError(f'{what} is nowhere {sought}; the values there are {_there(column)}.')
        return met
    return _within(column, wanted, what)


def several(wanted: Any) -> tuple:
    """One value, or several, as a tuple."""
    return tuple(wanted) if isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes) else (wanted,)


def _within(column: Column, wanted: Mapping[str, Any], what: str) -> np.ndarray:
    for word, bound in wanted.items():
        if word not in (*BOUNDS, _NOT):
            raise InputError(f'{what}: no such condition {word!r}; {did_you_mean(word, (*BOUNDS, _NOT))}')
        if word in BOUNDS and (isinstance(bound, bool) or not isinstance(bound, int | float) or bound != bound):
            raise InputError(f'{what}: {word} {bound!r} is not a bound; give a number.')
    bounds = {word: bound for word, bound in wanted.items() if word in BOUNDS}
    numbers = _numbers(column, what) if bounds else np.zeros(len(column))
    unwanted = matches(column, several(wanted.get(_NOT, ())))
    if _NOT in wanted and not unwanted.any():
        logging.warning('%s is nowhere %s, so this condition leaves nothing out.', what, listed(several(wanted[_NOT])))
    met = np.logical_and.reduce([~unwanted, *(BOUNDS[word](numbers, bound) for word, bound in bounds.items())])
    if not met.any():
        asked = ' and '.join(f'{word} {bound!r}' for word, bound in wanted.items())
        there = f'from {np.nanmin(numbers):g} to {np.nanmax(numbers):g}' if bounds else _there(column)
        raise InputError(f'{what} is nowhere {asked}; the values there are {there}.')
    return met


def _there(column: Column) -> str:
    return listed(sorted(set(texts(column))))


def _numbers(column: Column, what: str) -> np.ndarray:
    """The values as float64; a missing value is NaN, and a warning counts them."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
    else:
        codes, unique = pd.factorize(texts(column))
        numbers = np.array([_number(value, what) for value in unique])[codes]
    missing = np.isnan(numbers)
    if missing.all():
        raise InputError(f'{what} has no value anywhere, so none is within bounds.')
    if missing.any():
        logging.warning('%s: %d rows have no value there and are left out.', what, missing.sum())
    return numbers


def _number(value: str, what: str) -> float:
    try:
        return float(value or 'nan')
    except ValueError as error:
        raise InputError(f'{what} holds {value!r}, which is not a number that can be compared.') from error
