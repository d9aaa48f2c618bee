"""The sources of a config's `data`: each is resolved once, into how to read it and which files may name its genes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from perturbjax.errors import InputError, check_positive, check_range, check_settings, pick
from perturbjax.readers.declared import log2_of, with_control
from perturbjax.readers.files import find_files
from perturbjax.readers.gct import read_gct
from perturbjax.readers.gctx import read_gctx
from perturbjax.readers.h5ad import read_h5ad_screen
from perturbjax.readers.long import read_long
from perturbjax.readers.matrix import read_pair_matrix
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.presets import with_preset
from perturbjax.readers.perturblib import read_perturblib
from perturbjax.readers.response import fields_of_rows, one_row_per_value
from perturbjax.readers.saved import read_saved
from perturbjax.readers.wide import read_wide
from perturbjax.screens.aggregation import average
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.scales import find_scale
from perturbjax.screens.simulation import simulate

# Each takes a path, `Fields`, and settings of its own.
READERS: dict[str, Callable[..., Measurements]] = {
    'h5ad': read_h5ad_screen,
    'zarr': read_h5ad_screen,
    'h5mu': read_h5ad_screen,
    'gct': read_gct,
    'gctx': read_gctx,
    'long': read_long,
    'wide': read_wide,
    'matrix': read_pair_matrix,
    'perturblib': read_perturblib,
}
# These readers take a folder as one table in several shards.
SHARDED_READERS = (read_long, read_perturblib)

Screens = list[tuple[Measurements, str]]


class Source(NamedTuple):
    """Screens that can be read: the settings are checked and the files are found, but no value is read yet.

    Attributes:
      read: reads the screens; gives the profiles of each and their scale.
      gene_files: the h5ad files among them, which may give both the symbol and the Ensembl id of a gene.
      merge_alike: names that look alike are one, also where they stand in different files.
    """

    read: Callable[[], Screens]
    gene_files: tuple[str, ...] = ()
    merge_alike: bool = False


def resolve(settings: Mapping[str, Any]) -> Source:
    """The source that these settings describe, with its preset or its entry in the catalogue filled in.

    Raises InputError on a setting that cannot be used, or a file that is not there.
    """
    if not isinstance(settings, Mapping):
        raise InputError(f'data: expected a mapping of setting names to values, got {settings!r}.')
    settings = with_preset(**settings)
    source = str(settings.pop('source', ''))
    return pick(_RESOLVERS, source, 'data.source')(source, settings)


def _of_simulation(source: str, settings: Mapping[str, Any]) -> Source:
    check_settings(simulate, settings, f'data ({source})')
    return Source(lambda: [(average(each, counts=True), 'log1p') for each in simulate(**settings).measurements])


def _of_saved(source: str, settings: Mapping[str, Any]) -> Source:
    """Screens that `interop.screens.write_screens` wrote."""
    check_settings(find_files, settings, f'data ({source})', given=('folders',))
    files = find_files(**settings)
    return Source(lambda: [read_saved(file) for file in files])


def _of_files(source: str, settings: Mapping[str, Any]) -> Source:
    reader, settings = READERS[source], dict(settings)
    own_settings = list(inspect.signature(reader).parameters)[2:]
    options = {name: settings.pop(name) for name in own_settings if name in settings}
    check_settings(reader, options, f'data ({source})', given=('path', 'fields'))
    check_settings(file_source, settings, f'data ({source})', given=('reader', 'options'))
    return file_source(reader, options, **settings)


def _of_catalogue(source: str, settings: Mapping[str, Any]) -> Source:
    # Imported here, because `python -m perturbjax.datasets.catalogue` warns if it was imported before.
    from perturbjax.datasets import catalogue

    return resolve(catalogue.settings(**settings))


def _of_prepared(source: str, settings: Mapping[str, Any]) -> Source:
    raise InputError('data.screens: a prepared compendium cannot be one of several; prepare all screens together.')


def file_source(
    reader: Callable[..., Measurements],
    options: Mapping[str, Any],
    path: str | Sequence[str],
    scale: str,
    fields: dict[str, Any],
    counts: bool = False,
    target_sum: float = 1e4,
    missing_values: Sequence[float] = (),
    duplicate_seed: int = 0,
    readouts_are: str = '',
    response: str = 'response',
    log2: bool = False,
    control_value: float | None = None,
    keep_cells: bool = False,
) -> Source:
    """A source of files; the rows of each file are averaged to the profiles of one screen.

    Args:
      reader: one of `READERS`.
      options: the settings that only this reader has.
      path: a file, a folder, a pattern with `*`, or several of them; each file is a screen.
      scale: what the values mean once they are averaged, a name in `SCALES`.
      fields: settings of `Fields`.
      counts, target_sum, missing_values, duplicate_seed: see `aggregation.average`.
      readouts_are: `'contexts'` or `'perturbations'`, where one thing was measured and the readouts of the
        file are that instead, as in tables of drugs x cell lines; see `readers.response`.
      response: the name of what was measured, with `readouts_are`.
      log2: the values are levels; log2 of them is taken before rows are averaged.
      control_value: the value of every readout of control, known by definition, for contexts where the
        file has no control: 1 where the values are viabilities relative to untreated cells.
      keep_cells: keep the rows beside the profiles, in memory, for models that learn from cells (`gears`, `cpa`,
        `scgpt`).
    """
    find_scale(scale)
    check_positive('data', target_sum=target_sum)
    check_range('data', 0, duplicate_seed=duplicate_seed)
    check_settings(Fields, fields, 'data.fields')
    wrong = [value for value in missing_values if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        raise InputError(f'data.missing_values: {wrong[0]!r} is not a number.')
    if counts and log2:
        raise InputError('data.log2: with data.counts the logarithm is taken already; leave one of them out.')
    columns = Fields(**(fields_of_rows(fields, readouts_are) if readouts_are else fields))
    files, missing = tuple(find_files(path, folders=reader in SHARDED_READERS)), tuple(missing_values)

    def profiles(file: str) -> Measurements:
        rows = reader(file, columns, **options)
        rows = log2_of(rows, file, missing) if log2 else rows
        coded = () if log2 else missing
        rows = one_row_per_value(rows, readouts_are, response, fields, coded) if readouts_are else rows
        found = average(rows, counts, target_sum, coded, duplicate_seed, scale, keep_cells)
        return found if control_value is None else with_control(found, control_value)

    def read() -> Screens:
        return [(profiles(file), scale) for file in files]

    return Source(read, files if reader is read_h5ad_screen else (), columns.merge_alike)


_RESOLVERS: dict[str, Callable[[str, Mapping[str, Any]], Source]] = {
    **dict.fromkeys(READERS, _of_files),
    'simulation': _of_simulation,
    'saved': _of_saved,
    'catalogue': _of_catalogue,
    'prepared': _of_prepared,
}
