"""How similarly contexts respond to the same perturbations, before anything is trained.

The effect of a perturbation is its profile minus the mean of the perturbed profiles of its context and
screen, so what all perturbations have in common does not count. C is the number of contexts.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from perturbjax.quality.few_readouts import FEWEST, over_perturbations
from perturbjax.screens.screen import Compendium


class Effects(NamedTuple):
    """The effects of P perturbations on M readouts, in one context and one screen.

    Attributes:
      perturbation: names `[P]`.
      readout: ids `[M]`.
      values: `[P, M]`, NaN = not measured.
      halves: the effects from each half of the rows, `[2, P, M]`, or None.
    """

    perturbation: pd.Index
    readout: pd.Index
    values: np.ndarray
    halves: np.ndarray | None


def agreement(compendium: Compendium) -> pd.DataFrame:
    """How well the effects in two contexts correlate, `[C, C]`.

    An entry is the median, over the perturbations that both contexts have, of the Pearson correlation over
    the readouts that both have. On the diagonal is the correlation that a repeat of the experiment would
    reach, computed from two halves of its rows by the Spearman-Brown formula; contexts can hardly agree
    better. In screens of one or two readouts the correlation is over perturbations; see `few_readouts`.
    NaN where too little is shared for a correlation, and on the diagonal where there are no replicates.
    """
    names = compendium.vocabulary.contexts
    effects = [list(_effects(compendium, context)) for context in range(len(names))]
    table = np.full((len(names), len(names)), np.nan)
    for i, here in enumerate(effects):
        if not here:
            continue
        table[i, i] = _of_whole(_median([_correlations(*each.halves) for each in here if each.halves is not None]))
        for j, there in enumerate(effects[:i]):
            pairs = itertools.product(here, there)
            table[i, j] = table[j, i] = _median([_correlations(*_aligned(one, other)) for one, other in pairs])
    between, halves = over_perturbations(compendium)
    np.fill_diagonal(between, [_of_whole(r) for r in halves])
    return pd.DataFrame(np.where(np.isnan(table), between, table), names, names)


def _effects(compendium: Compendium, context: int) -> Iterator[Effects]:
    for screen in compendium.screens:
        rows = np.flatnonzero((screen.context == context) & ~screen.is_control)
        if len(rows) and len(screen.readout) >= FEWEST:
            yield Effects(
                pd.Index(compendium.vocabulary.perturbation_names(screen.perturbation[rows])),
                pd.Index(screen.readout),
                _apart(screen.values[rows]),
                None if screen.halves is None else _apart(screen.halves[:, rows]),
            )


def _apart(values: np.ndarray) -> np.ndarray:
    """The values `[..., P, M]` minus their mean over P."""
    known = ~np.isnan(values)
    total = np.sum(values, axis=-2, where=known, keepdims=True)
    return values - total / np.maximum(known.sum(axis=-2, keepdims=True), 1)


def _aligned(here: Effects, there: Effects) -> tuple[np.ndarray, np.ndarray]:
    """The values of both on what they share, `[shared perturbations, shared readouts]` each."""
    positions = []
    for axis in ('perturbation', 'readout'):
        one, other = getattr(here, axis), getattr(there, axis)
        found = other.get_indexer(one)
        positions.append((np.flatnonzero(found >= 0), found[found >= 0]))
    (rows, other_rows), (columns, other_columns) = positions
    return here.values[np.ix_(rows, columns)], there.values[np.ix_(other_rows, other_columns)]


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The Pearson correlation of each row of `[P, M]`, `[P]`; NaN where both have too few readouts in common."""
    known = ~np.isnan(one) & ~np.isnan(other)
    n = known.sum(axis=1, keepdims=True)
    means = (np.sum(each, axis=1, where=known, keepdims=True) / np.maximum(n, 1) for each in (one, other))
    one, other = (np.where(known, each - mean, 0).astype(np.float64) for each, mean in zip((one, other), means))
    with np.errstate(divide='ignore', invalid='ignore'):
        r = (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.where(n[:, 0] >= FEWEST, r, np.nan)


def _of_whole(r: float) -> float:
    """The correlation of two whole experiments, if two halves of one correlate at r (Spearman-Brown)."""
    return 2 * r / (1 + r) if r > 0 else r


def _median(correlations: list[np.ndarray]) -> float:
    known = np.concatenate([each[np.isfinite(each)] for each in correlations]) if correlations else np.zeros(0)
    return float(np.median(known)) if len(known) else np.nan
