"""Vectors from another screen: the main axes of what its perturbations, contexts or readouts did there.

The linear model of Ahlmann-Eltze et al. 2025 is best where P comes from another perturbation screen.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from perturbjax.models.feature_sources.main_axes import places, products_of_incomplete
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL, parts


class _Numbered(NamedTuple):
    """The rows of a screen that have a name on the axis.

    Attributes:
      values: as measured.
      name: of each row, which one it is.
      group: rows of one group have their columns in common: of a perturbation its context, of a context its
        perturbation; of readouts, which are the rows then, there is one group alone.
    """

    values: Float[np.ndarray, 'N M']
    name: Int[np.ndarray, ' N']
    group: Int[np.ndarray, ' N']


def screen_names(screens: Sequence[Measurements], axis: str) -> list[str]:
    """The names of the axis in any of the screens, sorted; of perturbations the single ones without control."""
    found = {str(name) for screen in screens for name in getattr(screen, axis)}
    return sorted(name for name in found if axis != 'perturbation' or _is_single(name))


def screen_vectors(screens: Sequence[Measurements], axis: str, names: Sequence[str]) -> Float[np.ndarray, 'n R']:
    """Where the names lie on their main axes, over all else that was measured.

    A perturbation is its profiles in all contexts, a context its profiles of all perturbations, control and
    combinations among them, and a readout its values in all profiles. Screens count alike, whatever their units.
    """
    total = np.zeros((len(names),) * 2)
    for screen in screens:
        numbered = _numbered(screen, axis, names)
        products = products_of_incomplete(lambda numbered=numbered: _blocks(numbered, len(names)))  # type: ignore[misc]
        if products.any():
            total += products / np.trace(products)
    return places(total)


def _numbered(screen: Measurements, axis: str, names: Sequence[str]) -> _Numbered:
    values = np.asarray(screen.values, float)
    if axis == 'readout':
        values, group = values.T, np.zeros(values.shape[1], int)
    else:
        group, _ = pd.factorize(screen.context if axis == 'perturbation' else screen.perturbation)
    name = pd.Index(np.array(names, object)).get_indexer(pd.Index(getattr(screen, axis), dtype=object))
    return _Numbered(values[name >= 0], name[name >= 0], group[name >= 0])


def _blocks(numbered: _Numbered, size: int) -> Iterator[Float[np.ndarray, 'n M']]:
    """A block for each group: the profile of each name there."""
    order = np.argsort(numbered.group, kind='stable')
    for rows in np.split(order, np.flatnonzero(np.diff(numbered.group[order])) + 1):
        block = np.full((size, numbered.values.shape[1]), np.nan)
        block[numbered.name[rows]] = numbered.values[rows]
        yield block


def _is_single(name: str) -> bool:
    return name != CONTROL and len(parts(name)) == 1
