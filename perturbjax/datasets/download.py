"""Downloads of public files: they go on where they broke off, are verified, and are whole or not there."""

import functools
import itertools
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import tqdm
from absl import logging

from perturbjax.datasets.unpacking import take_out
from perturbjax.errors import InputError

_CHUNK = 2**16  # of which the last is lost when a download breaks off
_ATTEMPTS = 4  # in a row that bring nothing
_WAIT = 1.0  # seconds before the second, twice that before the third, and so on
_TIMEOUT = 60.0
# Some repositories turn away what does not look like a browser; a compressed transfer cannot be resumed.
_HEADERS = {'User-Agent': 'Mozilla/5.0 (compatible; perturbjax)', 'Accept-Encoding': 'identity'}
_WANTS_A_BROWSER = (202, 401, 403)


class File(NamedTuple):
    """A public file.

    Attributes:
      name: in the cache, and on a mirror of it.
      address: where it is.
      checksum: `md5:...` or `sha256:...`; `''` where none is known.
      size: for people to read.
      made: the file that is made of it, where it is not read as it is.
      make: makes it, from the first path to the second.
    """

    name: str
    address: str
    checksum: str = ''
    size: str = 'size unknown'
    made: str = ''
    make: Callable[[pathlib.Path, pathlib.Path], None] = take_out

    @property
    def read(self) -> str:
        """The name of the file that a reader reads."""
        return self.made or self.name


def pooch_library() -> Any:
    """The module pooch; raises InputError where it is not installed."""
    try:
        import pooch
    except ImportError as error:
        raise InputError("downloads need pooch; pip install 'perturbjax[download]'.") from error
    return pooch


def obtain(file: File, folder: pathlib.Path, address: str = '') -> pathlib.Path:
    """The verified file in the folder, downloaded (from `address` instead of its own, if given) where it is not there.

    What has no checksum in the catalogue is recorded when it first comes, as `sha256sum` writes
    it, in NAME.sha256 beside it, and is compared with that from then on.

    Raises InputError where it cannot be had or is another file; what came so far is kept as
    NAME.part, and the next call goes on from there.
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
    if path.exists():  # perhaps saved there by hand
        with open(path, 'rb') as file:
            _refuse_page(file.read(_CHUNK), address, path)
        if not known or _matches(path, known):
            return
        logging.warning('%s: has not the checksum %s, so it is downloaded again.', path, known)
    downloader = functools.partial(_download, path=path)
    try:
        pooch_library().retrieve(address, known or None, path.name, path.parent, downloader=downloader)
    except InputError:
        raise
    except ValueError as error:  # so pooch says that the checksum is another
        mend = 'fetch it again or from a mirror' if checksum else f'delete {_record_path(path)} if it was to change'
        raise InputError(f'{address}: what came is not the file that has the checksum {known}; {mend}.') from error


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
    """`sha256:...`, or `''` where nothing is recorded."""
    record = _record_path(path)
    words = record.read_text().split() if record.exists() else []
    return f'sha256:{words[0]}' if words else ''


def _download(address: str, output: str, _: Any, path: pathlib.Path) -> None:
    """The downloader that pooch calls: the whole file to `output`, by way of `path`.part, which outlives a failure."""
    import requests

    part = path.with_name(path.name + '.part')
    most, failures, whole = _size(part), 0, False
    while not whole:
        try:
            whole, reason = _bring(address, part, path), 'it ended too early'
        except (requests.RequestException, ConnectionError) as error:
            reason = type(error).__name__
        failures = 0 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if not whole and failures == _ATTEMPTS:
            raise InputError(f'{address}: the download broke off ({reason}); fetch it again to go on from there.')
        time.sleep(0 if whole else _WAIT * failures)
    os.replace(part, output)


def _bring(address: str, part: pathlib.Path, path: pathlib.Path) -> bool:
    """Asks for what `part` lacks and adds it; whether that was all."""
    import requests

    have = _size(part)
    headers = _HEADERS | ({'Range': f'bytes={have}-'} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        _refuse_status(answer.status_code, address, path)
        start, total = _extent(answer)
        if start in (0, have):
            _write(answer, part, path, start, total)
        elif total != have:
            part.unlink(missing_ok=True)  # it is no beginning of what is there now
    return answer.status_code == 200 if total is None else _size(part) == total


def _extent(answer: Any) -> tuple[int, int | None]:
    """Where in the file the answer begins, -1 for nowhere, and how long the file is."""
    if answer.status_code == 200:
        length = answer.headers.get('Content-Length')
        return 0, int(length) if length else None
    told = re.fullmatch(r'bytes (?:(\d+)-\d+|\*)/(\d+)', answer.headers.get('Content-Range', ''))
    return (int(told[1] or -1), int(told[2])) if told else (-1, None)


def _write(answer: Any, part: pathlib.Path, path: pathlib.Path, start: int, total: int | None) -> None:
    chunks = answer.iter_content(_CHUNK)
    first = next(chunks, b'')
    if not start:
        _refuse_page(first, answer.url, path)
    needed, free = (total or 0) - start, shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(f'{path.parent}: {needed} bytes are to come and {free} are free; give another --cache.')
    bar = tqdm.tqdm(total=total, initial=start, unit='B', unit_scale=True, desc=path.name, disable=None)
    with open(part, 'ab' if start else 'wb') as file, bar:
        for chunk in itertools.chain([first], chunks):
            file.write(chunk)
            bar.update(len(chunk))


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refuse_status(status: int, address: str, path: pathlib.Path) -> None:
    if status in _WANTS_A_BROWSER:
        raise InputError(_by_hand(address, path))
    if status == 429 or status >= 500:
        raise ConnectionError(f'the server answers {status}')
    if status not in (200, 206, 416):
        raise InputError(
            f'{address}: the server answers {status}, so it has moved; give a mirror, or save it as {path}.'
        )


def _refuse_page(first: bytes, address: str, path: pathlib.Path) -> None:
    """Raises where a file begins as HTML, XML and JSON do, or is empty: none of the data does."""
    if first.lstrip()[:1] in (b'', b'<', b'{'):
        raise InputError(_by_hand(address, path))


def _by_hand(address: str, path: pathlib.Path) -> str:
    return f'{address}: a page comes instead of the data; save it from a browser as {path} and fetch again.'
