"""From the `data` part of a config to a compendium: files or simulation, rows to profiles, one vocabulary."""

import glob
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ml_collections

from perturbjax.errors import InputError, check_range, check_settings, pick
from perturbjax.readers.gct import read_gct
from perturbjax.readers.gctx import read_gctx
from perturbjax.readers.h5ad import read_h5ad
from perturbjax.readers.matrix import read_pairs
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.harmonisation import harmonise
from perturbjax.readers.naming.presets import with_preset
from perturbjax.readers.perturblib import read_perturblib
from perturbjax.readers.saved import read_saved
from perturbjax.readers.table import read_long, read_wide
from perturbjax.screens import store
from perturbjax.screens.aggregation import average
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.screens.simulation import simulate

READERS: dict[str, Callable[..., Measurements]] = {
    'h5ad': read_h5ad,
    'gct': read_gct,
    'gctx': read_gctx,
    'long': read_long,
    'wide': read_wide,
    'matrix': read_pairs,
    'perturblib': read_perturblib,
}
# Of these a folder is one table, in shards.
_SHARDED = (read_long, read_perturblib)


def load(data: Mapping[str, Any]) -> Compendium:
    """The compendium that a config's `data` describes.

    `data` holds the settings of one source (see `read_profiles`), or `screens`, a mapping of such
    settings; with either, `harmonise` (see `harmonisation.harmonise`; `{}` is off). A source
    `prepared` is the folder that `--mode=prepare` wrote. Raises InputError on anything in it that
    cannot be used.
    """
    if isinstance(data, ml_collections.ConfigDict):
        data = data.to_dict()
    if not isinstance(data, Mapping):
        raise InputError(f'data: {data!r} is no settings; give names and values.')
    data = dict(data)
    harmonised = data.pop('harmonise', {})
    check_settings(harmonise, harmonised, 'data.harmonise', given=('screens', 'files'))
    if data.get('source') == 'prepared':
        check_settings(_read_prepared, data, 'data (prepared)')
        return _read_prepared(**data)
    if 'screens' in data:
        check_settings(lambda screens: screens, data, 'data')
        if not isinstance(data['screens'], Mapping) or not data['screens']:
            raise InputError(f'data.screens: {data["screens"]!r} is no settings; give a name to those of each source.')
    sources = data['screens'].values() if 'screens' in data else [data]
    screens = [screen for source in sources for screen in _one_source(source)]
    profiles = [each for each, _ in screens]
    if harmonised:
        profiles = harmonise(profiles, _h5ad_files(sources), **harmonised)
    return assemble(profiles, [scale for _, scale in screens])


def _read_prepared(source: str, path: str) -> Compendium:
    return store.read(path)


def _h5ad_files(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    """The files of the sources, which may say more of a readout than its name."""
    settings = (with_preset(**source) for source in sources)
    return [file for each in settings if each.get('source') == 'h5ad' for file in find_files(each['path'])]


def _one_source(settings: Mapping[str, Any]) -> list[tuple[Measurements, str]]:
    if not isinstance(settings, Mapping):
        raise InputError(f'data: {settings!r} is no settings; give names and values.')
    settings = with_preset(**settings)
    source = settings.pop('source', '')
    if source == 'simulation':
        check_settings(simulate, settings, 'data (simulation)')
        return [(average(each, counts=True), 'log1p') for each in simulate(**settings).measurements]
    if source == 'catalogue':
        # Imported late: it is a command too, and runs as one only if nothing has imported it before.
        from perturbjax.datasets import catalogue

        return _one_source(catalogue.settings(**settings))
    if source == 'saved':
        check_settings(read_saved_files, settings, 'data (saved)')
        return read_saved_files(**settings)
    if source == 'prepared':
        raise InputError('data.screens: a prepared compendium cannot be one of several; prepare them all together.')
    reader = pick(
        {**READERS, **dict.fromkeys(('simulation', 'saved', 'prepared', 'catalogue'), simulate)},
        str(source),
        'data.source',
    )
    options = {name: settings.pop(name) for name in _options(reader) if name in settings}
    check_settings(reader, options, f'data ({source})', given=('path', 'fields'))
    check_settings(read_profiles, settings, f'data ({source})', given=('reader', 'options'))
    return read_profiles(reader, options, **settings)


def read_saved_files(path: str | Sequence[str]) -> list[tuple[Measurements, str]]:
    """The screens that `interop.screens.write_screens` wrote, and their scales, from every file at `path`."""
    return [read_saved(file) for file in find_files(path)]


def _options(reader: Callable) -> list[str]:
    """The settings that only this reader has."""
    return list(inspect.signature(reader).parameters)[2:]


def read_profiles(
    reader: Callable[..., Measurements],
    options: Mapping[str, Any],
    path: str | Sequence[str],
    scale: str,
    fields: dict[str, Any],
    counts: bool = False,
    target_sum: float = 1e4,
    missing: Sequence[float] = (),
    duplicate_seed: int = 0,
) -> list[tuple[Measurements, str]]:
    """The profiles of every file at `path` and their scale.

    Args:
      reader, options: one of `READERS`, and settings of its own.
      path: a file, a folder, a pattern with `*`, or several of them; each file is a screen.
      scale: what the values are, once averaged: a name in `SCALES`.
      fields: settings of `Fields`.
      counts, target_sum, missing, duplicate_seed: see `profiles.average`.
    """
    find_scale(scale)
    check_range('data', 0.0, target_sum=target_sum)
    check_range('data', 0, duplicate_seed=duplicate_seed)
    check_settings(Fields, fields, 'data.fields')
    wrong = [value for value in missing if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        raise InputError(f'data.missing: {wrong[0]!r} is no number.')
    columns = Fields(**fields)
    screens = []
    for file in find_files(path, folders=reader in _SHARDED):
        rows = reader(file, columns, **options)
        screens.append((average(rows, counts, target_sum, tuple(missing), duplicate_seed), scale))
    return screens


def find_files(path: str | Sequence[str], folders: bool = False) -> list[str]:
    """The files at `path`, in order; a folder stands for the files in it, or for itself if `folders` are read."""
    paths = [path] if isinstance(path, str) else list(path)
    if not all(isinstance(each, str) for each in paths):
        raise InputError(f'data.path: {path!r} is no path, nor a list of them.')
    if not any(paths):
        raise InputError('data.path: no file is named; give it with --config.data.path=FILE.')
    return [file for each in paths for file in _files(each, folders)]


def _files(path: str, folders: bool) -> list[str]:
    found = [path] if os.path.exists(path) else sorted(glob.glob(path))
    if not folders:
        found = [file for each in found for file in (_visible(each) if os.path.isdir(each) else [each])]
    if not found:
        raise InputError(f'{path}: no such file; see data.path.')
    return found


def _visible(folder: str) -> list[str]:
    files = sorted(entry.path for entry in os.scandir(folder) if entry.is_file())
    return [file for file in files if not os.path.basename(file).startswith('.')]
