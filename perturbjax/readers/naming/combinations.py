"""The names of perturbations as a file joins them, and their doses, made into the vocabulary's names."""

import re
from collections.abc import Iterable, Sequence

from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.readers.naming.columns import text
from perturbjax.screens.vocabulary import combine, token

# A plus within parentheses belongs to a name, as in the vocabulary.
_PLUS = re.compile(r'\+(?![^(]*\))')
_DOSE = re.compile(r'(\d+\.?\d*|\.\d+)(?:[eE]([-+]?\d+))?\s*(.*)')
# LINCS has written all of these for micromolar.
_UNITS = {'um': 'uM', 'µm': 'uM', 'μm': 'uM', 'µM': 'uM', 'μM': 'uM', 'nm': 'nM', 'mm': 'mM'}


def canonical(dosed: Sequence[tuple[str, str]], control: set[str], separator: str, kind: str, path: str) -> list[str]:
    """Each name as `vocabulary.combine` writes it: control parts dropped, the others sorted, with type and dose.

    Args:
      dosed: names, each with its doses: `''`, or one for each part, joined as the parts are.
      control: what stands for control, of a name or a part.
      separator, kind: as in `Fields`.
      path: of the file, for messages.

    Raises InputError where a part is empty, or doses are not as many as parts.
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
        found.append(combine(token(part, kind) for part in kept))
    return found


def says_nothing(doses: Iterable[str], separator: str) -> bool:
    """Whether every dose is a bare 1, as CPA writes for genes, which have none."""
    pieces = {piece for dose in set(doses) for piece in (dose.split(separator) if separator else [dose])}
    return {dose_text(piece) for piece in pieces} <= {'', '1'}


def dose_text(dose: str, unit: str = '') -> str:
    """A dose as names show it, with the unit where it has none: `10.0 um` and `10 µM` are `10uM`."""
    found = _DOSE.fullmatch(dose.strip())
    if not found:
        return ''.join(dose.split())
    number = text(float(f'{found[1]}e{found[2] or 0}'))
    unit = ''.join(found[3].split()) or unit
    return number + _UNITS.get(unit, unit)


def _amounts(dose: str, parts: Sequence[str], separator: str, path: str) -> list[str]:
    """The dose of each part; a unit behind the last stands for all."""
    if not dose or not parts:
        return [''] * len(parts)
    doses = dose.split(separator) if len(parts) > 1 else [dose]
    if len(doses) != len(parts):
        raise InputError(
            f'{path}: data.fields.dose: {separator.join(parts)!r} has {len(parts)} parts, but its doses are {dose!r}; '
            f'give one for each part, joined by {separator!r}.'
        )
    last = _DOSE.fullmatch(doses[-1].strip())
    return [dose_text(each, ''.join(last[3].split()) if last else '') for each in doses]


def _split(names: Sequence[str], separator: str, control: set[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name, in its order."""
    if separator == '+':
        return [tuple(_PLUS.split(name)) for name in names]
    if separator == '_':
        return _split_known(names, control, path)
    return [tuple(name.split(separator)) if separator else (name,) for name in names]


def _split_known(names: Sequence[str], control: set[str], path: str) -> list[tuple[str, ...]]:
    """The parts of each name, split at `_` only into control and names that do not split themselves."""
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
        (whole, 'are no known parts joined'),
        (sorted(ambiguous), 'split in several ways and stay whole'),
    ):
        if these:
            logging.warning('%s: %d values hold _ but %s: %s.', path, len(these), fault, listed(these))
    return [found[name] for name in names]


def _only_way(pieces: Sequence[str], singles: set[str], lengths: Sequence[int]) -> tuple[int, tuple[str, ...]]:
    """In how many ways (0, 1, or 2 for more) neighbouring pieces join into known singles, and one of them.

    `lengths`: of how many pieces the singles are, sorted.
    """
    ways, first = [0] * len(pieces) + [1], [0] * len(pieces)  # of the pieces from each place on
    for place in reversed(range(len(pieces))):
        for length in lengths:
            if place + length > len(pieces):
                break
            if ways[place + length] and '_'.join(pieces[place : place + length]) in singles:
                ways[place], first[place] = min(2, ways[place] + ways[place + length]), length
    parts, place = [], 0
    while ways[0] and place < len(pieces):
        parts.append('_'.join(pieces[place : place + first[place]]))
        place += first[place]
    return ways[0], tuple(parts)
