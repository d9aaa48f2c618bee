"""From the `data` part of a config to a compendium: read each source, give genes one name, share one vocabulary."""

from collections.abc import Mapping
from typing import Any

import ml_collections

from perturbjax.errors import InputError, check_settings
from perturbjax.plain import plain
from perturbjax.readers.naming.harmonisation import harmonise
from perturbjax.readers.naming.merging import merge_across
from perturbjax.readers.naming.near_misses import tell_across
from perturbjax.readers.sources import resolve
from perturbjax.readers.told import read_prepared
from perturbjax.readers.unmeasured import unmeasured_names
from perturbjax.renames import with_new_names
from perturbjax.screens.screen import Compendium, assemble


def load(data: Mapping[str, Any]) -> Compendium:
    """The compendium that a config's `data` describes.

    `data` holds the settings of one source (see `sources.file_source`), or `screens`, which maps a name
    to the settings of each source. With either, `harmonise` gives a gene one name in all screens (see
    `harmonisation.harmonise`; `{}` turns it off), and `unmeasured` adds perturbations to the vocabulary that no
    file measures (see `unmeasured.unmeasured_names`). The source `prepared` is the folder that
    `--mode=prepare` wrote.

    Raises:
      InputError: a setting or a file cannot be used; the message names it.
    """
    settings = _plain(data)
    harmonised, unmeasured = settings.pop('harmonise', {}), settings.pop('unmeasured', ())
    check_settings(harmonise, harmonised, 'data.harmonise', given=('screens', 'files'))
    if settings.get('source') == 'prepared':
        if unmeasured:
            raise InputError(
                'data.unmeasured: prepared data have their names already; give it where they are prepared.'
            )
        check_settings(_read_prepared, settings, 'data (prepared)')
        return _read_prepared(**settings)
    sources = [resolve(each) for each in _each_source(settings)]
    screens = [(source, *screen) for source in sources for screen in source.read()]
    profiles = merge_across([each for _, each, _ in screens], [source.merge_alike for source, _, _ in screens])
    if harmonised and any(each.kept is not None for each in profiles):
        raise InputError('data.keep_cells: genes of cells cannot be renamed by data.harmonise; leave one of them out.')
    if harmonised:
        profiles = harmonise(profiles, [file for each in sources for file in each.gene_files], **harmonised)
    tell_across(profiles)
    measured = {str(name) for each in profiles for name in each.perturbation}
    others = unmeasured_names(unmeasured, measured) if unmeasured else []
    return assemble(profiles, [scale for _, _, scale in screens], others)


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as a dict of plain values, under the names that they have now."""
    if not isinstance(data, Mapping | ml_collections.ConfigDict):
        raise InputError(f'data: expected a mapping of setting names to values, got {data!r}.')
    return with_new_names(plain(data, 'data'), 'data')


def _read_prepared(source: str, path: str) -> Compendium:
    return read_prepared(path)


def _each_source(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The settings of each source."""
    if 'screens' not in settings:
        return [settings]
    check_settings(lambda screens: screens, settings, 'data')
    screens = settings['screens']
    if not isinstance(screens, Mapping) or not screens:
        raise InputError(f'data.screens: expected a mapping of names to the settings of each source, got {screens!r}.')
    return list(screens.values())
