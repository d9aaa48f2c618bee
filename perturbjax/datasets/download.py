"""Public files in the cache: downloaded where they are missing, verified, and whole or not there at all."""

import functools
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from absl import logging

from perturbjax.datasets.transfer import CHUNK, refuse_page, transfer
from perturbjax.datasets.unpacking import take_out
from perturbjax.errors import InputError
from perturbjax.paths import absolute


class File(NamedTuple):
    """A public file.

    Attributes:
      name: its name in the cache, and on a mirror of the cache.
      address: its web address.
      checksum: `md5:...` or `sha256:...`; `''` where none is known.
      size: as text.
      made: the name of the file that is made from it; `''` where it is read as it is.
      make: makes that file; takes the path of the download and of the result.
    """

    name: str
    address: str
    checksum: str = ''
    size: str = 'size unknown'
    made: str = ''
    make: Callable[[pathlib.Path, pathlib.Path], None] = take_out

    @property
    def read(self) -> str:
        """The name of the file that is read."""
        return self.made or self.name


def pooch_library() -> Any:
    """The module pooch; raises InputError where it is not installed."""
    try:
        import pooch
    except ImportError as error:
        raise InputError("downloads need pooch; pip install 'perturbjax[download]'.") from error
    return pooch


def cache_folder(cache: str = '') -> pathlib.Path:
    """The folder of the cache: the one given, or else PERTURBJAX_CACHE, or else the user's own cache."""
    folder = cache or os.environ.get('PERTURBJAX_CACHE', '') or pooch_library().os_cache('perturbjax')
    return pathlib.Path(absolute(folder, 'cache'))


def obtain_all(files: Sequence[File], folder: str, cache: str = '', mirror: str = '') -> list[pathlib.Path]:
    """The paths of the verified files of a folder of the cache; those that are not there are downloaded.

    Args:
      files: what to get.
      folder: its name in the cache, and on a mirror of the cache.
      cache: see `cache_folder`.
      mirror: the address of a cache on a web server, in place of the files' own addresses.

    Raises:
      InputError: the mirror is no address, or a file cannot be had; see `obtain`.
    """
    if mirror and not mirror.startswith(('http://', 'https://')):
        raise InputError(
            f'--mirror: {mirror!r} is not an address, which begins with https://; give a folder as --cache.'
        )
    own = cache_folder(cache) / folder
    return [obtain(file, own, f'{mirror.rstrip("/")}/{folder}/{file.name}' if mirror else '') for file in files]


def check_fetched(path: pathlib.Path, name: str, cache: str = '') -> None:
    """Raises InputError, with the command that fetches what is called so, where the path is not there."""
    if not path.exists():
        command = f'python -m perturbjax.datasets.catalogue fetch {name}' + (f' --cache={cache}' if cache else '')
        raise InputError(f'{path}: is not there; fetch it by {command}.')


def obtain(file: File, folder: pathlib.Path, address: str = '') -> pathlib.Path:
    """The path of the verified file in the folder; it is downloaded if it is not there.

    Where the catalogue has no checksum, that of the first download is written beside the file, in
    NAME.sha256 as `sha256sum` writes it, and compared from then on.

    Args:
      file: what to get.
      folder: where to.
      address: where from, in place of the file's own address.

    Raises:
      InputError: the file cannot be downloaded, or is another file. What has been downloaded is kept as
        NAME.part, and the next call continues from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, result = folder / file.name, folder / file.read
    if file.made and _recorded(result) and _matches(result, _recorded(result)):
        return result
    _retrieve(address or file.address, source, file.checksum)
    if file.made:
        _make(file, source, result)
    if not file.checksum and not _recorded(source):
        _record(source)
    return result


def _retrieve(address: str, path: pathlib.Path, checksum: str) -> None:
    known = checksum or _recorded(path)
    if path.exists():  # it may have been saved there by hand
        with open(path, 'rb') as file:
            refuse_page(file.read(CHUNK), address, path)
        if not known or _matches(path, known):
            return
        logging.warning('%s: does not have the checksum %s, so it is downloaded again.', path, known)
    downloader = functools.partial(transfer, path=path)
    try:
        pooch_library().retrieve(address, known or None, path.name, path.parent, downloader=downloader)
    except InputError:
        raise
    except ValueError as error:  # pooch raises it where the checksum differs
        hint = 'fetch it again or from a mirror' if checksum else f'delete {_record_path(path)} if a change is expected'
        raise InputError(f'{address}: the downloaded file does not have the checksum {known}; {hint}.') from error


def _make(file: File, source: pathlib.Path, result: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory(dir=result.parent, prefix='.making-') as folder:
        made = pathlib.Path(folder) / result.name
        file.make(source, made)
        made.replace(result)
    _record(result)


def _matches(path: pathlib.Path, checksum: str) -> bool:
    kind, _, digest = checksum.partition(':')
    return path.exists() and pooch_library().file_hash(str(path), alg=kind) == digest


def _record_path(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + '.sha256')


def _record(path: pathlib.Path) -> None:
    _record_path(path).write_text(f'{pooch_library().file_hash(str(path))}  {path.name}\n')


def _recorded(path: pathlib.Path) -> str:
    """The recorded checksum `sha256:...`, or `''` where there is none."""
    record = _record_path(path)
    words = record.read_text().split() if record.exists() else []
    return f'sha256:{words[0]}' if words else ''
