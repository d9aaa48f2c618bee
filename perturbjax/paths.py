"""Paths as users write them, made absolute once, where they enter; and what may stand for a file."""

import glob
import os
import re
import stat

from perturbjax.errors import InputError


def absolute(path: str | os.PathLike, field: str = 'path') -> str:
    """The path with `~` and `$VAR` filled in, absolute; an address with `://` stays as it is.

    Args:
      path: as the user gave it; one that is there as it is written is not filled in.
      field: the flag or setting that it comes from, for messages.

    Raises:
      InputError: it is empty, or names a user or variable that does not exist.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise InputError(f'{field}: {text!r} must be text, not bytes.')
    if not text.strip():
        raise InputError(f'{field}: the path is empty; name a file or folder.')
    if '\0' in text or '\n' in text:
        raise InputError(f'{field}: {text!r} holds a character that no path may have.')
    if '://' in text:
        return text
    if os.path.lexists(text):
        return os.path.abspath(text)
    filled = os.path.expanduser(os.path.expandvars(text))
    unknown = re.search(r'\$(\w+|\{[^}]*\})', filled) or re.match(r'~[^/]*', filled)
    if unknown:
        raise InputError(f'{field}: {text}: nothing is called {unknown[0]!r} here; set the variable or write it out.')
    return os.path.abspath(filled)


def work_folder(path: str | os.PathLike) -> str:
    """The workdir as an absolute path; raises InputError where nothing can be written under that name."""
    folder = absolute(path, '--workdir')
    if glob.has_magic(folder):
        raise InputError(f'--workdir: {folder}: Orbax cannot save under a name with *, ? or [; give another name.')
    if '://' not in folder and os.path.lexists(folder) and not os.path.isdir(folder):
        raise InputError(f'--workdir: {folder}: it is a file; give the name of a folder.')
    return folder


def refuse_endless(path: str | os.PathLike) -> None:
    """Raises InputError where the path is a pipe, a device or a socket, which may never end."""
    kind = os.stat(path).st_mode if os.path.exists(path) else stat.S_IFREG
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise InputError(f'{os.fspath(path)}: it is a pipe, a device or a socket; give a file.')
