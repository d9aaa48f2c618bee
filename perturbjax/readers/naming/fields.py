"""Which columns of a file give contexts, perturbations and readouts, and the names that follow from them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.readers.naming.columns import find_column, matches, text, texts
from perturbjax.readers.naming.combinations import as_separators, says_nothing, vocabulary_names
from perturbjax.readers.naming.conditions import meets, several
from perturbjax.readers.naming.control_words import control_matcher
from perturbjax.readers.naming.near_misses import merged_contexts, tell_contexts, tell_marks, tell_perturbations
from perturbjax.readers.naming.spelling import NOTHING
from perturbjax.readers.naming.templates import filled, has_any, split_template, template_steps
from perturbjax.screens.shared_control import ANY
from perturbjax.screens.vocabulary import CONTROL, TYPES

COMPOUND = 'Compound'


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
      control: values that mean control, as the whole perturbation, as one part of it, or in
        `control_column`; `*` and `?` stand for any characters. The word `control` always means control.
      control_column: another column that can mark a row as control, whatever its perturbation.
      separator: joins the parts of a combination, or several that do; `''` where no value is a combination.
        A `+` within parentheses belongs to the name. Names also contain `_`, so with that separator a value
        is split only if there is exactly one way to split it into values that the file has alone.
      nothing: words in the column of perturbations, whatever their capitals, that say that a row has none.
        A row of such a word is refused, and a part of a combination is left out.
      merge_alike: names that differ only in capitals, spaces, `-` or `_` are one; they are told in any case.
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
    control: tuple[str, ...] = (CONTROL,)
    control_column: str = ''
    separator: str | tuple[str, ...] = '+'
    nothing: tuple[str, ...] = NOTHING
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


def label_rows(table: pd.DataFrame, fields: Fields, path: str) -> tuple[np.ndarray, np.ndarray]:
    """The names of contexts and of perturbations, `[N]` each; perturbations as `vocabulary.combine` writes them.

    Raises InputError where a column is missing, or a row has no value in it. A row that
    `control_column` marks as control needs no perturbation.
    """
    marked = _marked(table, fields, path)
    names = _perturbation_texts(table, fields, marked, path)
    codes, distinct = _with_doses(names, table, fields, path)
    unique = np.array(settled_perturbations(distinct, fields, path), object)
    return _contexts(table, fields, (unique == CONTROL)[codes], path), unique[codes]


def control_words(fields: Fields) -> tuple[str, ...]:
    """The words and patterns that mean control."""
    return tuple(dict.fromkeys((*map(text, several(fields.control)), CONTROL)))


def _nothing(fields: Fields) -> Callable[[str], bool]:
    """Whether a text stands for no perturbation: a word of `nothing`, unless it is one for control."""
    words = {text(word).casefold() for word in several(fields.nothing)}
    is_control = control_matcher(control_words(fields))
    return lambda name: name.casefold() in words and not is_control(name)


def _marked(table: pd.DataFrame, fields: Fields, path: str) -> np.ndarray:
    """Which rows `[N]` the `control_column` marks as control."""
    if not fields.control_column:
        return np.zeros(len(table), bool)
    column, words = find_column(table, fields.control_column, path, 'data.fields.control_column'), control_words(fields)
    is_control = control_matcher(words)
    codes, unique = pd.factorize(texts(column))
    tell_marks(unique, words, path)
    return matches(column, words) | np.array([is_control(value) for value in unique], bool)[codes]


def _perturbation_texts(table: pd.DataFrame, fields: Fields, control: np.ndarray, path: str) -> np.ndarray:
    """The perturbation of each row as the file writes it, `[N]`; of a template the parts that have a value."""
    field, is_nothing = 'data.fields.perturbation', _nothing(fields)
    separators = as_separators(fields.separator)
    templates = split_template(fields.perturbation, separators)
    if len(templates) == 1:
        names = filled(table, fields.perturbation, path, field, ~control, is_nothing)
    else:
        there = [has_any(table, each, path, field, is_nothing) for each in templates]
        nowhere = ~np.logical_or.reduce([control, *there])
        if nowhere.any():
            raise InputError(
                f'{path}: {field}: {nowhere.sum()} of {len(table)} rows have no value in any column of '
                f'{fields.perturbation!r}; fill them in, or leave out those rows by data.fields.where.'
            )
        names = np.full(len(table), '', object)
        for each, needed in zip(templates, there, strict=True):
            part = filled(table, each, path, field, needed, is_nothing)
            joint = np.where((names != '') & (part != ''), separators[0], '').astype(object)
            names = names + joint + part
    names[control] = CONTROL
    return names


def _contexts(table: pd.DataFrame, fields: Fields, control: np.ndarray, path: str) -> np.ndarray:
    """The contexts `[N]`; rows of control may lack a value, which then fits any (see `screens.shared_control`)."""
    if fields.context_name:
        return np.full(len(table), text(fields.context_name), object)
    contexts = filled(table, fields.context, path, 'data.fields.context', ~control, absent=ANY)
    if '' in contexts:  # in rows of control without any value, which are refused
        filled(table, fields.context, path, 'data.fields.context', contexts == '')
    return settled_contexts(contexts, fields, path)


def settled_contexts(contexts: np.ndarray, fields: Fields, path: str) -> np.ndarray:
    """The contexts `[N]`; those that look alike are one if `merge_alike` says so, and else told."""
    if fields.merge_alike:
        contexts = merged_contexts(contexts)
    tell_contexts(contexts, _nothing(fields), path)
    return contexts


def settled_perturbations(dosed: Sequence[tuple[str, str]], fields: Fields, path: str) -> list[str]:
    """The names of perturbations as the vocabulary writes them; those that are nearly control or alike are told.

    Args:
      dosed: pairs of a name and its doses; see `combinations.vocabulary_names`.
      fields: say how names are read.
      path: of the file, for messages.
    """
    words = control_words(fields)
    names = vocabulary_names(
        dosed, words, fields.separator, fields.perturbation_type, path, _nothing(fields), fields.merge_alike
    )
    tell_perturbations(names, words, as_separators(fields.separator), path)
    return names


def _with_doses(names: np.ndarray, table: pd.DataFrame, fields: Fields, path: str) -> tuple[np.ndarray, list]:
    """For each row the index of its pair of name and dose, `[N]`, and the distinct pairs; a dose may be `''`."""
    if fields.dose and fields.perturbation_type in ('', COMPOUND):
        doses = filled(table, fields.dose, path, 'data.fields.dose', needed=False, is_nothing=_nothing(fields))
        if not says_nothing(doses, fields.separator):
            pairs = pd.DataFrame({'name': names, 'dose': doses}).groupby(['name', 'dose'], sort=False)
            return pairs.ngroup().to_numpy(), list(pairs.size().index)
    codes, unique = pd.factorize(names)
    return codes, [(name, '') for name in unique]


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
