"""Which names mean control: words and patterns, and names that only look like control."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from perturbjax.errors import listed
from perturbjax.readers.naming.quantities import name_and_dose
from perturbjax.readers.naming.spelling import clean, loose
from perturbjax.screens.vocabulary import target_gene

# Words that name control in public screens, whole or as a piece of a name; digits may follow.
_LOOKS = re.compile(
    r'(?<![^\W_])(?:(?:neg(?:ative)?[\W_]?)?(?:control|ctrl|ctl)|(?:non|safe)[\W_]?target(?:ing|ed)?|ntc|dmso|vehicle|'
    r'mock|scrambled?|untreated|unperturbed)[\W_]?[0-9]*(?![^\W_])',
    re.IGNORECASE,
)
_SHORT = ('nt',)  # such words are control only where nothing else stands beside them


def control_matcher(words: Iterable[str]) -> Callable[[str], bool]:
    """A function that says whether a name is one of the words; `*` and `?` in a word stand for any characters."""
    spelled = {clean(word) for word in words}
    patterns = [re.compile(fnmatch.translate(word.replace('[', '[[]'))) for word in spelled if is_pattern(word)]
    if not patterns:
        return spelled.__contains__

    def is_control(name: str) -> bool:
        return name in spelled or any(pattern.match(name) for pattern in patterns)

    return is_control


def is_pattern(word: str) -> bool:
    """Whether a word stands for many, by `*` or `?`."""
    return '*' in word or '?' in word


class LooksLikeControl(NamedTuple):
    """Names that look like control but are read as perturbations.

    Attributes:
      whole: perturbations that are, or have a part that is, a word for control.
      joined: perturbations with a part in which such a word is one piece.
      words: words and patterns that would make them control.
      separators: what stands between the word and the rest of the `joined` names.
    """

    whole: list[str]
    joined: list[str]
    words: list[str]
    separators: list[str]


def looking_like_control(names: Mapping[str, Sequence[str]], words: Sequence[str]) -> LooksLikeControl:
    """Which of the perturbations look like control, or have a part that does.

    Args:
      names: as the vocabulary writes them, with the parts of each.
      words: those that mean control already, or patterns.
    """
    is_control, near = control_matcher(words), {loose(word) for word in words}
    found = LooksLikeControl([], [], [], [])
    bare = {part: _bare(part) for part in set[str]().union(*names.values())}
    pieces = {part: _LOOKS.search(name) for part, name in bare.items()}
    is_near = {part for part, name in bare.items() if loose(name) in near or name.casefold() in _SHORT}
    odd = is_near.union(part for part, piece in pieces.items() if piece)
    for name in sorted(name for name, each in names.items() if not odd.isdisjoint(each)):
        for single in names[name]:
            part, piece = bare[single], pieces[single]
            if single in is_near or (piece and piece.group() == part):
                found.whole.append(name)
                found.words.append(_with_digits_open(part))
            elif piece:
                found.joined.append(name)
                found.separators.append(part[piece.start() - 1] if piece.start() else part[piece.end()])
                found.words.extend([] if is_control(piece.group()) else [_with_digits_open(piece.group())])
    return LooksLikeControl(*map(_unique, found))


def _bare(part: str) -> str:
    """The name of a part without its type and dose."""
    return name_and_dose(target_gene(part))[0]


def control_sentences(found: LooksLikeControl, words: Sequence[str], separators: Sequence[str]) -> list[str]:
    """What a user is told of names that look like control, with the settings that mend it."""
    sentences, mended = [], tuple(_unique([*words, *found.words]))
    if found.whole:
        sentences.append(
            f'{len(found.whole)} perturbations look like control, alone or as a part: {listed(found.whole)}; '
            f'if they are control, set data.fields.control={mended}.'
        )
    if found.joined:
        joints = tuple(_unique([*separators, *found.separators]))
        settings = [f'data.fields.separator={joints}'] if set(joints) - set(separators) else []
        settings += [f'data.fields.control={mended}'] if set(mended) - set(words) else []
        sentences.append(
            f'{len(found.joined)} perturbations have a piece that looks like control, but are read as one name: '
            f'{listed(found.joined)}; if it is control, set {" and ".join(settings) or "data.fields.control"}.'
        )
    return sentences


def _with_digits_open(name: str) -> str:
    """`NegCtrl0` as the pattern `NegCtrl*`; a name without digits at its end as it is."""
    stem = name.rstrip('0123456789')
    return f'{stem}*' if stem != name else name


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
