"""How alike contexts answer to the same perturbations, before anything is trained.

C contexts. What is compared is what sets a perturbation apart: its profile minus the mean of the
perturbed profiles of its context, in one screen. So what every perturbation does counts for nothing.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from perturbjax.screens.screen import Compendium

_FEWEST = 3  # readouts to correlate over


class Effects(NamedTuple):
    """Of P perturbations on M readouts, in one context and one screen.

    Attributes:
      perturbation: names `[P]`.
      readout: ids `[M]`.
      values: `[P, M]`, NaN = not measured.
      halves: the same from each half of the rows, `[2, P, M]`, or None.
    """

    perturbation: pd.Index
    readout: pd.Index
    values: np.ndarray
    halves: np.ndarray | None


def agreement(compendium: Compendium) -> pd.DataFrame:
    """The median Pearson correlation, over shared readouts, of perturbations shared by two contexts, `[C, C]`.

    On the diagonal what a repeat of the experiment would reach, as two halves of its rows tell by the
    formula of Spearman and Brown; contexts can hardly agree better. NaN where nothing is shared, and on
    the diagonal where there are no replicates.
    """
    contexts = compendium.vocabulary.contexts
    effects = [list(_effects(compendium, context)) for context in range(len(contexts))]
    table = np.full((len(contexts), len(contexts)), np.nan)
    for i, here in enumerate(effects):
        table[i, i] = _of_whole(_median([_correlations(*each.halves) for each in here if each.halves is not None]))
        for j, there in enumerate(effects[:i]):
            pairs = itertools.product(here, there)
            table[i, j] = table[j, i] = _median([_correlations(*_aligned(one, other)) for one, other in pairs])
    return pd.DataFrame(table, contexts, contexts)


def _effects(compendium: Compendium, context: int) -> Iterator[Effects]:
    for screen in compendium.screens:
        rows = np.flatnonzero((screen.context == context) & ~screen.is_control)
        if len(rows):
            yield Effects(
                pd.Index(compendium.vocabulary.perturbation_names(screen.perturbation[rows])),
                pd.Index(screen.readout),
                _apart(screen.values[rows]),
                None if screen.halves is None else _apart(screen.halves[:, rows]),
            )


def _apart(values: np.ndarray) -> np.ndarray:
    """Values `[..., P, M]` minus their mean over P."""
    known = ~np.isnan(values)
    total = np.sum(values, axis=-2, where=known, keepdims=True)
    return values - total / np.maximum(known.sum(axis=-2, keepdims=True), 1)


def _aligned(here: Effects, there: Effects) -> tuple[np.ndarray, np.ndarray]:
    """The values of both for what they share, `[shared perturbations, shared readouts]`."""
    places = []
    for axis in ('perturbation', 'readout'):
        one, other = getattr(here, axis), getattr(there, axis)
        found = other.get_indexer(one)
        places.append((np.flatnonzero(found >= 0), found[found >= 0]))
    (rows, other_rows), (columns, other_columns) = places
    return here.values[np.ix_(rows, columns)], there.values[np.ix_(other_rows, other_columns)]


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's, of each row of `[P, M]` over what is measured in both, `[P]`; NaN where that is too little."""
    known = ~np.isnan(one) & ~np.isnan(other)
    n = known.sum(axis=1, keepdims=True)
    means = (np.sum(each, axis=1, where=known, keepdims=True) / np.maximum(n, 1) for each in (one, other))
    one, other = (np.where(known, each - mean, 0).astype(np.float64) for each, mean in zip((one, other), means))
    with np.errstate(divide='ignore', invalid='ignore'):
        r = (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.where(n[:, 0] >= _FEWEST, r, np.nan)


def _of_whole(r: float) -> float:
    """The correlation of two whole experiments where that of two halves of one is r."""
    return 2 * r / (1 + r) if r > 0 else r


def _median(correlations: list[np.ndarray]) -> float:
    known = np.concatenate([each[np.isfinite(each)] for each in correlations]) if correlations else np.zeros(0)
    return float(np.median(known)) if len(known) else np.nan
