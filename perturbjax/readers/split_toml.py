"""Splits as STATE's TOML files have them: whole contexts ("zeroshot") and lists of perturbations ("fewshot")."""

import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from absl import logging

from perturbjax.errors import InputError, listed, reason
from perturbjax.screens.listed_split import EVERY

_ROLES = ('val', 'test')


def read_state_split(file: pathlib.Path) -> dict[str, list]:
    """The lists train, val and test of pairs of a context and a condition; everything else trains.

    A key such as "replogle.rpe1" is a data set and a context; which of a config's files is which data set is not
    known, so the context counts in all of them. What stands under both val and test is tested, and told. The file's
    paths, and which data sets train, are not looked at: these are the config's `data`.

    Raises:
      InputError: it is no TOML, has neither table, or holds something else in them.
    """
    try:
        tables = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f'{file}: not a split: it cannot be read as TOML ({reason(error)}).') from error
    lists: dict[str, list] = {'train': [EVERY], 'val': [], 'test': []}
    for key, role in _table(tables, 'zeroshot', file).items():
        if role not in _ROLES:
            raise InputError(f'{file}: zeroshot.{key}: {role!r} must be val or test.')
        lists[role].append([_context(key), EVERY])
    for key, conditions in _table(tables, 'fewshot', file).items():
        _add_few(lists, key, conditions, file)
    if not lists['test']:
        raise InputError(f'{file}: not a split: neither zeroshot nor fewshot names anything to test.')
    return lists


def _add_few(lists: dict[str, list], key: str, conditions: Any, file: pathlib.Path) -> None:
    """Adds the conditions of one context to the lists."""
    what = f'{file}: fewshot.{key}'
    if not isinstance(conditions, Mapping) or set(conditions) - {'train', *_ROLES}:
        raise InputError(f'{what}: it must have the lists val and test.')
    tested, validated = (conditions.get(role, []) for role in ('test', 'val'))
    for each in (tested, validated):
        if not isinstance(each, list) or not all(isinstance(name, str) for name in each):
            raise InputError(f'{what}: val and test must be lists of text.')
    both = [name for name in validated if name in set(tested)]
    if both:
        logging.warning('%s: %s: under both val and test, so tested.', what, listed(both))
    alone = [name for name in validated if name not in set(both)]
    for role, names in (('test', tested), ('val', alone)):
        lists[role] += [[_context(key), name] for name in dict.fromkeys(names)]


def _table(tables: Mapping[str, Any], name: str, file: pathlib.Path) -> Mapping[str, Any]:
    found = tables.get(name, {})
    if not isinstance(found, Mapping):
        raise InputError(f'{file}: {name} must be a table.')
    return found


def _context(key: str) -> str:
    """The context of a key such as `replogle.rpe1`."""
    return key.partition('.')[2] or key
