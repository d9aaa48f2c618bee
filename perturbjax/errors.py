"""What a user can mend: bad files, fields and settings, each told in one sentence."""

import difflib
import inspect
import types
import typing
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


def check_settings(function: Callable, settings: Any, field: str, given: Iterable[str] = ()) -> None:
    """Raises unless `settings` are a mapping to keyword arguments of `function`, each of the annotated type.

    `given` names the arguments that the caller supplies itself, so a config may not set them.
    """
    if not isinstance(settings, Mapping):
        raise InputError(f'{field}: {settings!r} is no settings; give names and values, or {{}}.')
    parameters = inspect.signature(function).parameters
    allowed = [name for name in parameters if name not in set(given)]
    for name, value in settings.items():
        if name not in allowed:
            raise InputError(f'{field}: no such setting {name!r}; {did_you_mean(name, allowed)}')
        if not _is_of(value, parameters[name].annotation):
            kinds = ' or '.join(kind.__name__ for kind in _kinds(parameters[name].annotation))
            raise InputError(f'{field}.{name}: {value!r} is of the wrong type; it must be {kinds}.')
    missing = [name for name in allowed if parameters[name].default is inspect.Parameter.empty and name not in settings]
    if missing:
        raise InputError(f'{field}: the setting {missing[0]!r} is needed.')


def _kinds(annotation: Any) -> list[type]:
    """The classes of an annotation such as `int | Sequence[int]`; none where anything goes."""
    union = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    kinds = [typing.get_origin(each) or each for each in union]
    return [] if Any in kinds or inspect.Parameter.empty in kinds else kinds


def _is_of(value: Any, annotation: Any) -> bool:
    kinds = _kinds(annotation)
    if isinstance(value, list) and tuple in kinds:  # JSON knows lists only
        return True
    if isinstance(value, bool | str):  # they are a number and a sequence too, but hardly meant so
        return not kinds or type(value) in kinds
    return not kinds or isinstance(value, (*kinds, int) if float in kinds else tuple(kinds))


def check_range(field: str, least: float, **values: Any) -> None:
    """Raises unless every value is at least `least`; where that is 0.0, above it."""
    for name, value in values.items():
        if value < least or (value == least == 0 and isinstance(least, float)):
            bound = 'above 0' if isinstance(least, float) and least == 0 else f'at least {least}'
            raise InputError(f'{field}.{name}: {value} must be {bound}.')
