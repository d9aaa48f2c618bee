"""From the names of perturbations in a file, and their doses, to the names that the vocabulary uses."""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.control_words import control_matcher, is_pattern
from perturbjax.readers.naming.merging import first_spellings
from perturbjax.readers.naming.quantities import dose_text, dose_unit, is_zero, name_and_dose
from perturbjax.readers.naming.splitting import as_separators, split_names
from perturbjax.screens.vocabulary import combine, token


def vocabulary_names(
    dosed: Sequence[tuple[str, str]],
    control: Collection[str],
    separator: str | Sequence[str],
    perturbation_type: str,
    path: str,
    nothing: Callable[[str], bool] = lambda _: False,
    merge_alike: bool = False,
) -> list[str]:
    """Each name as `vocabulary.combine` writes it: without control, its parts sorted, with type and dose.

    A part with dose 0 is not there, so it counts as control; but not where a dose is negative, since then
    the doses are logarithms.

    Args:
      dosed: pairs of a name and its doses; the doses are `''`, or one per part, joined as the parts are.
      control: words that mean control, as a whole name or as a part, or patterns.
      separator, perturbation_type, merge_alike: as in `Fields`; several separators may be given.
      path: of the file, for messages.
      nothing: whether a part stands for nothing.

    Raises InputError where a part is empty, or the number of doses differs from the number of parts.
    """
    separators, is_control = as_separators(separator), control_matcher(control)
    # Files have many combinations of few parts, so what is asked of a part is remembered.
    has_dose_zero, means_nothing = functools.cache(_has_dose_zero), functools.cache(nothing)
    named = functools.cache(lambda pair: token(_with_dose(pair), perturbation_type))
    names = list(dict.fromkeys(name for name, _ in dosed))
    pieces = dict(zip(names, split_names(names, separators, control, path), strict=True))
    spelled = {part: part.strip() for parts in pieces.values() for part in parts}
    if merge_alike:
        spelled = _merged(spelled, control, path)
    logs = any(each.startswith('-') for dose in {dose for _, dose in dosed} for each in _split(dose, separators))
    found: list[str] = []
    zero: list[str] = []
    blank: list[str] = []
    for name, dose in dosed:
        parts = [] if is_control(spelled.get(name, name)) else [spelled[part] for part in pieces[name]]
        if '' in parts:
            raise _empty_part(name, separators, path)
        kept = []
        for pair in zip(parts, _amounts(dose, parts, separators, path), strict=True):
            if is_control(pair[0]):
                continue
            if len(parts) > 1 and means_nothing(pair[0]):
                blank.append(name)
            elif not logs and has_dose_zero(pair):
                zero.append(_with_dose(pair))
            else:
                kept.append(named(pair))
        found.append(combine(kept))
    _tell(zero, 'perturbations have dose 0 and count as control', path)
    _tell(blank, 'combinations have a part that stands for nothing (data.fields.nothing), which is left out', path)
    return found


def _has_dose_zero(dosed: tuple[str, str]) -> bool:
    """Whether the dose of a part, or the dose that the part ends in, is 0."""
    part, amount = dosed
    return is_zero(amount or name_and_dose(part)[1])


def _with_dose(dosed: tuple[str, str]) -> str:
    """A part with its dose; a dose that the part ends in has the form of others."""
    part, amount = dosed
    if amount:
        return f'{part}-{amount}'
    name, dose = name_and_dose(part)
    return f'{name}{part[len(name)]}{dose}' if dose else part


def _empty_part(name: str, separators: Sequence[str], path: str) -> InputError:
    joints = ' or '.join(map(repr, separators or ('+',)))
    return InputError(
        f'{path}: data.fields.separator: {name!r} has an empty part; build names by a template such as '
        f"'{{guide1}}+{{guide2}}', which leaves out what is empty, or, if {joints} belongs to names there, set "
        "data.fields.separator=''."
    )


def _tell(names: Iterable[str], what: str, path: str) -> None:
    names = list(dict.fromkeys(names))
    if names:
        logging.warning('%s: %d %s: %s.', path, len(names), what, listed(names))


def _merged(spelled: Mapping[str, str], control: Collection[str], path: str) -> dict[str, str]:
    """The spelling of each part, with one for all parts that look alike, whatever their doses."""
    dosed = {part: name_and_dose(name) for part, name in spelled.items()}
    words = [word for word in control if not is_pattern(word)]
    first = first_spellings({name for name, _ in dosed.values()}, 'perturbations', path, words)
    return {part: '-'.join(filter(None, (first.get(name, name), dose))) for part, (name, dose) in dosed.items()}


def says_nothing(doses: Iterable[str], separator: str | Sequence[str]) -> bool:
    """Whether every dose is a plain 1, which CPA writes for genes, as they have no dose."""
    pieces = {piece for dose in set(doses) for piece in _split(dose, as_separators(separator))}
    return {dose_text(piece) for piece in pieces} <= {'', '1'}


def _amounts(dose: str, parts: Sequence[str], separators: Sequence[str], path: str) -> list[str]:
    """The dose of each part; the unit of the last dose applies to doses without one."""
    if not dose or not parts:
        return [''] * len(parts)
    doses = _split(dose, separators) if len(parts) > 1 else [dose]
    if len(doses) != len(parts):
        joint = separators[0]
        raise InputError(
            f'{path}: data.fields.dose: {joint.join(parts)!r} has {len(parts)} parts, but its doses are {dose!r}; '
            f'give one dose for each part, joined by {joint!r}.'
        )
    return [dose_text(each, dose_unit(doses[-1])) for each in doses]


def _split(text: str, separators: Sequence[str]) -> list[str]:
    """The pieces of doses, or of other text in which a separator has no other meaning."""
    return re.split('|'.join(map(re.escape, separators)), text) if separators else [text]
