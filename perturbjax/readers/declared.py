"""What the user declares of the values beside their scale: that they are levels to be logged, what control is."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse
from absl import logging

from perturbjax.errors import InputError
from perturbjax.screens.aggregation import is_missing
from perturbjax.screens.blocks import Block, Stored
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL


def log2_of(measured: Measurements, path: str, missing_values: tuple[float, ...] = ()) -> Measurements:
    """The same rows with log2 of their values; the `missing_values` become NaN before.

    Values in a file stay there until they are averaged, and are checked then. Raises InputError on a
    value that is 0 or negative, or where the values are sparse.
    """
    values = measured.values
    if isinstance(values, Stored):
        logged: Any = dataclasses.replace(values, read=lambda: _logged_blocks(values, path, missing_values))
    else:
        logged = _logged(values, path, missing_values)
    return dataclasses.replace(measured, values=logged)


def with_control(profiles: Measurements, value: float) -> Measurements:
    """The profiles and, for each context without control, one of control that has this value for every readout."""
    controlled = set(profiles.context[profiles.perturbation == CONTROL])
    added = np.array([name for name in sorted(set(profiles.context)) if name not in controlled], object)
    if not len(added):
        logging.warning('%s: data.control_value is not used, because every context has control.', profiles.name)
        return profiles
    size, readouts = len(added), len(profiles.readout)
    unknown = np.full((size, readouts), np.nan, np.float32)
    error, halves = profiles.standard_error, profiles.halves
    return dataclasses.replace(
        profiles,
        values=np.concatenate([profiles.values, np.full_like(unknown, value)]),
        context=np.concatenate([profiles.context, added]),
        perturbation=np.concatenate([profiles.perturbation, np.full(size, CONTROL, object)]),
        cells=None if profiles.cells is None else np.concatenate([profiles.cells, np.ones(size, np.int32)]),
        standard_error=None if error is None else np.concatenate([error, unknown]),
        halves=None if halves is None else np.concatenate([halves, np.stack([unknown] * 2)], axis=1),
    )


def _logged_blocks(values: Stored, path: str, missing_values: tuple[float, ...]) -> Iterator[Block]:
    for block in values.read():
        yield block._replace(values=_logged(block.values, path, missing_values))


def _logged(values: Any, path: str, missing_values: tuple[float, ...]) -> np.ndarray:
    if scipy.sparse.issparse(values):
        raise InputError(
            f'{path}: data.log2: the values are sparse, so most are 0 and have no logarithm; for raw counts set '
            'data.counts=True instead.'
        )
    if missing_values:
        values = np.where(is_missing(values, missing_values), np.nan, values)
    wrong = values[values <= 0]
    if wrong.size:
        raise InputError(
            f'{path}: data.log2: {wrong.size} values are 0 or negative, such as {wrong[0]:g}, and have no logarithm; '
            'name them in data.missing_values if they mean "not measured", or leave data.log2 out.'
        )
    return np.log2(values)
