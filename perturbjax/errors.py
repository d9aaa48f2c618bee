"""What a user can mend: bad files, fields and settings, each told in one sentence."""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class InputError(ValueError):
    """Something the user gave cannot be used; the message names it and the mend.

    `main` prints the message and exits with code 2, without a traceback.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to end an error message with: the closest known name, or the known names."""
    known = [str(each) for each in known]
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f'did you mean {close[0]!r}?'
    return f'known are {listed(known)}.'


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names for a sentence: `'a', 'b' and 12 more`."""
    names = list(names)
    shown = ', '.join(repr(str(name)) for name in names[:most])
    return shown + (f' and {len(names) - most} more' if len(names) > most else '') if names else 'none'


def pick(registry: Mapping[str, Callable], name: str, field: str) -> Callable:
    """The registered function of that name, or an error naming the config field."""
    if name not in registry:
        raise InputError(f'{field}: no such choice {name!r}; {did_you_mean(name, registry)}')
    return registry[name]


def check_settings(function: Callable, settings: Mapping[str, Any], field: str, given: Iterable[str] = ()) -> None:
    """Raises unless `settings` are exactly keyword arguments of `function`.

    `given` names the arguments that the caller supplies itself, so a config may not set them.
    """
    parameters = inspect.signature(function).parameters
    allowed = [name for name in parameters if name not in set(given)]
    for name in settings:
        if name not in allowed:
            raise InputError(f'{field}: no such setting {name!r}; {did_you_mean(name, allowed)}')
    missing = [name for name in allowed if parameters[name].default is inspect.Parameter.empty and name not in settings]
    if missing:
        raise InputError(f'{field}: the setting {missing[0]!r} is needed.')
