"""From the names of perturbations in a file, and their doses, to the names that the vocabulary uses."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.control_words import control_matcher, is_pattern
from perturbjax.readers.naming.quantities import dose_text, dose_unit, is_zero, name_and_dose
from perturbjax.readers.naming.spelling import joint_pattern, loose
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
    names = list(dict.fromkeys(name for name, _ in dosed))
    pieces = dict(zip(names, split_names(names, separators, control, path), strict=True))
    spelled = _spellings([part for parts in pieces.values() for part in parts], control, merge_alike)
    logs = any(each.startswith('-') for _, dose in dosed for each in _split(dose, separators))
    found: list[str] = []
    zero: list[str] = []
    blank: list[str] = []
    for name, dose in dosed:
        parts = [] if is_control(spelled.get(name, name)) else [spelled[part] for part in pieces[name]]
        _check_parts(parts, name, separators, path)
        amounts = zip(parts, _amounts(dose, parts, separators, path), strict=True)
        given = [(part, amount) for part, amount in amounts if not is_control(part)]
        without = [] if logs else [pair for pair in given if is_zero(pair[1] or name_and_dose(pair[0])[1])]
        empty = [pair for pair in given if nothing(pair[0])] if len(parts) > 1 else []
        zero.extend(map(_with_dose, without))
        blank.extend(name for _ in empty)
        kept = [_with_dose(pair) for pair in given if pair not in without and pair not in empty]
        found.append(combine(token(part, perturbation_type) for part in kept))
    _tell(zero, 'perturbations have dose 0 and count as control', path)
    _tell(blank, 'combinations have a part that stands for nothing (data.fields.nothing), which is left out', path)
    return found


def _with_dose(dosed: tuple[str, str]) -> str:
    """A part with its dose; a dose that the part ends in has the form of others."""
    part, amount = dosed
    if amount:
        return f'{part}-{amount}'
    name, dose = name_and_dose(part)
    return f'{name}{part[len(name)]}{dose}' if dose else part


def _check_parts(parts: Sequence[str], name: str, separators: Sequence[str], path: str) -> None:
    if '' in parts:
        joints = ' or '.join(map(repr, separators or ('+',)))
        raise InputError(
            f'{path}: data.fields.separator: {name!r} has an empty part; build names by a template such as '
            f"'{{guide1}}+{{guide2}}', which leaves out what is empty, or, if {joints} belongs to names there, set "
            "data.fields.separator=''."
        )


def _tell(names: Iterable[str], what: str, path: str) -> None:
    names = list(dict.fromkeys(names))
    if names:
        logging.warning('%s: %d %s: %s.', path, len(names), what, listed(names))


def as_separators(separator: str | Sequence[str]) -> tuple[str, ...]:
    """The separators, without `''`, which stands for none."""
    return tuple(each for each in ([separator] if isinstance(separator, str) else separator) if each)


def _spellings(parts: Sequence[str], control: Collection[str], merge_alike: bool) -> dict[str, str]:
    """The spelling of each part: without spaces around it, and one for those that look alike if they are merged."""
    spelled = {part: part.strip() for part in dict.fromkeys(parts)}
    if not merge_alike:
        return spelled
    first = {loose(word): word for word in sorted(control, reverse=True) if not is_pattern(word)}
    for name in sorted(set(spelled.values())):
        first.setdefault(loose(name), name)
    return {part: first[loose(name)] for part, name in spelled.items()}


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


def split_names(
    names: Sequence[str], separators: Sequence[str], control: Collection[str], path: str
) -> list[tuple[str, ...]]:
    """The parts of each name, in the order of the name; at `_` only as `Fields` says."""
    others = joint_pattern(each for each in separators if each != '_')
    parts = [re.split(others, name) if others else [name] for name in names]
    if '_' not in separators:
        return [tuple(each) for each in parts]
    distinct = list(dict.fromkeys(part.strip() for each in parts for part in each))
    known = dict(zip(distinct, _split_by_singles(distinct, control, path), strict=True))
    return [tuple(piece for part in each for piece in known[part.strip()]) for each in parts]


def _split_by_singles(names: Sequence[str], control: Collection[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name, split at `_` only into control and into names that cannot be split themselves."""
    found: dict[str, tuple[str, ...]] = {}
    singles, ambiguous = {word for word in control if not is_pattern(word)}, set()
    for pattern in filter(is_pattern, control):
        singles |= matching_runs(names, pattern)
    lengths = {single.count('_') + 1 for single in singles}
    for name in sorted(names, key=lambda name: name.count('_')):
        ways, parts = _only_way(name.split('_'), singles, sorted(lengths))
        found[name] = parts if ways == 1 else (name,)
        if ways != 1:
            singles.add(name)
            lengths.add(name.count('_') + 1)
        if ways > 1:
            ambiguous.add(name)
    whole = [name for name in names if '_' in name and len(found[name]) == 1 and name not in ambiguous]
    for these, fault in (
        (whole, 'are not made of known parts'),
        (sorted(ambiguous), 'can be split in several ways, so they stay whole'),
    ):
        if these:
            logging.warning('%s: %d values contain _ but %s: %s.', path, len(these), fault, listed(these))
    return [found[name] for name in names]


def matching_runs(names: Sequence[str], pattern: str) -> set[str]:
    """The runs of neighbouring pieces of the names, as long as the pattern, that it matches."""
    matches, length = control_matcher([pattern]), pattern.count('_') + 1
    split = [name.split('_') for name in names]
    runs = {'_'.join(pieces[i : i + length]) for pieces in split for i in range(len(pieces) - length + 1)}
    return {run for run in runs if matches(run)}


def split_known(name: str, known: Collection[str]) -> tuple[str, ...]:
    """The known names that a name joins by `_`, if there is exactly one way to split it; else the name."""
    lengths = sorted({each.count('_') + 1 for each in known})
    ways, parts = _only_way(name.split('_'), set(known), lengths)
    return parts if ways == 1 else (name,)


def _only_way(pieces: Sequence[str], singles: set[str], lengths: Sequence[int]) -> tuple[int, tuple[str, ...]]:
    """In how many ways neighbouring pieces join into known singles (2 stands for more), and one of the ways.

    Args:
      pieces: of one name, in order.
      singles: the known names.
      lengths: the possible numbers of pieces of a single, sorted.
    """
    # From each position on: the number of ways to split the rest, and the length of the first part.
    ways, first = [0] * len(pieces) + [1], [0] * len(pieces)
    for start in reversed(range(len(pieces))):
        for length in lengths:
            if start + length > len(pieces):
                break
            if ways[start + length] and '_'.join(pieces[start : start + length]) in singles:
                ways[start], first[start] = min(2, ways[start] + ways[start + length]), length
    parts, start = [], 0
    while ways[0] and start < len(pieces):
        parts.append('_'.join(pieces[start : start + first[start]]))
        start += first[start]
    return ways[0], tuple(parts)
