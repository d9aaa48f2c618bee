"""The names of rows: what a file's columns say of contexts and perturbations, as the vocabulary writes it."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from perturbjax.errors import InputError
from perturbjax.readers.naming.columns import find_column, matches, text, texts
from perturbjax.readers.naming.combinations import says_nothing, vocabulary_names
from perturbjax.readers.naming.conditions import several
from perturbjax.readers.naming.control_words import control_matcher
from perturbjax.readers.naming.fields import DOSED, Fields
from perturbjax.readers.naming.merging import merged_contexts
from perturbjax.readers.naming.near_misses import tell_contexts, tell_marks, tell_perturbations
from perturbjax.readers.naming.splitting import as_separators
from perturbjax.readers.naming.templates import filled, has_any, split_template
from perturbjax.screens.shared_control import ANY
from perturbjax.screens.vocabulary import CONTROL

_FIELD = 'data.fields.perturbation'


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
    templates = split_template(fields.perturbation, as_separators(fields.separator))
    if len(templates) > 1:
        names = _joined_parts(table, templates, fields, control, path)
    else:
        names = filled(table, fields.perturbation, path, _FIELD, ~control, _nothing(fields))
    names[control] = CONTROL
    return names


def _joined_parts(
    table: pd.DataFrame, templates: Sequence[str], fields: Fields, control: np.ndarray, path: str
) -> np.ndarray:
    """The parts of each row that have a value in any of their columns, joined, `[N]`; each part is a template."""
    is_nothing, joint = _nothing(fields), as_separators(fields.separator)[0]
    there = [has_any(table, each, path, _FIELD, is_nothing) for each in templates]
    nowhere = ~np.logical_or.reduce([control, *there])
    if nowhere.any():
        raise InputError(
            f'{path}: {_FIELD}: {nowhere.sum()} of {len(table)} rows have no value in any column of '
            f'{fields.perturbation!r}; fill them in, or leave out those rows by data.fields.where.'
        )
    names = np.full(len(table), '', object)
    for each, needed in zip(templates, there, strict=True):
        part = filled(table, each, path, _FIELD, needed, is_nothing)
        names = names + np.where((names != '') & (part != ''), joint, '').astype(object) + part
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
        contexts = merged_contexts(contexts, path)
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
    if fields.dose and fields.perturbation_type in DOSED:
        doses = filled(table, fields.dose, path, 'data.fields.dose', needed=False, is_nothing=_nothing(fields))
        if not says_nothing(doses, fields.separator):
            pairs = pd.DataFrame({'name': names, 'dose': doses}).groupby(['name', 'dose'], sort=False)
            return pairs.ngroup().to_numpy(), list(pairs.size().index)
    codes, unique = pd.factorize(names)
    return codes, [(name, '') for name in unique]
