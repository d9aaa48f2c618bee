"""One spelling for every name, words that name nothing, and names that look alike."""

import re
import unicodedata
from collections.abc import Iterable

from perturbjax.screens.vocabulary import PLUS

# Characters that nobody sees or that are none, and the Greek mu, which looks as the micro sign does.
_ONE_FORM = {**dict.fromkeys(map(ord, '\u200b\u2060\ufeff\xad\ufffe\uffff')), ord('\u03bc'): '\u00b5'}
# Control characters and halves of characters, which HDF5, SVG or UTF-8 cannot hold.
_UNFIT = ('Cc', 'Cs')
_DASHES = re.compile('[\u2010-\u2015\u2212]')
# Spaces and dashes within a name say little, but between two digits they part two numbers: KRTAP1-11, KRTAP11-1.
_BETWEEN_DIGITS = re.compile(r'(?<=[0-9])[\s_-]+(?=[0-9])')
_WITHIN = re.compile(r'(?<=[^\W_])(?!(?<=[0-9])-[0-9])[\s_-]+(?=[^\W_])')

# Words by which tables say that a row has no perturbation; see `Fields.nothing`.
NOTHING = ('nan', 'none', 'na', 'n/a', '<na>', 'null', 'unassigned')


def clean(name: str) -> str:
    """The name in the one spelling that is compared and shown.

    Spaces around it, characters without width and control characters are gone, spaces within are single, Unicode
    is in its composed form (NFC), and the Greek mu is the micro sign.
    """
    if not name.isprintable():
        name = ''.join(each for each in name if each.isspace() or unicodedata.category(each) not in _UNFIT)
    if not name.isascii():
        name = unicodedata.normalize('NFC', name).translate(_ONE_FORM)
    elif ' ' not in name and name.isprintable():  # nearly all names
        return name
    return ' '.join(name.split())


def loose(name: str) -> str:
    """The form that names have in common if they differ only in capitals, spaces, dashes and underscores.

    `MCF7`, `MCF-7` and `mcf 7` look alike. `KRTAP1-11` and `KRTAP11-1` do not, nor do `(+)-JQ1` and `(-)-JQ1`.
    """
    if not name.isascii():
        name = _DASHES.sub('-', unicodedata.normalize('NFKC', clean(name)))
    name = name.casefold()
    return _WITHIN.sub('', _BETWEEN_DIGITS.sub('-', name))


def alike(names: Iterable[str]) -> list[list[str]]:
    """The groups of different names that look alike; sorted, as are the names of a group."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(loose(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def joint_pattern(separators: Iterable[str]) -> str:
    """The pattern of the separators of parts; a `+` within parentheses is none, as in the vocabulary."""
    return '|'.join(PLUS if each == '+' else re.escape(each) for each in separators)
