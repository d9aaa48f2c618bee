"""From the names of perturbations in a file, and their doses, to the names that the vocabulary uses."""

import re
from collections.abc import Iterable, Sequence

from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.columns import text
from perturbjax.screens.vocabulary import combine, token

# A plus within parentheses belongs to the name, as in the vocabulary.
_PLUS = re.compile(r'\+(?![^(]*\))')
_DOSE = re.compile(r'(\d+\.?\d*|\.\d+)(?:[eE]([-+]?\d+))?\s*(.*)')
# LINCS has used all of these spellings for micromolar.
_UNITS = {'um': 'uM', 'µm': 'uM', 'μm': 'uM', 'µM': 'uM', 'μM': 'uM', 'nm': 'nM', 'mm': 'mM'}


def vocabulary_names(
    dosed: Sequence[tuple[str, str]], control: set[str], separator: str, perturbation_type: str, path: str
) -> list[str]:
    """Each name as `vocabulary.combine` writes it: without control, its parts sorted, with type and dose.

    Args:
      dosed: pairs of a name and its doses; the doses are `''`, or one per part, joined as the parts are.
      control: words that mean control, as a whole name or as a part.
      separator, perturbation_type: as in `Fields`.
      path: of the file, for messages.

    Raises InputError where a part is empty, or the number of doses differs from the number of parts.
    """
    names = list(dict.fromkeys(name for name, _ in dosed))
    pieces = dict(zip(names, _split(names, separator, control, path), strict=True))
    found = []
    for name, dose in dosed:
        parts = [] if name in control else [piece.strip() for piece in pieces[name]]
        if '' in parts:
            raise InputError(
                f'{path}: data.fields.separator: {name!r} has an empty part; if {separator!r} belongs to '
                "names there, set data.fields.separator=''."
            )
        amounts = zip(parts, _amounts(dose, parts, separator, path), strict=True)
        kept = [f'{part}-{amount}' if amount else part for part, amount in amounts if part not in control]
        found.append(combine(token(part, perturbation_type) for part in kept))
    return found


def says_nothing(doses: Iterable[str], separator: str) -> bool:
    """Whether every dose is a plain 1, which CPA writes for genes, as they have no dose."""
    pieces = {piece for dose in set(doses) for piece in (dose.split(separator) if separator else [dose])}
    return {dose_text(piece) for piece in pieces} <= {'', '1'}


def dose_text(dose: str, unit: str = '') -> str:
    """A dose as names show it: `10.0 um` and `10 µM` become `10uM`. A dose without a unit gets `unit`."""
    found = _DOSE.fullmatch(dose.strip())
    if not found:
        return ''.join(dose.split())
    number = text(float(f'{found[1]}e{found[2] or 0}'))
    unit = ''.join(found[3].split()) or unit
    return number + _UNITS.get(unit, unit)


def _amounts(dose: str, parts: Sequence[str], separator: str, path: str) -> list[str]:
    """The dose of each part; the unit of the last dose applies to doses without one."""
    if not dose or not parts:
        return [''] * len(parts)
    doses = dose.split(separator) if len(parts) > 1 else [dose]
    if len(doses) != len(parts):
        raise InputError(
            f'{path}: data.fields.dose: {separator.join(parts)!r} has {len(parts)} parts, but its doses are {dose!r}; '
            f'give one dose for each part, joined by {separator!r}.'
        )
    last = _DOSE.fullmatch(doses[-1].strip())
    return [dose_text(each, ''.join(last[3].split()) if last else '') for each in doses]


def _split(names: Sequence[str], separator: str, control: set[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name, in the order of the name."""
    if separator == '+':
        return [tuple(_PLUS.split(name)) for name in names]
    if separator == '_':
        return _split_known(names, control, path)
    return [tuple(name.split(separator)) if separator else (name,) for name in names]


def _split_known(names: Sequence[str], control: set[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name, split at `_` only into control and into names that cannot be split themselves."""
    found: dict[str, tuple[str, ...]] = {}
    singles, ambiguous = set(control), set()
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
