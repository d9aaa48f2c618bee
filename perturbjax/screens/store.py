"""A prepared compendium on disk: a folder of .npy arrays that are mapped into memory, and what they mean.

    prepared/
      compendium.json      names, scales, and of every array its shape, type and hash
      vocabulary.json
      0/values.npy, ...    the arrays of the first screen, as `Screen` names them

Plain .npy, not zarr or HDF5: numpy maps it, so that a run starts at once and needs only the pages it
touches; whole dense arrays gain nothing from chunks, and hardly anything from compression.
"""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from perturbjax.errors import InputError
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import ARRAYS, Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary

_CONTENTS, _VOCABULARY = 'compendium.json', 'vocabulary.json'
# Raised where an older reader could not understand what is written.
_FORMAT = 1


def write(compendium: Compendium, folder: str | os.PathLike, made_from: Mapping[str, Any] | None = None) -> None:
    """Writes the compendium whole or not at all, in place of one that is there; `made_from` are the data's settings.

    Raises InputError where something else is in the way.
    """
    place = _local(folder)
    if place.exists() and not (place / _CONTENTS).exists():
        raise InputError(f'{place}: something else than a prepared compendium is there; give another folder.')
    beside, old = (place.with_name(f'.{place.name}.{word}') for word in ('writing', 'old'))
    for left in (beside, old):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        _write(compendium, beside, made_from or {})
        if place.exists():
            place.rename(old)
        beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def read(folder: str | os.PathLike) -> Compendium:
    """The compendium in the folder, equal to the bit to the one written; its arrays are mapped, not read.

    Raises InputError where there is none, or one that is not whole or not as it was written.
    """
    place = _local(folder)
    contents = _contents(place)
    try:
        names = Vocabulary.from_json(_checked(place / _VOCABULARY, contents['vocabulary']).read_text())
        screens = [_read_screen(place / str(i), each) for i, each in enumerate(contents['screens'])]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise _refused(place / _CONTENTS, f'it is of another form ({error})') from error
    return Compendium(tuple(screens), names)


def made_from(folder: str | os.PathLike) -> dict[str, Any]:
    """The settings of the data that the compendium in the folder was made from; raises InputError as `read`."""
    return _contents(_local(folder)).get('made_from', {})


def exists(folder: str | os.PathLike) -> bool:
    """Whether a prepared compendium is there, be it whole or not."""
    return (pathlib.Path(folder) / _CONTENTS).exists()


def _local(folder: str | os.PathLike) -> pathlib.Path:
    if '://' in str(folder):
        raise InputError(f'{folder}: a prepared compendium is mapped into memory, so it must lie on a local disk.')
    return pathlib.Path(folder)


def _write(compendium: Compendium, folder: pathlib.Path, made_from: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / _VOCABULARY).write_text(compendium.vocabulary.to_json())
    contents = {
        'format': _FORMAT,
        'made_from': made_from,
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
    return {'name': screen.name, 'scale': screen.scale, 'contexts': screen.contexts, 'arrays': described}


def _read_screen(folder: pathlib.Path, contents: Mapping[str, Any]) -> Screen:
    find_scale(contents['scale'])
    arrays = {name: _map(folder / f'{name}.npy', contents['arrays'].get(name)) for name in ARRAYS}
    return Screen(**arrays, name=contents['name'], scale=contents['scale'], contexts=tuple(contents['contexts']))


def _map(path: pathlib.Path, described: Mapping[str, Any] | None) -> Any:
    if described is None:
        return None
    _checked(path, described)
    # As a plain array: JAX, and who compares types, need not know of np.memmap.
    return np.asarray(np.load(path, mmap_mode='r', allow_pickle=False))


def _describe(path: pathlib.Path) -> dict[str, Any]:
    with path.open('rb') as file:
        return {'bytes': path.stat().st_size, 'sha256': hashlib.file_digest(file, 'sha256').hexdigest()}


def _checked(path: pathlib.Path, described: Mapping[str, Any]) -> pathlib.Path:
    """The path; raises InputError unless the file has the size and the hash that it was written with."""
    if not path.exists():
        raise _refused(path, 'it is not there')
    if path.stat().st_size != described['bytes']:
        raise _refused(path, f'it has {path.stat().st_size} bytes, not {described["bytes"]}')
    if _describe(path) != dict(described):
        raise _refused(path, 'it was altered')
    return path


def _contents(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / _CONTENTS
    if not path.exists():
        raise InputError(f'{folder}: no prepared compendium is there, or not a whole one; make it with --mode=prepare.')
    try:
        saved = json.loads(path.read_text())
        contents, digest = saved['contents'], saved['sha256']
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _refused(path, f'it is damaged ({error})') from error
    if _hash(json.dumps(contents)) != digest:
        raise _refused(path, 'it was altered')
    if contents['format'] != _FORMAT:
        raise _refused(path, f'it is of format {contents["format"]}, not {_FORMAT}')
    return contents


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(path: pathlib.Path, reason: str) -> InputError:
    return InputError(f'{path}: the prepared compendium cannot be used, {reason}; make it again with --mode=prepare.')
