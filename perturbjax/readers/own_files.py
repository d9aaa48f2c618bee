"""The files that a run's own data come from: what is known of names from elsewhere may not be one of them."""

import glob
import os
from collections.abc import Iterator, Mapping
from typing import Any

from perturbjax.errors import InputError
from perturbjax.paths import absolute
from perturbjax.readers.asked import file_settings
from perturbjax.screens import store

OTHER_SCREEN = 'screen:'


def refuse_own_screens(models: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Raises InputError where a model takes another screen's profiles from the data whose answers are held out.

    Args:
      models: settings by label.
      data: of the config.
    """
    named = [(label, text) for label, settings in models.items() for text in _texts(settings)]
    asked = [(label, text) for label, text in named if text.startswith(OTHER_SCREEN)]
    own = _files(data) if asked else set()
    for label, text in asked:
        path = absolute(text.removeprefix(OTHER_SCREEN), f'models.{label}')
        read = _files({'source': 'prepared', 'path': path} if _is_prepared(path) else {'source': 'h5ad', 'path': path})
        if read & own:
            raise InputError(
                f'models.{label}: {text} is read by data too, so what is held out would be known; name another screen.'
            )


def _files(data: Mapping[str, Any]) -> set[str]:
    """All files that the settings of `data` name, and the folder of prepared ones."""
    found = {os.path.realpath(absolute(data['path']))} if data.get('source') == 'prepared' else set[str]()
    for settings in file_settings(data):
        paths = _texts(settings.get('path', ()))
        for path in map(absolute, filter(None, paths)):
            there = glob.glob(os.path.join(path, '*')) if os.path.isdir(path) else glob.glob(path)
            found |= {os.path.realpath(each) for each in (path, *there)}
    return found


def _is_prepared(path: str) -> bool:
    return os.path.isdir(path) and store.exists(path)


def _texts(settings: Any) -> Iterator[str]:
    """All texts in nested settings."""
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, Mapping):
        for each in settings.values():
            yield from _texts(each)
    elif isinstance(settings, list | tuple):
        for each in settings:
            yield from _texts(each)
