"""Public data sets: where they are, how to read them, and a command that fetches them.

    python -m perturbjax.datasets.catalogue list [NAME]
    python -m perturbjax.datasets.catalogue fetch NAME [--cache=FOLDER] [--mirror=ADDRESS]

The files go to the cache: `--cache`, or PERTURBJAX_CACHE, or the user's own. What is there is
verified and not downloaded again, so a filled cache serves without a network, and one that a web
server offers is a mirror. `settings` then gives the `data` part of an experiment's config.
"""

import argparse
import copy
import logging
import os
import pathlib
import pprint
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from perturbjax.datasets.download import obtain, pooch_library
from perturbjax.datasets.public_data import CATALOGUE, Entry
from perturbjax.errors import InputError, did_you_mean

_FILES = ('path', 'siginfo', 'geneinfo')


def settings(name: str = '', cache: str = '', **changes: Any) -> dict[str, Any]:
    """The `data` part of a config for a data set that was fetched: `config.data = settings('norman')`.

    `changes` replace settings, and within `fields` each by itself: `fields={'where': {...}}` keeps
    something else of the rows. Raises InputError where there is no such data set, or it is not in
    the cache.
    """
    entry = _find(name)
    folder = _cache(cache) / entry.folder
    for file in entry.files:
        if not (folder / file.read).exists():
            command = f'python -m perturbjax.datasets.catalogue fetch {name}' + (f' --cache={cache}' if cache else '')
            raise InputError(f'{folder / file.read}: is not there; fetch it by {command}.')
    known = copy.deepcopy(entry.settings)
    known |= {key: str(folder / known[key]) for key in _FILES if key in known}
    return known | changes | {'fields': known['fields'] | dict(changes.get('fields', {}))}


def fetch(name: str, cache: str = '', mirror: str = '') -> dict[str, Any]:
    """Downloads and verifies what of a data set is not in the cache, and gives its settings.

    Args:
      name: of the data set.
      cache: the folder; `''` for PERTURBJAX_CACHE, or else the user's own.
      mirror: the address of a cache that a web server offers, to download from instead.

    Raises InputError where a file cannot be had whole and right; what came is kept to go on from.
    """
    entry = _find(name)
    if mirror and not mirror.startswith(('http://', 'https://')):
        raise InputError(f'--mirror: {mirror!r} is no address, which begins with https://; a folder is a --cache.')
    for file in entry.files:
        address = f'{mirror.rstrip("/")}/{entry.folder}/{file.name}' if mirror else file.address
        obtain(file, _cache(cache) / entry.folder, address)
    return settings(name, cache)


def listing(name: str = '') -> str:
    """The data sets, a line each, or all that is known of one."""
    if name:
        return _describe(name)
    width = max(map(len, CATALOGUE))
    sizes = {key: ' + '.join(file.size for file in entry.files) for key, entry in CATALOGUE.items()}
    lines = [
        f'{key:{width}}  {entry.title} ({sizes[key]}){"" if entry.confirmed else ", unconfirmed"}'
        for key, entry in CATALOGUE.items()
    ]
    return '\n'.join(lines)


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
    if name not in CATALOGUE:
        raise InputError(f'catalogue: there is no data set {name!r}; {did_you_mean(name, CATALOGUE)}')
    return CATALOGUE[name]


def _cache(cache: str) -> pathlib.Path:
    folder = cache or os.environ.get('PERTURBJAX_CACHE', '') or pooch_library().os_cache('perturbjax')
    return pathlib.Path(folder).expanduser().absolute()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f'{message}; say list [NAME] or fetch NAME.')


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog='python -m perturbjax.datasets.catalogue', description='Lists and fetches public data sets.')
    parser.add_argument('action', choices=('list', 'fetch'))
    parser.add_argument('name', nargs='?', default='', help='a data set')
    parser.add_argument('--cache', default='', help="the folder of the files; else PERTURBJAX_CACHE, or the user's own")
    parser.add_argument('--mirror', default='', help='the address of a cache that a web server offers')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    try:
        parsed = _parse(arguments)
        if parsed.action == 'list':
            print(listing(parsed.name))
            return 0
        pooch_library().get_logger().setLevel(logging.WARNING)
        found = fetch(parsed.name, parsed.cache, parsed.mirror)
        print(f'config.data = {pprint.pformat(found, sort_dicts=False)}')
        return 0
    except (InputError, OSError) as error:
        print(f'perturbjax: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('perturbjax: stopped; fetch again to go on from there.', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
