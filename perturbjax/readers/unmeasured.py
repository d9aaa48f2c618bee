"""Perturbations that no file measures, and that models with features are to predict: `data.unmeasured`."""

from collections.abc import Iterable, Sequence
from typing import Any

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.readers.compressed import open_text
from perturbjax.readers.naming.spelling import clean
from perturbjax.readers.table import reading
from perturbjax.screens.vocabulary import CONTROL, parts, perturbation_type, token


def unmeasured_names(given: Any, measured: Iterable[str]) -> list[str]:
    """The single perturbations that are named, as a vocabulary has them.

    Args:
      given: names, or the path of a text file with a name on each line. A name without a type, such as `KLF1`, has
        the type that all measured perturbations have. Genes are written as the vocabulary has them: names are not
        harmonised.
      measured: the perturbations of the screens, combinations and control among them.

    Raises:
      InputError: it is neither, the file cannot be read or is empty, a name is a combination or control, or its type
        is not clear.
    """
    field = 'data.unmeasured'
    if not isinstance(given, str | list | tuple) or not all(isinstance(name, str) for name in given):
        raise InputError(f'{field}: {given!r} must be names of perturbations, or a file of them.')
    names = [name for name in map(clean, _lines(given) if isinstance(given, str) else given) if name]
    if not names:
        raise InputError(f'{field}: {given!r} names no perturbation; leave it out.')
    odd = [name for name in names if len(parts(name)) != 1 or name.casefold() in ('ctrl', CONTROL)]
    if odd:
        raise InputError(
            f'{field}: {listed(odd)} must be single perturbations; name the parts of a combination, not control.'
        )
    types = sorted({perturbation_type(part) for name in measured for part in parts(name)})
    return [_typed(name, types, field) for name in names]


def _lines(path: str) -> list[str]:
    path = absolute(path)
    with reading(path), open_text(path) as file:
        return file.read().splitlines()


def _typed(name: str, types: Sequence[str], field: str) -> str:
    if perturbation_type(name) or types in ([], ['']):
        return name
    if len(types) > 1:
        raise InputError(
            f'{field}: {name!r} has no type, and the measured perturbations have {listed(types)}; name it such as '
            f'{token(name, types[-1])!r}.'
        )
    return token(name, types[0])
