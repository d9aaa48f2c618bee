"""Errors that a user can fix: bad files, fields and settings, each explained in one sentence."""

import difflib
import errno
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class InputError(ValueError):
    """Something that the user gave cannot be used; the message names it and says how to fix it.

    `main` prints the message and exits with code 2, without a traceback.
    """


# What to do about an error of the operating system, by its number.
_MENDS = {
    errno.ENOSPC: 'free space there, and launch again to go on',
    errno.EDQUOT: 'free space or raise the quota there, and launch again to go on',
    errno.EROFS: 'give another --workdir, which can be written to',
    errno.EACCES: 'grant the right, or give another path',
    errno.EPERM: 'grant the right, or give another path',
    errno.ENOENT: 'it was moved or removed, or was never there',
    errno.EIO: 'the disk is failing or was taken away',
}


def of_system(error: OSError) -> str:
    """An error of the operating system as one sentence that names the file and the mend."""
    number = error.errno
    if number is None:  # HDF5 has it in its text alone
        found = re.search(r'errno = (\d+)', str(error))
        number = int(found[1]) if found else None
    if number is None:
        return ' '.join(str(error).split())[:300] or type(error).__name__
    where = f'{error.filename}: ' if error.filename else ''
    mend = f'; {_MENDS[number]}' if number in _MENDS else ''
    return f'{where}{os.strerror(number)}{mend}.'


def reason(error: BaseException) -> str:
    """The first line of what an error says, at most 200 letters of it; the name of its kind if it says nothing."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for the end of an error message: the closest known name, or else all known names."""
    known = [str(each) for each in known]
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f'did you mean {close[0]!r}?'
    return f'known are {listed(known)}.'


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names as a sentence shows them: `'a', 'b' and 12 more`."""
    return some([repr(str(name)) for name in names], most) or 'none'


def some(names: Iterable[str], most: int = 8) -> str:
    """The first names: `a, b and 12 more`; empty if there are none."""
    names = [str(name) for name in names]
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')


def pick(registry: Mapping[str, Callable], name: str, field: str) -> Callable:
    """The registered function of that name; raises InputError, naming the config field, where there is none."""
    if name not in registry:
        raise InputError(f'{field}: no such choice {name!r}; {did_you_mean(name, registry)}')
    return registry[name]


def check_settings(function: Callable, settings: Any, field: str, given: Iterable[str] = ()) -> None:
    """Checks that `settings` can be the keyword arguments of `function`.

    Args:
      function: whose parameters and type annotations say what is allowed.
      settings: from a config.
      field: where in the config they are, for messages.
      given: arguments that the caller supplies itself, so that a config cannot set them.

    Raises:
      InputError: it is not a mapping, has an unknown setting or a wrong type, or lacks a setting.
    """
    if not isinstance(settings, Mapping):
        raise InputError(f'{field}: expected a mapping of setting names to values, got {settings!r}.')
    parameters = inspect.signature(function).parameters
    allowed = [name for name in parameters if name not in set(given)]
    for name, value in settings.items():
        if name not in allowed:
            raise InputError(f'{field}: no such setting {name!r}; {did_you_mean(name, allowed)}')
        if not _is_of(value, parameters[name].annotation):
            types = ' or '.join(each.__name__ for each in _types(parameters[name].annotation))
            raise InputError(f'{field}.{name}: {value!r} is of the wrong type; it must be {types}.')
    missing = [name for name in allowed if parameters[name].default is inspect.Parameter.empty and name not in settings]
    if missing:
        raise InputError(f'{field}: the setting {missing[0]!r} is needed.')


def _types(annotation: Any) -> list[type]:
    """The classes of an annotation such as `int | Sequence[int]`; an empty list allows anything."""
    union = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    found = [typing.get_origin(each) or each for each in union]
    return [] if Any in found or inspect.Parameter.empty in found else found


def _is_of(value: Any, annotation: Any) -> bool:
    allowed = _types(annotation)
    if isinstance(value, list) and tuple in allowed:  # JSON has no tuples
        return True
    if isinstance(value, bool | str):  # Python takes them for a number and a sequence, but a user does not
        return not allowed or type(value) in allowed
    return not allowed or isinstance(value, (*allowed, int) if float in allowed else tuple(allowed))


def check_range(field: str, least: float, **values: Any) -> None:
    """Raises InputError unless every value is at least `least`; the message names `field.name`."""
    for name, value in values.items():
        if value < least:
            raise InputError(f'{field}.{name}: {value} must be at least {least}.')


def check_positive(field: str, **values: Any) -> None:
    """Raises InputError unless every value is above 0; the message names `field.name`."""
    for name, value in values.items():
        if value <= 0:
            raise InputError(f'{field}.{name}: {value} must be above 0.')
