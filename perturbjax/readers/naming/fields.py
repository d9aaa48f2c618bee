"""Which column of a file says what, and the names of its rows and readouts that follow from it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.readers.naming.columns import filled, find_column, matches, template_steps, text, texts
from perturbjax.readers.naming.combinations import canonical, says_nothing
from perturbjax.readers.naming.conditions import meets, several
from perturbjax.screens.vocabulary import CONTROL, TYPES

COMPOUND = 'Compound'


@dataclasses.dataclass(frozen=True)
class Fields:
    """Which column says what. The column `index` is the rows' (or the readouts') own ids.

    Of columns with `|` between them the first that is there counts, as in `'target|target_gene'`.
    A template builds a name from several columns, as `'{cell_id}_{pert_time}h'`; `'{index:_1}'`
    takes piece 1, counted from 0, of the index split at `_`.

    Attributes:
      context: column or template. Either this or `context_name` is needed.
      context_name: the one context of all rows, where no column says it.
      perturbation: column or template.
      control: values that mean control: of the whole perturbation, of one part of it, or of
        `control_column`. The word `control` itself always does.
      control_column: another column that can mark a row as control, whatever its perturbation.
      separator: joins the parts of a combination; `''` where no value is a combination. A `+`
        within parentheses belongs to the name. At `_`, which names hold too, a value is split
        only if in just one way its pieces are values that stand in the file by themselves.
      dose: column or template; put behind the name of a compound, as `name-10uM`. A combination's
        doses are joined as its parts are. Only of `kind` Compound, or none; a row without a dose has
        none, and neither has any where all are a bare 1, as CPA writes for genes.
      kind: put in front of each part, one of `vocabulary.TYPES`, or `''`.
      readout: column or template of the readouts' table; `''` is its index.
      where: keep only rows that have in this column this value, or one of these, or that meet all
        of `{'not': ..., 'at_least': 0.2, 'at_most': 1, 'above': 0, 'below': 2}` that are given.
      readout_where: the same for readouts.
    """

    context: str = ''
    context_name: str = ''
    perturbation: str = 'perturbation'
    control: tuple[str, ...] = (CONTROL,)
    control_column: str = ''
    separator: str = '+'
    dose: str = ''
    kind: str = ''
    readout: str = ''
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    readout_where: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if bool(self.context) == bool(self.context_name):
            raise InputError('data.fields: give either context, a column, or context_name, one name for all rows.')
        if not self.perturbation:
            raise InputError('data.fields.perturbation: name the column of the perturbations.')
        if self.kind and self.kind not in TYPES:
            raise InputError(f'data.fields.kind: no such type {self.kind!r}; {did_you_mean(self.kind, TYPES)}')


def row_columns(fields: Fields) -> list[str]:
    """The columns of the rows' table that the fields use, each once."""
    steps = [step for name in (fields.context, fields.perturbation, fields.dose) for step in template_steps(name)]
    used = [name for _, name, _ in steps] + [fields.control_column, *fields.where]
    return list(dict.fromkeys(filter(None, used)))


def readout_columns(fields: Fields) -> list[str]:
    """The columns of the readouts' table that the fields use, each once."""
    used = [name for _, name, _ in template_steps(fields.readout)] + [*fields.readout_where]
    return list(dict.fromkeys(filter(None, used)))


def label_rows(table: pd.DataFrame, fields: Fields, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Names of contexts and of perturbations, `[N]` each; perturbations as `vocabulary.combine` writes them.

    Raises InputError where a column is missing, or a row has no value in it (a row that
    `control_column` marks as control needs no perturbation).
    """
    control = np.zeros(len(table), bool)
    if fields.control_column:
        column = find_column(table, fields.control_column, path, 'data.fields.control_column')
        control = matches(column, (CONTROL, *several(fields.control)))
    if fields.context_name:
        contexts = np.full(len(table), fields.context_name, object)
    else:
        contexts = filled(table, fields.context, path, 'data.fields.context')
    names = filled(table, fields.perturbation, path, 'data.fields.perturbation', needed=~control)
    names[control] = CONTROL
    codes, distinct = _with_doses(names, table, fields, path)
    words = {CONTROL, *map(text, several(fields.control))}
    unique = canonical(distinct, words, fields.separator, fields.kind, path)
    return contexts, np.array(unique, object)[codes]


def _with_doses(names: np.ndarray, table: pd.DataFrame, fields: Fields, path: str) -> tuple[np.ndarray, list]:
    """The distinct pairs of a name and its dose, `''` for none, and which of them each row has, `[N]`."""
    if fields.dose and fields.kind in ('', COMPOUND):
        doses = filled(table, fields.dose, path, 'data.fields.dose', needed=False)
        if not says_nothing(doses, fields.separator):
            pairs = pd.DataFrame({'name': names, 'dose': doses}).groupby(['name', 'dose'], sort=False)
            return pairs.ngroup().to_numpy(), list(pairs.size().index)
    codes, unique = pd.factorize(names)
    return codes, [(name, '') for name in unique]


def readout_names(table: pd.DataFrame, fields: Fields, path: str) -> np.ndarray:
    """Names of readouts `[M]`.

    A readout without a name goes by its index, and one that shares its name has its index added:
    in most files some genes have no symbol, or the symbol of another.
    """
    index = texts(table.index)
    if not fields.readout:
        return index
    names = filled(table, fields.readout, path, 'data.fields.readout', needed=False)
    unnamed = names == ''
    shared = pd.Series(names).duplicated(keep=False).to_numpy() & ~unnamed
    if unnamed.any() or shared.any():
        logging.warning(
            '%s: data.fields.readout: %d of %d readouts have no name there and go by their index; '
            '%d share theirs with another and have their index added.',
            *(path, unnamed.sum(), len(names), shared.sum()),
        )
    return np.where(unnamed, index, np.where(shared, names + ' (' + index + ')', names))


def select(table: pd.DataFrame, where: Mapping[str, Any], path: str, field: str) -> np.ndarray:
    """Positions of the rows that meet the condition on every column of `where`; see `conditions.meets`.

    Raises InputError where a column is missing or no row is left.
    """
    chosen = np.ones(len(table), bool)
    for name, wanted in where.items():
        chosen &= meets(find_column(table, name, path, field), wanted, f'{path}: {field}: {name!r}')
    if where and not chosen.any():
        raise InputError(f'{path}: {field}: nothing meets {listed(where)} together; loosen one of them.')
    if not chosen.all():
        logging.info('%s: %s: %d of %d are kept.', path, field, chosen.sum(), len(chosen))
    return np.flatnonzero(chosen)
