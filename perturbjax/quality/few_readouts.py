"""How similarly contexts respond where one or two things were measured, such as a drug response.

A correlation over so few readouts says nothing, but one over the perturbations does: it says whether what is
strong in one context is strong in the other. C is the number of contexts, P that of perturbations.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from perturbjax.screens.screen import Compendium, Screen

FEWEST = 3  # a correlation needs at least this many values


def over_perturbations(compendium: Compendium) -> tuple[np.ndarray, np.ndarray]:
    """The correlation over perturbations between two contexts, and between two halves of each one's rows.

    Only screens of fewer than `FEWEST` readouts count. Where several of them, or several readouts, have
    both contexts, it is the median. NaN where fewer than `FEWEST` perturbations are shared.

    Returns:
      The correlations between contexts `[C, C]`, with NaN on the diagonal, and those between halves `[C]`.
    """
    size = len(compendium.vocabulary.contexts)
    few = [screen for screen in compendium.screens if len(screen.readout) < FEWEST]
    names = [np.array(compendium.vocabulary.perturbation_names(screen.perturbation), object) for screen in few]
    codes = np.split(pd.factorize(np.concatenate(names))[0], np.cumsum([*map(len, names)])[:-1]) if few else []
    table = _median([*_between(few, codes, size)], size)
    np.fill_diagonal(table, np.nan)
    return table, np.diag(_median([*_within(few, codes, size)], size))


def _between(few: Sequence[Screen], codes: Sequence[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """For each two screens (or a screen with itself) and each readout of both, the correlations `[C, C]`."""
    tables = [
        {int(name): _table(screen, code, screen.values[:, i], size) for i, name in enumerate(screen.readout)}
        for screen, code in zip(few, codes, strict=True)
    ]
    for one, other in itertools.combinations_with_replacement(tables, 2):
        for name in one.keys() & other.keys():
            found = _correlations(one[name], other[name])
            yield found
            if one is not other:
                yield found.T


def _within(few: Sequence[Screen], codes: Sequence[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """For each screen with replicates and each readout, the correlations of its halves `[C, C]`."""
    for screen, code in zip(few, codes, strict=True):
        if screen.halves is not None:
            for i in range(len(screen.readout)):
                yield _correlations(*(_table(screen, code, half[:, i], size) for half in screen.halves))


def _table(screen: Screen, codes: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """The values of perturbed profiles as a table `[P, C]`; NaN = not measured."""
    table = np.full((int(codes.max()) + 1, size), np.nan)
    rows = ~screen.is_control
    table[codes[rows], screen.context[rows]] = values[rows]
    return table


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The Pearson correlation of each column of one with each of the other, over the rows that both have, `[C, C]`."""
    rows = min(len(one), len(other))
    one, other = (each[:rows] - np.nanmean(each) if np.isfinite(each).any() else each[:rows] for each in (one, other))
    known, also_known = (np.isfinite(each).astype(float) for each in (one, other))
    x, y = np.nan_to_num(one), np.nan_to_num(other)
    n, sum_x, sum_y = known.T @ also_known, x.T @ also_known, known.T @ y
    with np.errstate(divide='ignore', invalid='ignore'):
        covariance = x.T @ y - sum_x * sum_y / n
        spread = ((x**2).T @ also_known - sum_x**2 / n) * (known.T @ y**2 - sum_y**2 / n)
        r = np.clip(covariance / np.sqrt(spread), -1, 1)
    # Sums of squares that only rounding keeps from 0 are those of values that do not vary.
    varies = spread > 1e-20 * ((x**2).T @ also_known) * (known.T @ y**2)
    return np.where((n >= FEWEST) & varies, r, np.nan)


def _median(tables: Sequence[np.ndarray], size: int) -> np.ndarray:
    """The median of the known entries `[C, C]`; NaN where there are none."""
    stacked = np.ma.masked_invalid(np.stack([np.full((size, size), np.nan), *tables]))
    return np.ma.median(stacked, axis=0).filled(np.nan)
