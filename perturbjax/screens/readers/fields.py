"""Which column of a file says what, and the names of its rows and readouts that follow from it."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.readers.columns import filled, find_column, matches, template_steps, text, texts
from perturbjax.screens.vocabulary import CONTROL, TYPES, combine, parts, token


@dataclasses.dataclass(frozen=True)
class Fields:
    """Which column says what. The column `index` is the rows' (or the readouts') own ids.

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
      kind: put in front of each part, one of `vocabulary.TYPES`, or `''`.
      readout: column or template of the readouts' table; `''` is its index.
      where: keep only rows that have in this column this value, or one of these.
      readout_where: the same for readouts.
    """

    context: str = ''
    context_name: str = ''
    perturbation: str = 'perturbation'
    control: tuple[str, ...] = (CONTROL,)
    control_column: str = ''
    separator: str = '+'
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
    steps = template_steps(fields.context) + template_steps(fields.perturbation)
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
        control = matches(column, (CONTROL, *_several(fields.control)))
    if fields.context_name:
        contexts = np.full(len(table), fields.context_name, object)
    else:
        contexts = filled(table, fields.context, path, 'data.fields.context')
    names = filled(table, fields.perturbation, path, 'data.fields.perturbation', needed=~control)
    names[control] = CONTROL
    codes, unique = pd.factorize(names)
    return contexts, np.array(_perturbations(unique, fields, path), object)[codes]


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
    """Positions of the rows that have, in every column of `where`, the value or one of the values.

    Raises InputError where a column is missing or no row is left.
    """
    chosen = np.ones(len(table), bool)
    for name, wanted in where.items():
        column = find_column(table, name, path, field)
        met = matches(column, _several(wanted))
        if not met.any():
            sought, there = listed(map(text, _several(wanted))), listed(sorted(set(texts(column))))
            raise InputError(f'{path}: {field}: {name!r} is nowhere {sought}; the values there are {there}.')
        chosen &= met
    if where and not chosen.any():
        raise InputError(f'{path}: {field}: nothing meets {listed(where)} together; loosen one of them.')
    return np.flatnonzero(chosen)


def _several(wanted: Any) -> tuple:
    """One value, or several, as a tuple."""
    return tuple(wanted) if isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes) else (wanted,)


def _perturbations(names: Iterable[str], fields: Fields, path: str) -> list[str]:
    """The canonical name of each distinct value: control parts dropped, the others sorted, with their type."""
    control = {CONTROL, *map(text, _several(fields.control))}
    canonical = []
    for name, pieces in zip(names, _split(names, fields.separator, control, path)):
        found = [] if name in control else [piece.strip() for piece in pieces]
        if '' in found:
            raise InputError(
                f'{path}: data.fields.separator: {name!r} has an empty part; if {fields.separator!r} belongs to '
                "names there, set data.fields.separator=''."
            )
        canonical.append(combine(token(part, fields.kind) for part in found if part not in control))
    return canonical


def _split(names: Iterable[str], separator: str, control: set[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name."""
    if separator == '+':
        return [parts(name) for name in names]
    if separator == '_':
        return _split_known(names, control, path)
    return [tuple(name.split(separator)) if separator else (name,) for name in names]


def _split_known(names: Iterable[str], control: set[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name, split at `_` only into control and names that do not split themselves."""
    found: dict[str, tuple[str, ...]] = {}
    singles = set(control)
    for name in sorted(names, key=lambda name: name.count('_')):
        ways = _ways(name.split('_'), singles)
        found[name] = ways[0] if len(ways) == 1 else (name,)
        if len(ways) != 1:
            singles.add(name)
    whole = [name for name in names if '_' in name and len(found[name]) == 1]
    if whole:
        logging.warning('%s: %d values hold _ but are no known parts joined: %s.', path, len(whole), listed(whole))
    return [found[name] for name in names]


def _ways(pieces: list[str], singles: set[str]) -> list[tuple[str, ...]]:
    """Every way to join neighbouring pieces again so that all are known singles."""
    if not pieces:
        return [()]
    heads = ((place, '_'.join(pieces[:place])) for place in range(1, len(pieces) + 1))
    return [(head, *rest) for place, head in heads if head in singles for rest in _ways(pieces[place:], singles)]
