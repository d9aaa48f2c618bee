"""Tables of responses, in which one thing was measured: rows are perturbations and columns are contexts, or reversed.

Such are tables of drug response (drugs x cell lines, each value an area under the curve) and of gene
dependency (cell lines x genes). A reader first reads the file as it reads any other; here each measured
value becomes a row of its own, with one readout.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse

from perturbjax.errors import InputError, did_you_mean
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.rows import settled_contexts, settled_perturbations
from perturbjax.screens.aggregation import is_missing
from perturbjax.screens.blocks import whole
from perturbjax.screens.measurements import Measurements

CONTEXTS, PERTURBATIONS = 'contexts', 'perturbations'


def fields_of_rows(fields: Mapping[str, Any], readouts_are: str) -> dict[str, Any]:
    """The settings by which a reader names the rows, where its readouts are contexts or perturbations.

    Args:
      fields: the settings of `Fields` that the user gave.
      readouts_are: `'contexts'` or `'perturbations'`.

    Raises:
      InputError: there is no such choice, or a column is named for what the readouts are.
    """
    if readouts_are not in (CONTEXTS, PERTURBATIONS):
        hint = did_you_mean(readouts_are, (CONTEXTS, PERTURBATIONS))
        raise InputError(f'data.readouts_are: no such choice {readouts_are!r}; {hint}')
    taken = {CONTEXTS: ('context', 'context_name'), PERTURBATIONS: ('perturbation', 'control_column', 'dose')}
    for name in taken[readouts_are]:
        if fields.get(name):
            raise InputError(
                f'data.fields.{name}: the readouts of the file are {readouts_are} (data.readouts_are), so no column '
                'of the rows names them; leave this setting out, and name the readouts by data.fields.readout.'
            )
    if readouts_are == CONTEXTS:
        return {**fields, 'context_name': 'all'}
    return {**fields, 'perturbation': 'index', 'separator': '', 'control': (), 'perturbation_type': ''}


def one_row_per_value(
    measured: Measurements,
    readouts_are: str,
    response: str,
    fields: Mapping[str, Any],
    missing_values: tuple[float, ...] = (),
) -> Measurements:
    """Each measured value of N rows x M readouts as a row with one readout; values that are missing have no row.

    Args:
      measured: as the reader named it, by `fields_of_rows`.
      readouts_are: `'contexts'` or `'perturbations'`.
      response: the name of the one readout.
      fields: the settings of `Fields` that the user gave; they say how names of perturbations are read.
      missing_values: values that stand for "not measured".

    Raises:
      InputError: a perturbation has a name that cannot be read.
    """
    values = whole(measured.values, measured.name)
    values = np.asarray(values.toarray() if scipy.sparse.issparse(values) else values)  # type: ignore[union-attr]
    row, column = np.nonzero(~(np.isnan(values) | is_missing(values, missing_values)))
    if readouts_are == CONTEXTS:
        names = settled_contexts(measured.readout, Fields(**fields_of_rows(fields, readouts_are)), measured.name)
        context, perturbation = names[column], measured.perturbation[row]
    else:
        context, perturbation = measured.context[row], _perturbations(measured, fields)[column]
    return dataclasses.replace(
        measured,
        values=values[row, column][:, None],
        context=context,
        perturbation=perturbation,
        readout=np.array([response], object),
    )


def _perturbations(measured: Measurements, fields: Mapping[str, Any]) -> np.ndarray:
    """The names of the readouts `[M]`, read as names of perturbations."""
    names = settled_perturbations([(name, '') for name in measured.readout], Fields(**fields), measured.name)
    return np.array(names, object)
