"""Which columns of a file give contexts, perturbations and readouts, and the names that follow from them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.readers.naming.columns import find_column, texts
from perturbjax.readers.naming.conditions import meets
from perturbjax.readers.naming.spelling import NOTHING
from perturbjax.readers.naming.templates import filled, template_steps
from perturbjax.screens.vocabulary import CONTROL, TYPES

COMPOUND = 'Compound'
# The perturbation types whose names take a dose.
DOSED = ('', COMPOUND)


@dataclasses.dataclass(frozen=True)
class Fields:
    """Which columns of a file give contexts, perturbations and readouts.

    The column `index` is the index of the rows' (or the readouts') table. Several columns with `|`
    between them, as in `'target|target_gene'`, mean the first one that the file has. A template builds
    a name from several columns, as `'{cell_id}_{pert_time}h'`; `'{index:_1}'` splits the index at `_`
    and takes piece 1, counted from 0, `'{index:_-1}'` takes the last, and `'{batch:?}'` may have no value.
    Names are spelled as `spelling.clean` says; a dose or time with its unit becomes uM, ug/ml or h.

    Attributes:
      context: column or template. Either this or `context_name` is needed. A row of control that lacks the
        value of some columns of a template, as vehicle wells lack a dose, is control of every context that
        agrees with it in the others and has no control of its own.
      context_name: the one context of all rows, where no column gives it.
      perturbation: column or template. In a template such as `'{guide1}+{guide2}'` a part whose columns have
        no value is not there.
      control: values, or one value, that mean control, as the whole perturbation, as one part of it, or in
        `control_column`; `*` and `?` stand for any characters. The word `control` always means control.
      control_column: another column that can mark a row as control, whatever its perturbation.
      separator: joins the parts of a combination, or several that do; `''` where no value is a combination.
        A `+` within parentheses belongs to the name. Names also contain `_`, so with that separator a value
        is split only if there is exactly one way to split it into values that the file has alone.
      nothing: words in the column of perturbations, whatever their capitals, that say that a row has none.
        A row of such a word is refused, and a part of a combination is left out.
      merge_alike: names that differ only in capitals, spaces, `-` or `_` are one, within a file and across
        all files that have this setting; they are told in any case.
      dose: column or template; added to the name of a compound, as `name-10uM`. The doses of a
        combination are joined as its parts are, and a part with dose 0 is control. It is used only where
        `perturbation_type` is Compound or `''`, and not where every dose is a plain 1, which is what CPA
        writes for genes.
      perturbation_type: put in front of each part; one of `vocabulary.TYPES`, or `''`.
      readout: column or template of the readouts' table; `''` is its index.
      where: a condition for each of some columns; rows that meet all of them are kept. A condition is a
        value, several values of which one must match, or a mapping such as
        `{'not': ..., 'at_least': 0.2, 'at_most': 1, 'above': 0, 'below': 2}`, of which all must hold.
      readout_where: the same for readouts.
    """

    context: str = ''
    context_name: str = ''
    perturbation: str = 'perturbation'
    control: str | tuple[str, ...] = (CONTROL,)
    control_column: str = ''
    separator: str | tuple[str, ...] = '+'
    nothing: str | tuple[str, ...] = NOTHING
    merge_alike: bool = False
    dose: str = ''
    perturbation_type: str = ''
    readout: str = ''
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    readout_where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if bool(self.context) == bool(self.context_name):
            raise InputError(
                'data.fields: give either context, which is a column, or context_name, which is one name for all rows.'
            )
        if not self.perturbation:
            raise InputError('data.fields.perturbation: name the column of the perturbations.')
        if self.perturbation_type and self.perturbation_type not in TYPES:
            hint = did_you_mean(self.perturbation_type, TYPES)
            raise InputError(f'data.fields.perturbation_type: no such type {self.perturbation_type!r}; {hint}')


def row_columns(fields: Fields) -> list[str]:
    """The columns of the rows' table that the fields use, without repeats."""
    steps = [step for name in (fields.context, fields.perturbation, fields.dose) for step in template_steps(name)]
    used = [name for _, name, _ in steps] + [fields.control_column, *fields.where]
    return list(dict.fromkeys(filter(None, used)))


def readout_columns(fields: Fields) -> list[str]:
    """The columns of the readouts' table that the fields use, without repeats."""
    used = [name for _, name, _ in template_steps(fields.readout)] + [*fields.readout_where]
    return list(dict.fromkeys(filter(None, used)))


def readout_names(table: pd.DataFrame, fields: Fields, path: str) -> np.ndarray:
    """The names of readouts `[M]`.

    In most files some genes have no symbol, or the same symbol as another gene. A readout without a
    name is named by its index, and readouts that share a name get their index added to it.
    """
    index = texts(table.index)
    if not fields.readout:
        return index
    names = filled(table, fields.readout, path, 'data.fields.readout', needed=False)
    unnamed = names == ''
    shared = pd.Series(names).duplicated(keep=False).to_numpy() & ~unnamed
    if unnamed.any() or shared.any():
        logging.warning(
            '%s: data.fields.readout: %d of %d readouts have no name there and are named by their index; '
            '%d share their name with another and get their index added.',
            *(path, unnamed.sum(), len(names), shared.sum()),
        )
    return np.where(unnamed, index, np.where(shared, names + ' (' + index + ')', names))


def select(table: pd.DataFrame, where: Mapping[str, Any], path: str, field: str) -> np.ndarray:
    """The positions of the rows that meet the condition on every column of `where`; see `conditions.meets`.

    Raises InputError where a column is missing or no row is left.
    """
    chosen = np.ones(len(table), bool)
    for name, wanted in where.items():
        chosen &= meets(find_column(table, name, path, field), wanted, f'{path}: {field}: {name!r}')
    if where and not chosen.any():
        raise InputError(
            f'{path}: {field}: no row meets the conditions on {listed(where)} together; loosen one of them.'
        )
    if not chosen.all():
        logging.info('%s: %s: %d of %d are kept.', path, field, chosen.sum(), len(chosen))
    return np.flatnonzero(chosen)
