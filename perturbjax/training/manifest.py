"""The manifest of a checkpoint: size and sha256 of its files, written last, so that what is damaged is told.

A checkpoint without a manifest was not finished. Those of perturbjax before it wrote manifests have none
either: they do not say that they are sealed, and are read as they are.
"""

import json
from typing import Any

from etils import epath

from perturbjax.errors import InputError
from perturbjax.workdir import sha256

NAME = 'manifest.json'
SEALED = 'sealed'  # What the vocabulary of a checkpoint says, so that a lost manifest is told from an old checkpoint.

# Whether contents are compared, or sizes alone; main sets it.
compares_contents = True


def write(folder: epath.Path) -> None:
    """Writes the manifest of all files in the folder; the folder counts as whole only afterwards."""
    described = {name: _describe(path) for name, path in _files(folder).items()}
    (folder / NAME).write_text(json.dumps(described, indent=1))


def fault(folder: epath.Path) -> str | None:
    """What is wrong with the files of a checkpoint, as a clause for a message; None where all is well."""
    try:
        if not (folder / NAME).exists():
            return None if _is_of_before(folder) else f'{NAME} is missing'
        described = json.loads((folder / NAME).read_text())
        if not described:
            return f'{NAME} names no files'
        return next(
            (f'{name} {wrong}' for name, each in described.items() if (wrong := _wrong(folder / name, each))), None
        )
    except (ValueError, AttributeError, TypeError, KeyError):
        return f'{NAME} cannot be read'
    except FileNotFoundError as error:
        return f'{epath.Path(str(error.filename)).name} is missing'
    except OSError as error:
        raise InputError(f'{folder}: the checkpoint cannot be read ({error.strerror or error}).') from error


def _wrong(path: epath.Path, described: dict[str, Any]) -> str | None:
    size = path.stat().length
    if size != described['bytes']:
        return f'has {size} bytes and not {described["bytes"]}'
    if compares_contents and sha256(path) != described['sha256']:
        return 'was changed'
    return None


def _is_of_before(folder: epath.Path) -> bool:
    """Whether perturbjax wrote the checkpoint before it wrote manifests."""
    return SEALED not in json.loads((folder / 'vocabulary' / 'metadata').read_text())


def _files(folder: epath.Path, prefix: str = '') -> dict[str, epath.Path]:
    """The files below a folder by their names relative to it."""
    found: dict[str, epath.Path] = {}
    for path in sorted(folder.iterdir()):
        found |= _files(path, f'{prefix}{path.name}/') if path.is_dir() else {prefix + path.name: path}
    return found


def _describe(path: epath.Path) -> dict[str, Any]:
    return {'bytes': path.stat().length, 'sha256': sha256(path)}
