"""Settings as plain values: what a config may hold, and what is kept of it in config.json."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np

from perturbjax.errors import InputError


def plain(settings: Any, field: str) -> Any:
    """Nested settings in Python's own types: a path becomes text, a number or array of numpy becomes Python's.

    Args:
      settings: a config, a part of one, or one value.
      field: where in a config they are, for messages; `''` for a whole config.

    Raises:
      InputError: a value is of a type that a config cannot keep.

    Example:
      >>> plain({'path': pathlib.PurePosixPath('a/b.h5ad'), 'seeds': np.arange(3)}, 'data')
      {'path': 'a/b.h5ad', 'seeds': [0, 1, 2]}
    """
    if isinstance(settings, ml_collections.ConfigDict):
        # Going through a ConfigDict sorts its names; its JSON keeps them in the order of the experiment file.
        settings = {name: settings[name] for name in json.loads(settings.to_json_best_effort())}
    if isinstance(settings, Mapping):
        return {str(name): plain(value, f'{field}.{name}' if field else str(name)) for name, value in settings.items()}
    if isinstance(settings, pathlib.PurePath):
        return str(settings)
    if isinstance(settings, np.generic | np.ndarray):
        return plain(settings.tolist(), field)
    if isinstance(settings, list | tuple):
        return type(settings)([plain(value, f'{field}[{i}]') for i, value in enumerate(settings)])
    if settings is None or isinstance(settings, bool | int | float | str):
        return settings
    raise InputError(
        f'{field or "config"}: {str(settings)[:80]!r} is of type {type(settings).__name__}, which a config cannot '
        'keep; give text, numbers, lists, tuples or mappings.'
    )
