"""A screen in a file beside the run's own data, without settings: what its columns are follows from their names."""

import os
from typing import Any

import numpy as np

from perturbjax.paths import absolute
from perturbjax.readers.compressed import plain_name
from perturbjax.readers.h5ad import read_obs
from perturbjax.readers.sources import resolve
from perturbjax.readers.table import TABLES, column_names
from perturbjax.screens import store
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium

_PERTURBATIONS = 'perturbation'
_CONTEXTS = ('context', 'cell_line', 'cell_type', 'celltype')


def read_screens(path: str) -> list[Measurements]:
    """The profiles of the screens at that path.

    Args:
      path: a folder that `--mode=prepare` wrote, of any screen; or an h5ad or zarr file, or a table. In these the
        column `perturbation` of the rows names them, and `context`, or `cell_line`, `cell_type` or `celltype`, their
        contexts, if there is one. Rows without such a column are perturbations by their index (in a table, its
        first column), and the columns are contexts, as in a table of responses. Rows of one perturbation and context
        are averaged as they are; counts of cells need `--mode=prepare`.

    Raises:
      InputError: it cannot be read as any of these.
    """
    path = absolute(path)
    if os.path.isdir(path) and store.exists(path):
        return _profiles(store.read(path))
    return [profiles for profiles, _ in resolve(_settings(path)).read()]


def _settings(path: str) -> dict[str, Any]:
    """The settings of `config.data` that read the file."""
    is_table = plain_name(path).endswith(TABLES)
    columns = column_names(path) if is_table else list(read_obs(path).columns)
    settings = {'source': 'wide' if is_table else 'h5ad', 'path': path, 'scale': 'as-measured'}
    if _PERTURBATIONS in columns:
        context = next((name for name in _CONTEXTS if name in columns), '')
        return settings | {'fields': {'context': context} if context else {'context_name': 'all'}}
    index = columns[0] if is_table and columns[0] else 'index'
    return settings | {'readouts_are': 'contexts', 'fields': {'perturbation': index, 'separator': ''}}


def _profiles(compendium: Compendium) -> list[Measurements]:
    names = compendium.vocabulary
    return [
        Measurements(
            name=screen.name,
            values=screen.values,
            context=np.array(names.contexts, object)[screen.context],
            perturbation=np.array(names.perturbation_names(screen.perturbation), object),
            readout=np.array(names.readouts, object)[screen.readout],
        )
        for screen in compendium.screens
    ]
