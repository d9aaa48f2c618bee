"""A prepared compendium on disk: a folder of .npy arrays that are mapped into memory.

    prepared/
      compendium.json      names, scales, and the size and hash of every array
      vocabulary.json
      0/values.npy, ...    the arrays of the first screen, as `Screen` names them

The arrays are plain .npy, not zarr or HDF5, because numpy can map them: a run starts at once and loads
only the pages it uses. Dense arrays that are read whole gain nothing from chunks and little from compression.
"""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perturbjax.errors import InputError
from perturbjax.paths import absolute
from perturbjax.renames import with_new_names
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import ARRAYS, Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary

_CONTENTS, _VOCABULARY = 'compendium.json', 'vocabulary.json'
# Layout version; increase it when older code can no longer read what is written.
_FORMAT = 1


def write(
    compendium: Compendium,
    folder: str | os.PathLike,
    made_from: Mapping[str, Any] | None = None,
    told: Sequence[str] = (),
) -> None:
    """Writes the compendium, whole or not at all; it replaces a prepared compendium that is already there.

    Args:
      compendium: what to write.
      folder: where, on a local disk.
      made_from: the settings of the data, as `made_from` gives them back.
      told: what reading the data told the user, as `told` gives it back.

    Raises:
      InputError: the folder exists and is something else, or is not on a local disk.
    """
    target = _local(folder)
    if target.exists() and not (target / _CONTENTS).exists():
        raise InputError(f'{target}: something else than a prepared compendium is there; give another folder.')
    writing, old = (target.with_name(f'.{target.name}.{word}') for word in ('writing', 'old'))
    for left in (writing, old):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        _write(compendium, writing, {'made_from': made_from or {}, 'told': [*told]})
        if target.exists():
            target.rename(old)
        writing.rename(target)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def read(folder: str | os.PathLike) -> Compendium:
    """The compendium in the folder, equal to the bit to the one written; its arrays are mapped, not loaded.

    Raises InputError where there is none, where a file is missing, or where one was changed.
    """
    source = _local(folder)
    contents = _contents(source)
    try:
        names = Vocabulary.from_json(_checked(source / _VOCABULARY, contents['vocabulary']).read_text())
        screens = [_read_screen(source / str(i), each) for i, each in enumerate(contents['screens'])]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise _refused(source / _CONTENTS, f'it has another form ({error})') from error
    return Compendium(tuple(screens), names)


def made_from(folder: str | os.PathLike) -> dict[str, Any]:
    """The settings of the data that the compendium was made from, under the names that they have now.

    Raises InputError as `read` does.
    """
    return with_new_names(_contents(_local(folder)).get('made_from', {}), 'data', quiet=True)


def told(folder: str | os.PathLike) -> list[str]:
    """What reading the data told the user when the compendium was prepared.

    Raises InputError as `read` does.
    """
    return list(_contents(_local(folder)).get('told', []))


def exists(folder: str | os.PathLike) -> bool:
    """Whether a prepared compendium is in the folder; it may still be damaged."""
    return (pathlib.Path(folder) / _CONTENTS).exists()


def _local(folder: str | os.PathLike) -> pathlib.Path:
    if '://' in str(folder):
        raise InputError(f'{folder}: a prepared compendium is mapped into memory, so it must be on a local disk.')
    return pathlib.Path(absolute(folder))


def _write(compendium: Compendium, folder: pathlib.Path, about: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / _VOCABULARY).write_text(compendium.vocabulary.to_json())
    contents = {
        'format': _FORMAT,
        **about,
        'vocabulary': _describe(folder / _VOCABULARY),
        'screens': [_write_screen(screen, folder / str(i)) for i, screen in enumerate(compendium.screens)],
    }
    text = json.dumps(contents)
    (folder / _CONTENTS).write_text(json.dumps({'contents': json.loads(text), 'sha256': _hash(text)}, indent=1))


def _write_screen(screen: Screen, folder: pathlib.Path) -> dict[str, Any]:
    folder.mkdir()
    arrays = {name: getattr(screen, name) for name in ARRAYS if getattr(screen, name) is not None}
    for name, array in arrays.items():
        np.save(folder / f'{name}.npy', np.ascontiguousarray(array), allow_pickle=False)
    described = {name: _describe(folder / f'{name}.npy') for name in arrays}
    return {'name': screen.name, 'scale': screen.scale, 'contexts': screen.present_contexts, 'arrays': described}


def _read_screen(folder: pathlib.Path, contents: Mapping[str, Any]) -> Screen:
    find_scale(contents['scale'])
    arrays = {name: _map(folder / f'{name}.npy', contents['arrays'].get(name)) for name in ARRAYS}
    present = tuple(contents['contexts'])
    return Screen(**arrays, name=contents['name'], scale=contents['scale'], present_contexts=present)


def _map(path: pathlib.Path, described: Mapping[str, Any] | None) -> Any:
    if described is None:
        return None
    _checked(path, described)
    # A plain array, because JAX and code that compares types do not expect np.memmap.
    return np.asarray(np.load(path, mmap_mode='r', allow_pickle=False))


def _describe(path: pathlib.Path) -> dict[str, Any]:
    with path.open('rb') as file:
        return {'bytes': path.stat().st_size, 'sha256': hashlib.file_digest(file, 'sha256').hexdigest()}


def _checked(path: pathlib.Path, described: Mapping[str, Any]) -> pathlib.Path:
    """The path, once it is sure that the file has the size and hash it was written with; else raises InputError."""
    if not path.exists():
        raise _refused(path, 'it is missing')
    if path.stat().st_size != described['bytes']:
        raise _refused(path, f'it has {path.stat().st_size} bytes, not {described["bytes"]}')
    if _describe(path) != dict(described):
        raise _refused(path, 'it was changed')
    return path


def _contents(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / _CONTENTS
    if not path.exists():
        raise InputError(f'{folder}: there is no complete prepared compendium here; make it with --mode=prepare.')
    try:
        saved = json.loads(path.read_text())
        contents, digest = saved['contents'], saved['sha256']
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _refused(path, f'it is damaged ({error})') from error
    if _hash(json.dumps(contents)) != digest:
        raise _refused(path, 'it was changed')
    if contents['format'] != _FORMAT:
        raise _refused(path, f'it has format {contents["format"]}, not {_FORMAT}')
    return contents


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(path: pathlib.Path, reason: str) -> InputError:
    return InputError(
        f'{path}: the prepared compendium cannot be used, because {reason}; make it again with --mode=prepare.'
    )
