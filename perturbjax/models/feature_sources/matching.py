"""Which rows of another file are meant by the names of a screen."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from perturbjax.readers.naming.quantities import name_and_dose
from perturbjax.readers.naming.spelling import loose
from perturbjax.screens.vocabulary import target_gene


def matched_rows(names: Sequence[str], known: Sequence[str]) -> Int[np.ndarray, ' n']:
    """The row of each name among the known ones; -1 where there is none.

    A name is found as it is; then without its type; then by what it looks like, whatever its capitals, spaces and
    dashes, unless the row is another name's already, for the cell lines T-T and TT are two; then, if it has a dose,
    without it. A form that several known names have finds none.

    Example:
      >>> matched_rows(['Compound_Vorinostat-10uM', 'MCF-7', 'PC3'], ['mcf7', 'vorinostat'])
      array([ 1,  0, -1])
    """
    rows = _found(names, known, str)
    rows = np.where(rows < 0, _found(names, known, target_gene), rows)
    alike = _found(names, known, lambda name: loose(target_gene(name)))
    rows = np.where((rows < 0) & ~np.isin(alike, rows[rows >= 0]), alike, rows)
    has_dose = np.array([bool(name_and_dose(name)[1]) for name in names], bool)
    return np.where((rows < 0) & has_dose, _found(names, known, _without_dose), rows)


def _found(names: Sequence[str], known: Sequence[str], form: Callable[[str], str]) -> Int[np.ndarray, ' n']:
    """The row of the one known name that has the form of each name; -1 where there is none, or several."""
    index = pd.Index(list(map(form, known)), dtype=object)
    once = np.flatnonzero(~index.duplicated(keep=False))
    found = index[once].get_indexer(pd.Index(list(map(form, names)), dtype=object))
    return np.append(once, -1)[found]


def _without_dose(name: str) -> str:
    return loose(name_and_dose(target_gene(name))[0])
