"""Writes screens as h5ad files, with everything known of the profiles, or as long tables.

The data source `saved` reads the h5ad files back, and `long` the tables, with names and values equal to the bit.
"""

import urllib.parse

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax import workdir
from perturbjax.interop.long import long_pieces, write_long
from perturbjax.readers.saved import CELLS, ERROR, HALVES
from perturbjax.screens.scales import find_scale
from perturbjax.screens.screen import Compendium, Screen
from perturbjax.screens.vocabulary import Vocabulary


def write_screens(compendium: Compendium, folder: epath.PathLike) -> list[str]:
    """Writes `NAME.h5ad` for each screen; returns the paths, in order.

    X has the values (NaN = not measured), obs has context, perturbation and cells, and uns has screen, scale and
    unit. The layers standard_error, first_half and second_half are written if they are known.
    """
    paths = screen_paths(compendium, folder, '.h5ad')
    for screen, path in zip(compendium.screens, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        workdir.write_anndata(path, to_anndata(screen, compendium.vocabulary))
    return list(map(str, paths))


def write_long_screens(compendium: Compendium, folder: epath.PathLike, ending: str = '.parquet') -> list[str]:
    """Writes a long table for each screen, `NAME.parquet` or with another of `long.ENDINGS`; returns the paths.

    Columns: context, perturbation, readout and value, and cells and standard_error if they are known. A value
    that was not measured is empty.
    """
    paths = screen_paths(compendium, folder, ending)
    for screen, path in zip(compendium.screens, paths, strict=True):
        cells = None if screen.cells is None else screen.cells[:, None]
        values = {'value': screen.values, CELLS: cells, ERROR: screen.standard_error}
        known = {name: block for name, block in values.items() if block is not None}
        names = profile_names(screen, compendium.vocabulary), readout_names(screen, compendium.vocabulary)
        write_long(long_pieces(*names, known), path)
    return list(map(str, paths))


def to_anndata(screen: Screen, vocabulary: Vocabulary) -> anndata.AnnData:
    """A screen as an AnnData of profiles x readouts, as `write_screens` writes it."""
    rows = profile_names(screen, vocabulary)
    rows.index = pd.Index(rows['context'] + '/' + rows['perturbation'])
    layers = {} if screen.standard_error is None else {ERROR: screen.standard_error}
    layers |= {} if screen.halves is None else dict(zip(HALVES, screen.halves, strict=True))
    return anndata.AnnData(
        np.asarray(screen.values),
        obs=rows if screen.cells is None else rows.assign(**{CELLS: screen.cells}),
        var=pd.DataFrame(index=pd.Index(readout_names(screen, vocabulary), dtype=object)),
        layers=layers,
        uns={'screen': screen.name, 'scale': screen.scale, 'unit': find_scale(screen.scale).unit},
    )


def screen_paths(compendium: Compendium, folder: epath.PathLike, ending: str) -> list[epath.Path]:
    """A path in the folder for each screen, named after it."""
    names = [urllib.parse.quote(screen.name, safe=' +,()') for screen in compendium.screens]
    return [epath.Path(folder) / f'{name}{ending}' for name in names]


def profile_names(screen: Screen, vocabulary: Vocabulary) -> pd.DataFrame:
    """The context and the perturbation of the N profiles, as columns."""
    contexts = [vocabulary.contexts[i] for i in screen.context]
    names = {'context': contexts, 'perturbation': vocabulary.perturbation_names(screen.perturbation)}
    return pd.DataFrame(names, dtype=object)


def readout_names(screen: Screen, vocabulary: Vocabulary) -> list[str]:
    """The names of the M readouts."""
    return [vocabulary.readouts[i] for i in screen.readout]
