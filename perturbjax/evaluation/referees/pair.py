"""What referees compare: the cells of the same perturbations over the same readouts, true and predicted."""

from collections.abc import Sequence
from typing import NamedTuple

import anndata
import numpy as np
import scipy.sparse

from perturbjax.errors import InputError, listed

CONTROL = 'non-targeting'
# Columns of perturbations, the first that is there counts.
TARGETS = ('target', 'target_gene')


class Cells(NamedTuple):
    """The cells of one side.

    Attributes:
      values: of each cell, float64 `[N, M]`.
      group: position of each cell's perturbation among those of the pair, P for control, `[N]`.
    """

    values: scipy.sparse.csr_array
    group: np.ndarray

    def of(self, group: int) -> np.ndarray:
        """The cells of one perturbation, dense `[cells, M]`."""
        return self.values[np.flatnonzero(self.group == group)].toarray()


class Pair(NamedTuple):
    """Cells of P perturbations over M readouts.

    Attributes:
      perturbations: their names, sorted.
      readouts: their names, in the order of the truth.
      truth: with the cells of control.
      prediction: without any: all changes are from the true control.
      counts: whether values are raw counts; else they are log-normalised, ln(1 + x).
    """

    perturbations: tuple[str, ...]
    readouts: tuple[str, ...]
    truth: Cells
    prediction: Cells
    counts: bool


def make_pair(
    truth: anndata.AnnData, prediction: anndata.AnnData, counts: bool = True, target: str = '', control: str = CONTROL
) -> Pair:
    """The pair of two AnnData with cells (or profiles) as rows; the readouts may be in another order.

    Args:
      truth, prediction: X `[N, M]`; obs has the perturbation of each row.
      counts: whether X has raw counts; else it is log-normalised.
      target: the column of perturbations; `target` or `target_gene` if empty.
      control: how it names control. Control cells of the prediction are not looked at.

    Raises:
      InputError: readouts or perturbations differ or are there twice, a value is negative, missing or not what
        `counts` says, or the truth has no control.
    """
    names = [_labels(data, target, side) for side, data in (('truth', truth), ('prediction', prediction))]
    readouts = list(map(str, truth.var_names))
    order = _order(readouts, list(map(str, prediction.var_names)))
    perturbations = sorted({*names[0]} - {control})
    if control not in names[0]:
        raise InputError(
            f'truth: no cell is of control, which is called {control!r}; add control cells, or say their name by '
            f'`control`; there are {listed(perturbations)}.'
        )
    _check_same('perturbations', perturbations, sorted({*names[1]} - {control}))
    if not perturbations:
        raise InputError('truth: there are no perturbed cells, only control; add those to be compared.')
    groups = {name: position for position, name in enumerate([*perturbations, control])}
    own, predicted = (np.array([groups[name] for name in each], int) for each in names)
    kept = np.flatnonzero(predicted < len(perturbations))
    return Pair(
        tuple(perturbations),
        tuple(readouts),
        Cells(_values(truth, 'truth', counts), own),
        Cells(_values(prediction[kept], 'prediction', counts)[:, order], predicted[kept]),
        counts,
    )


def _labels(data: anndata.AnnData, target: str, side: str) -> list[str]:
    column = next((name for name in ([target] if target else TARGETS) if name in data.obs), None)
    if column is None:
        asked = repr(target) if target else ' or '.join(map(repr, TARGETS))
        raise InputError(
            f'{side}: obs has no column {asked} for the perturbation of each cell, it has {listed(data.obs)}; name it '
            'by `target`.'
        )
    if data.obs[column].isna().any():
        raise InputError(f'{side}: obs[{column!r}] is empty in some cells; name their perturbation, or leave them out.')
    return list(data.obs[column].astype(str))


def _order(readouts: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Where each readout of the truth is in the prediction, `[M]`."""
    for side, names in (('truth', readouts), ('prediction', predicted)):
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(
                f'{side}: the readout {listed(twice)} is there more than once; give each a name of its own.'
            )
    _check_same('readouts', readouts, predicted)
    position = {name: i for i, name in enumerate(predicted)}
    return np.array([position[name] for name in readouts], int)


def _check_same(what: str, truth: Sequence[str], prediction: Sequence[str]) -> None:
    missing, added = ([name for name in a if name not in set(b)] for a, b in ((truth, prediction), (prediction, truth)))
    if missing or added:
        raise InputError(
            f'prediction: it must have the {what} of the truth; missing: {listed(missing)}; not in the truth: '
            f'{listed(added)}.'
        )


def _values(data: anndata.AnnData, side: str, counts: bool) -> scipy.sparse.csr_array:
    """X as float64, checked."""
    values = scipy.sparse.csr_array(data.X, dtype=np.float64)
    values.sum_duplicates()
    if not np.isfinite(values.data).all():
        raise InputError(f'{side}: X has values that are missing or infinite; fill them in, or leave the readouts out.')
    if (values.data < 0).any():
        kind = 'counts' if counts else 'log-normalised values'
        raise InputError(f'{side}: X has negative values, the lowest is {values.data.min():.3g}; {kind} are 0 or more.')
    whole = bool((values.data == np.round(values.data)).all())
    if counts and not whole:
        raise InputError(
            f'{side}: X has values that are no whole numbers; give raw counts, or say `counts=False` if they are '
            'log-normalised.'
        )
    if not counts and whole and values.data.any():
        raise InputError(f'{side}: all values of X are whole numbers, so they look like raw counts; say `counts=True`.')
    return values
