"""From the `data` part of a config to a compendium: files or simulation, rows to profiles, one vocabulary."""

import glob
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perturbjax.errors import InputError, check_range, check_settings, did_you_mean, pick
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.profiles import average
from perturbjax.screens.readers.fields import Fields
from perturbjax.screens.readers.gct import read_gct
from perturbjax.screens.readers.gctx import read_gctx
from perturbjax.screens.readers.h5ad import read_h5ad
from perturbjax.screens.readers.presets import PRESETS
from perturbjax.screens.readers.table import read_long, read_wide
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.screens.simulation import simulate

READERS: dict[str, Callable[..., Measurements]] = {
    'h5ad': read_h5ad,
    'gct': read_gct,
    'gctx': read_gctx,
    'long': read_long,
    'wide': read_wide,
}


def load(data: Mapping[str, Any]) -> Compendium:
    """The compendium that a config's `data` describes.

    `data` holds the settings of one source (see `read_profiles`), or `screens`, a mapping of such
    settings. Raises InputError on anything in it that cannot be used.
    """
    if 'screens' in data:
        check_settings(lambda screens: screens, data, 'data')
    sources = data['screens'].values() if 'screens' in data else [data]
    screens = [screen for source in sources for screen in _one_source(source)]
    return assemble([profiles for profiles, _ in screens], [scale for _, scale in screens])


def _one_source(settings: Mapping[str, Any]) -> list[tuple[Measurements, str]]:
    settings = dict(settings)
    source = settings.pop('source', '')
    if source == 'simulation':
        check_settings(simulate, settings, 'data (simulation)')
        return [(average(each, counts=True), 'log1p') for each in simulate(**settings).measurements]
    reader = pick({**READERS, 'simulation': simulate}, source, 'data.source')
    settings = with_preset(**settings)
    options = {name: settings.pop(name) for name in _options(reader) if name in settings}
    check_settings(read_profiles, settings, f'data ({source})', given=('reader', 'options'))
    return read_profiles(reader, options, **settings)


def with_preset(preset: str = '', **settings: Any) -> dict[str, Any]:
    """The settings over those of the preset, where one is named."""
    if not preset:
        return settings
    if preset not in PRESETS:
        raise InputError(f'data.preset: no such preset {preset!r}; {did_you_mean(preset, PRESETS)}')
    known = PRESETS[preset]
    return known | settings | {'fields': known['fields'] | dict(settings.get('fields', {}))}


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
    columns = Fields(**fields)
    screens = []
    for file in find_files(path, folders=reader is read_long):
        rows = reader(file, columns, **options)
        screens.append((average(rows, counts, target_sum, tuple(missing), duplicate_seed), scale))
    return screens


def find_files(path: str | Sequence[str], folders: bool = False) -> list[str]:
    """The files at `path`, in order; a folder stands for the files in it, or for itself if `folders` are read."""
    paths = [path] if isinstance(path, str) else list(path)
    if not any(paths):
        raise InputError('data.path: no file is named; give it with --config.data.path=FILE.')
    return [file for each in paths for file in _files(each, folders)]


def _files(path: str, folders: bool) -> list[str]:
    found = sorted(glob.glob(path)) if glob.has_magic(path) else [path] * os.path.exists(path)
    if not folders:
        found = [file for each in found for file in (_visible(each) if os.path.isdir(each) else [each])]
    if not found:
        raise InputError(f'{path}: no such file; see data.path.')
    return found


def _visible(folder: str) -> list[str]:
    files = sorted(entry.path for entry in os.scandir(folder) if entry.is_file())
    return [file for file in files if not os.path.basename(file).startswith('.')]
