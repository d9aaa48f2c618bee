"""The transfer of one file over the network, which continues where an earlier one broke off."""

import itertools
import os
import pathlib
import re
import shutil
import time
from typing import Any

import tqdm

from perturbjax.errors import InputError

CHUNK = 2**16  # bytes; the last chunk is lost when a download breaks off
_ATTEMPTS = 4  # in a row without any new bytes, before it gives up
_WAIT = 1.0  # seconds before the second attempt, twice that before the third, and so on
_TIMEOUT = 60.0
# Some repositories refuse clients that do not look like a browser; a compressed transfer cannot be resumed.
_HEADERS = {'User-Agent': 'Mozilla/5.0 (compatible; perturbjax)', 'Accept-Encoding': 'identity'}
_WANTS_A_BROWSER = (202, 401, 403)


def transfer(address: str, output: str, _: Any, path: pathlib.Path) -> None:
    """The downloader that pooch calls: downloads to `path`.part, which is kept after a failure, then moves it."""
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
            raise InputError(f'{address}: the download broke off ({reason}); fetch it again to continue from there.')
        time.sleep(0 if whole else _WAIT * failures)
    os.replace(part, output)


def _bring(address: str, part: pathlib.Path, path: pathlib.Path) -> bool:
    """Requests the bytes that `part` lacks and appends them; returns whether the file is complete."""
    import requests

    have = _size(part)
    headers = _HEADERS | ({'Range': f'bytes={have}-'} if have else {})
    with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        _refuse_status(answer.status_code, address, path)
        start, total = _extent(answer)
        if start in (0, have):
            _write(answer, part, path, start, total)
        elif total != have:
            part.unlink(missing_ok=True)  # it is not the beginning of the file that the server has now
    return answer.status_code == 200 if total is None else _size(part) == total


def _extent(answer: Any) -> tuple[int, int | None]:
    """Where in the file the answer begins (-1 where it is not known), and the length of the file."""
    if answer.status_code == 200:
        length = answer.headers.get('Content-Length')
        return 0, int(length) if length else None
    told = re.fullmatch(r'bytes (?:(\d+)-\d+|\*)/(\d+)', answer.headers.get('Content-Range', ''))
    return (int(told[1] or -1), int(told[2])) if told else (-1, None)


def _write(answer: Any, part: pathlib.Path, path: pathlib.Path, start: int, total: int | None) -> None:
    chunks = answer.iter_content(CHUNK)
    first = next(chunks, b'')
    if not start:
        refuse_page(first, answer.url, path)
    needed, free = (total or 0) - start, shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(f'{path.parent}: {needed} bytes are needed and {free} are free; give another --cache.')
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
            f'{address}: the server answers {status}, so the file may have moved; give a mirror, or save it as {path}.'
        )


def refuse_page(first: bytes, address: str, path: pathlib.Path) -> None:
    """Raises InputError where a file is empty or begins like HTML, XML or JSON, which none of the data sets does."""
    if first.lstrip()[:1] in (b'', b'<', b'{'):
        raise InputError(_by_hand(address, path))


def _by_hand(address: str, path: pathlib.Path) -> str:
    return f'{address}: a web page came instead of the data; save the file from a browser as {path} and fetch again.'
