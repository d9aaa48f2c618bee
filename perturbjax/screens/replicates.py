"""What is known from the rows behind profiles: their spread, the rest of the context, and two halves.

This is all that is needed to say which readouts respond to a perturbation, and how well a repeat of
the experiment would have predicted it.
"""

from typing import NamedTuple

import numpy as np

from perturbjax.screens.screen import Screen


class Replicates(NamedTuple):
    """What is known from the rows behind N profiles by M readouts; NaN where something cannot be known.

    The rest of a profile is all other perturbed rows of its context: control is left out, as in the code of Mejia et
    al. 2025.

    Attributes:
      cells: the number of rows behind the profile, measured in a readout or not, `[N]`.
      control_cells: the number of rows behind the control of its context, `[N]`.
      variance: between the rows of the profile, `[N, M]`; NaN where there is only one row.
      control_variance: between the rows of control, `[N, M]`; NaN where there is only one row.
      rest_cells: the number of measured rows in the rest, `[N, M]`.
      rest_mean, rest_variance: over those rows, `[N, M]`; NaN where there are fewer than two.
      first_half, second_half: the means of two random halves of the profile's rows, `[N, M]`.
    """

    cells: np.ndarray
    control_cells: np.ndarray
    variance: np.ndarray
    control_variance: np.ndarray
    rest_cells: np.ndarray
    rest_mean: np.ndarray
    rest_variance: np.ndarray
    first_half: np.ndarray
    second_half: np.ndarray


def replicates(screen: Screen, rows: np.ndarray) -> Replicates:
    """What is known of some profiles of the screen; `rows` `[N]` are their positions in it."""
    own = screen.context[rows]
    of_context = [_of_context(screen, context, rows[own == context]) for context in np.unique(own)]
    back = np.argsort(np.argsort(own, kind='stable'), kind='stable')
    fields = (np.concatenate(parts)[back] for parts in zip(*of_context))
    halves = np.full((2, 1, 1), np.nan) if screen.halves is None else screen.halves[:, rows]
    return Replicates(*fields, *(np.broadcast_to(half, (len(rows), screen.values.shape[1])) for half in halves))


def _of_context(screen: Screen, context: int, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """All fields of `Replicates` but the halves, for rows of one context."""
    here = np.flatnonzero(screen.context == context)
    position = np.searchsorted(here, rows)
    cells, variance = _cells(screen)[here], _variance(screen, here)
    perturbed = ~screen.is_control[here][:, None]
    rest = _rest(screen.values[here].astype(float), variance, cells[:, None], perturbed)
    # A context has one control profile, or none where control is 0 by definition.
    control = np.flatnonzero(screen.is_control[here])
    control_variance = variance[control[0]] if len(control) else np.full(variance.shape[1], np.nan)
    of_control = np.full(len(rows), cells[control].sum()), np.tile(control_variance, (len(rows), 1))
    return cells[position], of_control[0], variance[position], of_control[1], *(each[position] for each in rest)


def _cells(screen: Screen) -> np.ndarray:
    return np.ones(len(screen.context)) if screen.cells is None else np.asarray(screen.cells, float)


def _variance(screen: Screen, rows: np.ndarray) -> np.ndarray:
    """The variance between the rows behind each profile, `[N, M]`; NaN where there is only one row."""
    if screen.standard_error is None:
        return np.full((len(rows), screen.values.shape[1]), np.nan)
    return screen.standard_error[rows].astype(float) ** 2 * _cells(screen)[rows, None]


def _rest(
    values: np.ndarray, variance: np.ndarray, cells: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number, mean and variance of the rows of all other profiles that count, each `[N, M]`.

    Args:
      values: the means of the profiles of one context, `[N, M]`.
      variance: between the rows of each profile, `[N, M]`.
      cells: the number of rows of each profile, `[N, 1]`.
      counts: which profiles count, bool `[N, 1]`.
    """
    measured = ~np.isnan(values) & counts
    number = measured * cells
    # Sums of squares of values far from 0 lose digits.
    centre = np.sum(values, axis=0, where=measured) / np.maximum(measured.sum(axis=0), 1)
    shifted = np.where(measured, values - centre, 0)
    total = number * shifted
    squares = total * shifted + np.where(measured, (cells - 1) * np.nan_to_num(variance), 0)
    number, total, squares = (each.sum(axis=0) - each for each in (number, total, squares))
    with np.errstate(divide='ignore', invalid='ignore'):
        mean = np.where(number > 1, total / number, np.nan)
        spread = np.maximum(squares - number * mean**2, 0) / (number - 1)
    return number, mean + centre, spread
