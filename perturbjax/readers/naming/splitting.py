"""Where the name of a combination is split into its parts."""

import re
from collections.abc import Collection, Sequence

from absl import logging

from perturbjax.errors import listed
from perturbjax.readers.naming.control_words import control_matcher, is_pattern
from perturbjax.readers.naming.spelling import joint_pattern


def as_separators(separator: str | Sequence[str]) -> tuple[str, ...]:
    """The separators, without `''`, which stands for none."""
    return tuple(each for each in ([separator] if isinstance(separator, str) else separator) if each)


def split_names(
    names: Sequence[str], separators: Sequence[str], control: Collection[str], path: str
) -> list[tuple[str, ...]]:
    """The parts of each name, in the order of the name; at `_` only as `Fields` says."""
    others = joint_pattern(each for each in separators if each != '_')
    split = re.compile(others).split if others else lambda name: [name]
    parts = [split(name) for name in names]
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
