"""Public data sets by name: a command that lists and fetches them, and the settings that read them.

    python -m perturbjax.datasets.catalogue list [NAME]
    python -m perturbjax.datasets.catalogue fetch NAME [--cache=FOLDER] [--mirror=ADDRESS]

The files go to the cache: the folder `--cache`, or else PERTURBJAX_CACHE, or else the user's own cache.
A file that is there is verified and not downloaded again, so a filled cache works without a network, and
a cache on a web server is a mirror. `settings` then gives the `data` part of a config.
"""

import argparse
import copy
import logging
import pprint
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from perturbjax.datasets import embeddings, published
from perturbjax.datasets.download import cache_folder, check_fetched, obtain_all, pooch_library
from perturbjax.datasets.public_data import CATALOGUE, Entry
from perturbjax.errors import InputError, did_you_mean
from perturbjax.renames import with_new_names

_FILES = ('path', 'siginfo', 'geneinfo')


def settings(name: str = '', cache: str = '', **changes: Any) -> dict[str, Any]:
    """The `data` part of a config for a data set that was fetched: `config.data = settings('norman')`.

    Args:
      name: of the data set.
      cache: the folder; see the command above.
      changes: settings that replace those of the catalogue. Within `fields` only the given ones are
        replaced, so `fields={'where': {...}}` chooses other rows and keeps the rest.

    Raises:
      InputError: there is no such data set, or it is not in the cache.
    """
    entry = _find(name)
    folder = cache_folder(cache) / entry.folder
    for file in entry.files:
        check_fetched(folder / file.read, name, cache)
    changes, known = with_new_names(changes, 'data'), copy.deepcopy(entry.settings)
    fields = changes.get('fields', {})
    if not isinstance(fields, Mapping):
        raise InputError(f'data.fields: expected a mapping of setting names to values, got {fields!r}.')
    known |= {key: str(folder / known[key]) for key in _FILES if key in known}
    return known | changes | {'fields': known['fields'] | dict(fields)}


def fetch(name: str, cache: str = '', mirror: str = '') -> dict[str, Any]:
    """Downloads and verifies the files of a data set that are not in the cache, and gives its settings.

    Args:
      name: of the data set.
      cache: the folder; `''` for PERTURBJAX_CACHE, or else the user's own cache.
      mirror: the address of a cache on a web server, to download from instead.

    Raises:
      InputError: a file cannot be downloaded whole, or its checksum differs. What has been downloaded
        is kept, and the next call continues from there.
    """
    entry = _find(name)
    obtain_all(entry.files, entry.folder, cache, mirror)
    return settings(name, cache)


def listing(name: str = '') -> str:
    """The data sets and embedding tables, one per line, or everything that is known of one."""
    if name == published.NAME:
        return published.describe()
    if name in embeddings.TABLES:
        return embeddings.describe(name)
    if name:
        return _describe(name)
    width = max(map(len, CATALOGUE))
    sizes = {key: ' + '.join(file.size for file in entry.files) for key, entry in CATALOGUE.items()}
    lines = [
        f'{key:{width}}  {entry.title} ({sizes[key]}){"" if entry.confirmed else ", unconfirmed"}'
        for key, entry in CATALOGUE.items()
    ]
    tables = [f'{key:{width}}  {table.title} (embeddings)' for key, table in embeddings.TABLES.items()]
    return '\n'.join([*lines, *tables, f'{published.NAME:{width}}  {published.TITLE} (in the package)'])


def _describe(name: str) -> str:
    entry = _find(name)
    files = [f'{file.address} ({file.size}, {file.checksum or "no checksum known"})' for file in entry.files]
    return '\n'.join(
        [
            f'{name}: {entry.title}',
            *(f'  file      {line}' for line in files),
            f'  address   {"as the paper or public code has it" if entry.confirmed else "unconfirmed"}',
            f'  keeps     {entry.kept}',
            f'  cite      {entry.citation}',
            f'  licence   {entry.licence}',
            f'  page      {entry.page}',
            f'  settings  {pprint.pformat(entry.settings, sort_dicts=False)}'.replace('\n', '\n' + ' ' * 12),
        ]
    )


def _find(name: str) -> Entry:
    if name == published.NAME:
        raise InputError(
            f'catalogue: {name} is no screen and comes with the package; perturbjax.datasets.published reads it.'
        )
    if name in embeddings.TABLES:
        raise InputError(
            f'catalogue: {name} is no screen but a table of embeddings; perturbjax.datasets.embeddings gives its path.'
        )
    if str(name) not in CATALOGUE:
        raise InputError(f'catalogue: there is no data set {name!r}; {did_you_mean(str(name), CATALOGUE)}')
    return CATALOGUE[name]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f'{message}; use list [NAME] or fetch NAME.')


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog='python -m perturbjax.datasets.catalogue', description='Lists and fetches public data sets.')
    parser.add_argument('action', choices=('list', 'fetch'))
    parser.add_argument('name', nargs='?', default='', help='a data set')
    parser.add_argument(
        '--cache', default='', help="folder of the files; else PERTURBJAX_CACHE, or the user's own cache"
    )
    parser.add_argument('--mirror', default='', help='address of a cache on a web server')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    try:
        parsed = _parse(arguments)
        if parsed.action == 'list':
            print(listing(parsed.name))
            return 0
        pooch_library().get_logger().setLevel(logging.WARNING)
        if parsed.name in embeddings.TABLES:
            print(embeddings.fetch_embedding(parsed.name, parsed.cache, parsed.mirror))
            return 0
        found = fetch(parsed.name, parsed.cache, parsed.mirror)
        print(f'config.data = {pprint.pformat(found, sort_dicts=False)}')
        return 0
    except (InputError, OSError) as error:
        print(f'perturbjax: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('perturbjax: stopped; fetch again to continue from there.', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
