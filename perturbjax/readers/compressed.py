"""Compressed files: what they are compressed with is told by their first bytes, whatever their name."""

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
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
      InputError: a zip holds another number of files than one, or zstandard is not installed.
      BROKEN: the file is missing or damaged, here or while it is read.
    """
    opener = _opener(path)
    return opener(path) if opener else open(path, 'rb')


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


def _opener(path: str) -> Callable[[str], Any] | None:
    with open(path, 'rb') as file:
        start = file.read(max(map(len, _OPENERS)))
    return next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)


def _zip(path: str) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    members = [each for each in archive.infolist() if not each.is_dir()]
    if len(members) != 1:
        raise InputError(f'{path}: the zip holds {len(members)} files; unpack it and name the one to be read.')
    return archive.open(members[0])


def _zstd(path: str) -> IO[bytes]:
    try:
        zstandard = importlib.import_module('zstandard')
    except ImportError as error:
        raise InputError(f"{path}: files in zstd need zstandard; pip install 'perturbjax[formats]'.") from error
    return io.BufferedReader(_Zstd(zstandard, path))


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
