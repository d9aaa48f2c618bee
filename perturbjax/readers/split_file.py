"""Files of held-out conditions: lists by name in JSON, or as GEARS pickles them."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from perturbjax.errors import InputError, check_settings
from perturbjax.readers.unpickle import plain_value

_PICKLES = ('.pkl', '.pickle')
# Lists of conditions need far less.
_MOST_BYTES = 2**20


def resolve(split: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a split with its file read: `path` gives way to `lists`, and to `source`, which names the file.

    Only the split `custom` has a file; the settings of all others come back as they are.

    Raises:
      InputError: `custom` has neither a path nor lists, or the file cannot be used.
    """
    if split.get('name') != 'custom' or 'lists' in split:
        return dict(split)
    given = {name: value for name, value in split.items() if name not in ('name', 'seeds')}
    check_settings(read_split_lists, given, 'split (custom)')
    kept = {name: value for name, value in split.items() if name != 'path'}
    return kept | {'lists': read_split_lists(**given), 'source': given['path']}


def read_split_lists(path: str) -> dict[str, list[str]]:
    """The lists of conditions by name, such as train, val and test.

    The file is JSON, or a pickle (.pkl, .pickle), of which nothing is run. In a pickle a list may
    also be a tuple, an array of text, or a set, which is sorted.

    Raises:
      InputError: the file cannot be read, or holds anything but lists of text by name; a pickle asks
        for more than plain values, or has more than 1 MiB.
    """
    file = pathlib.Path(path)
    if not file.is_file():
        raise InputError(f'{path}: there is no such file.')
    lists = _from_pickle(file) if file.suffix in _PICKLES else _from_json(file)
    if not isinstance(lists, dict):
        raise InputError(f'{path}: not a split: it holds no lists by name, such as train, val and test.')
    return {str(name): _conditions(names, f'{path}: not a split: {name!r}') for name, names in lists.items()}


def _from_json(file: pathlib.Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f'{file}: not a split: it cannot be read as JSON ({error}).') from error


def _from_pickle(file: pathlib.Path) -> Any:
    if file.stat().st_size > _MOST_BYTES:
        raise InputError(f'{file}: has {file.stat().st_size} bytes, more than lists of conditions need; is it a split?')
    try:
        return plain_value(file.read_bytes())
    except ValueError as error:
        raise InputError(f'{file}: no split is read from this pickle ({error}); save the lists as JSON.') from error


def _conditions(names: Any, what: str) -> list[str]:
    if not isinstance(names, list | tuple | set | frozenset):
        raise InputError(f'{what} is not a list of conditions; is it the file of subgroups beside the split?')
    texts = [name.decode('utf-8', 'replace') if isinstance(name, bytes) else name for name in names]
    if not all(isinstance(name, str) for name in texts):
        raise InputError(f'{what} holds something that is not text.')
    return sorted(texts) if isinstance(names, set | frozenset) else texts
