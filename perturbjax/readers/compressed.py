"""Compressed files: what they are compressed with is told by their first bytes, whatever their name.

What is unpacked may be 256 MiB whatever the size of the packed file, and above that 200 times as large. Real screens
stay below: a dense table of counts in which 95% are 0 becomes 25 to 46 times as large, and with 99% 89 to 163 times.
"""

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from perturbjax.errors import InputError

# What a compressed name ends in, after the ending that says the format.
ENDINGS = ('.gz', '.bz2', '.xz', '.zst', '.zip')
# Errors of the libraries on a file that is cut short or damaged; zstandard's own is turned into an OSError.
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
# So many bytes may be unpacked of any file, and of a larger one so many times its size.
ALWAYS, TIMES = 2**28, 200


def plain_name(path: str) -> str:
    """The path in lower case without the ending of a compressed file: `A.csv.gz` gives `a.csv`."""
    lower = str(path).lower()
    return next((lower.removesuffix(end) for end in ENDINGS if lower.endswith(end)), lower)


def is_compressed(path: str) -> bool:
    """Whether the file begins as a compressed one does."""
    return _opener(path) is not None


def open_binary(path: str) -> IO[bytes]:
    """The content of the file as bytes, unpacked where it is compressed.

    Raises:
      InputError: a zip holds another number of files than one or is encrypted, or zstandard is not installed; while
        it is read, too much comes out of it.
      BROKEN: the file is missing or damaged, here or while it is read.
    """
    opener = _opener(path)
    return io.BufferedReader(_Bounded(opener(path), path), 2**17) if opener else open(path, 'rb')


def open_text(path: str) -> io.TextIOWrapper:
    """The content as text in UTF-8, without a byte order mark; raises as `open_binary` does.

    Bytes of another encoding become replacement characters.
    """
    return io.TextIOWrapper(open_binary(path), encoding='utf-8-sig', errors='replace')


@contextlib.contextmanager
def unpacked(path: str) -> Iterator[str]:
    """The path, or that of an unpacked copy, which is there as long as the context is.

    Raises InputError as `open_binary` does, and where the file is damaged.
    """
    if not is_compressed(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / 'unpacked'
        try:
            with open_binary(path) as packed, copy.open('wb') as file:
                shutil.copyfileobj(packed, file, 2**20)
        except BROKEN as error:
            raise InputError(f'{path}: it cannot be unpacked, because it is damaged or cut short ({error}).') from error
        yield str(copy)


def check_zip(path: str) -> None:
    """Raises InputError where the members of a zip, such as .xlsx, would together be too large unpacked."""
    with zipfile.ZipFile(path) as archive:
        if sum(each.file_size for each in archive.infolist()) > _most(path):
            raise _too_much(path)


def _most(path: str) -> int:
    return max(ALWAYS, TIMES * os.path.getsize(path))


def _too_much(path: str) -> InputError:
    return InputError(
        f'{path}: a file of {os.path.getsize(path)} bytes unpacks to more than {_most(path)}; it is damaged or made '
        'to fill the memory, and if it is meant so, unpack it yourself.'
    )


def _opener(path: str) -> Callable[[str], Any] | None:
    with open(path, 'rb') as file:
        start = file.read(max(map(len, _OPENERS)))
    return next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)


def _zip(path: str) -> IO[bytes]:
    with zipfile.ZipFile(path) as archive:  # the file stays open until the member is closed
        members = [each for each in archive.infolist() if not each.is_dir()]
        if len(members) != 1:
            raise InputError(f'{path}: the zip holds {len(members)} files; unpack it and name the one to be read.')
        try:
            return archive.open(members[0])
        except (RuntimeError, NotImplementedError) as error:  # it is encrypted, or of a kind that zipfile lacks
            raise InputError(f'{path}: the zip cannot be read ({error}); unpack it yourself.') from error


def _zstd(path: str) -> Any:
    try:
        zstandard = importlib.import_module('zstandard')
    except ImportError as error:
        raise InputError(f"{path}: files in zstd need zstandard; pip install 'perturbjax[formats]'.") from error
    return _Zstd(zstandard, path)


class _Bounded(io.RawIOBase):
    """A file that is unpacked as it is read; raises InputError once too much came out of it."""

    def __init__(self, file: Any, path: str):
        self._file, self._path = file, path
        self._left = _most(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._file.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise _too_much(self._path)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Zstd(io.RawIOBase):
    """A file in zstd, whose errors are OSErrors as those of other compressions are."""

    def __init__(self, library: Any, path: str):
        self._file, self._error = library.open(path, 'rb'), library.ZstdError

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except self._error as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


# By the first bytes of a file, what opens it.
_OPENERS: dict[bytes, Callable[[str], Any]] = {
    b'\x1f\x8b': gzip.open,
    b'BZh': bz2.open,
    b'\xfd7zXZ\x00': lzma.open,
    b'(\xb5/\xfd': _zstd,
    b'PK\x03\x04': _zip,
}
