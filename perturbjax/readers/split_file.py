"""Which conditions a user holds out: lists in JSON, a table, GEARS' pickle or STATE's TOML, or a column of the rows."""

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perturbjax.errors import InputError, check_settings, listed
from perturbjax.paths import absolute
from perturbjax.readers.asked import KnownNames, forms_of
from perturbjax.readers.compressed import plain_name
from perturbjax.readers.naming.columns import texts
from perturbjax.readers.naming.spelling import NOTHING
from perturbjax.readers.split_column import read_split_column
from perturbjax.readers.split_toml import read_state_split
from perturbjax.readers.table import TABLES, read_matrix
from perturbjax.readers.unpickle import plain_value
from perturbjax.screens.listed_split import EVERY
from perturbjax.screens.vocabulary import Vocabulary

_PICKLES = ('.pkl', '.pickle')
_TABLES = tuple(ending for ending in TABLES if ending != '.txt')
# Lists of conditions need far less.
_MOST_BYTES = 2**20


# What lists may be called in any capitals, and other words for the list of validation.
_WORDS = ('train', 'val', 'test')
_VALIDATION = ('valid', 'validation')
_IN_NO_LIST = ('', 'unused', *NOTHING)
# The columns of a table of conditions: the first of each that it has.
_CONDITIONS, _ROLES, _CONTEXT = ('condition', 'perturbation'), ('split', 'set', 'role', 'fold'), 'context'
# The splits that have lists, and which settings they have besides.
_WITH_LISTS: Mapping[str, tuple[str, ...]] = {'custom': (), 'folds': ('validation',)}

Lists = dict[str, list]


def resolve(split: Mapping[str, Any], data: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The settings of a split with its lists read: they are in `lists`, and `source` says where they come from.

    Only the splits `custom` and `folds` have lists; the settings of all others come back as they are. Conditions may
    have any of the forms that the files of the config may have (see `readers.asked`).

    Args:
      split: settings; those with lists have `path`, a file of lists, or `column`, a column of the rows' table, or
        `lists`.
      data: of the config.
      vocabulary: the names that there are.

    Raises:
      InputError: such a split has none of them or several, or the file or the column cannot be used.
    """
    if split.get('name') not in _WITH_LISTS:
        return dict(split)
    apart = ('name', 'seeds', *_WITH_LISTS[split['name']])
    given = {name: value for name, value in split.items() if name not in apart}
    what = f'split ({split["name"]})'
    check_settings(_lists, given, what, given=('data',))
    if len(set(given) - {'source'}) != 1:
        raise InputError(
            f'{what}: give one of path (a file of conditions), column (of the table of rows) and lists, but '
            f'there are {listed(given)}.'
        )
    lists, source = _lists(**given, data=data)
    known = KnownNames(vocabulary, forms_of(data))
    kept = {name: split[name] for name in apart if name in split}
    named = {role: [_in_form(each, known) for each in conditions] for role, conditions in lists.items()}
    return kept | {'lists': named, 'source': source}


def _lists(
    path: str = '',
    column: str = '',
    lists: Mapping[str, Sequence] | None = None,
    source: str = 'split.lists',
    data: Mapping[str, Any] | None = None,
) -> tuple[Mapping[str, Sequence], str]:
    """The lists and where they come from; see `resolve`."""
    if path:
        return read_split_lists(path), path
    if column:
        found = read_split_column(data or {}, column)
        return lists_of([role for role, _ in found], [pair for _, pair in found]), f'split.column={column!r}'
    return lists or {}, source


def _in_form(condition: Any, known: KnownNames) -> Any:
    """A condition, or a pair of context and condition, with names as the data have them."""
    if isinstance(condition, str):
        return known.plain(condition)
    context, name = condition
    return [known.context(context), known.plain(name)]


def read_split_lists(path: str) -> Lists:
    """The lists of conditions by name, such as train, val and test.

    The file is JSON, or a pickle (.pkl, .pickle), of which nothing is run, or a table (.csv, .tsv) with the
    columns condition and split or fold, and perhaps context; then the lists have pairs of context and condition, or of
    context and `*` where the table has no condition. In a pickle a list may also be a tuple, an array of text, or a
    set, which is sorted. TOML (.toml) is STATE's.

    Raises:
      InputError: the file cannot be read, or holds anything but lists of text by name; a pickle asks
        for more than plain values, or has more than 1 MiB; a table lacks a column.
    """
    file = pathlib.Path(absolute(path, 'split.path'))
    if not file.is_file():
        raise InputError(f'{path}: there is no such file.')
    if pathlib.Path(plain_name(path)).suffix in _TABLES:
        return _from_table(str(file))
    if file.suffix == '.toml':
        return read_state_split(file)
    lists = _from_pickle(file) if file.suffix in _PICKLES else _from_json(file)
    if not isinstance(lists, dict):
        raise InputError(f'{path}: not a split: it holds no lists by name, such as train, val and test.')
    return {str(name): _conditions(names, f'{path}: not a split: {name!r}') for name, names in lists.items()}


def lists_of(roles: Iterable[str], conditions: Iterable[Any]) -> Lists:
    """The conditions by role; a row without a role is in no list, and validation is `val`."""
    lists: Lists = {}
    for role, condition in dict.fromkeys(zip(roles, conditions)):
        word = role.casefold()
        if word not in _IN_NO_LIST:
            name = 'val' if word in _VALIDATION else word if word in _WORDS else role
            lists.setdefault(name, []).append(list(condition) if isinstance(condition, tuple) else condition)
    return lists


def _from_table(path: str) -> Lists:
    table = read_matrix(path)
    if _CONTEXT in table and not any(name in table for name in _CONDITIONS):
        table[_CONDITIONS[0]] = EVERY
    found = [next((name for name in names if name in table), '') for names in (_CONDITIONS, _ROLES)]
    if '' in found:
        raise InputError(
            f'{path}: not a split: a table of conditions needs the columns condition and split (or fold); there are '
            f'{listed(table.columns)}.'
        )
    conditions, roles = (texts(table[name]) for name in found)
    pairs = zip(texts(table[_CONTEXT]), conditions) if _CONTEXT in table else conditions
    return lists_of(roles, pairs)


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
