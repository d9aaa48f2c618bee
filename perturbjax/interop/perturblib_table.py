"""Writes screens and predictions as perturblib's long tables: context, perturbation, readout and value.

Names are written as perturblib writes them. Missing values have no line, because perturblib has none. The
data source `perturblib` reads the screens back.
"""

from collections.abc import Sequence

import anndata
import numpy as np
import pandas as pd
from absl import logging
from etils import epath

from perturbjax.errors import InputError, listed
from perturbjax.interop.foreign import cut
from perturbjax.interop.long import long_pieces, write_long
from perturbjax.interop.screens import profile_names, readout_names, screen_paths
from perturbjax.readers.perturblib import CONTROL_SYMBOL, their_perturbation
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import parts

SHARD = 'shard_000000.parquet'


def write_perturblib_screens(compendium: Compendium, folder: epath.PathLike, readout_type: str = '') -> list[str]:
    """Writes a folder for each screen, `NAME/shard_000000.parquet`; returns the folders.

    Args:
      compendium: screens of any scale.
      folder: local or `gs://`.
      readout_type: a prefix of every readout, such as `Transcriptome`.

    Raises:
      InputError: nothing is measured, or two names would be the same in perturblib.
    """
    paths = screen_paths(compendium, folder, '')
    for screen, path in zip(compendium.screens, paths, strict=True):
        names = profile_names(screen, compendium.vocabulary), readout_names(screen, compendium.vocabulary)
        _write(names, screen.values, path / SHARD, readout_type)
    return list(map(str, paths))


def write_perturblib(predictions: anndata.AnnData, model: str, folder: epath.PathLike, readout_type: str = '') -> None:
    """Writes the held-out predictions of a model in the same format.

    Args:
      predictions: as `prediction.file.stack` returns them.
      model: one of the models in it.
      folder: local or `gs://`. If there are several splits or screens, each has a folder of its own in it,
        `SPLIT/SCREEN`.
      readout_type: a prefix of every readout, such as `Transcriptome`.

    Raises:
      InputError: the model predicts nothing, or two names would be the same in perturblib.
    """
    for part, block in cut(predictions, model, folder, by=('split', 'screen')):
        rows = block.obs[['context', 'perturbation']].astype(object)
        _write((rows, list(block.var_names)), np.asarray(block.layers[model]), part / SHARD, readout_type)


def _write(names: tuple[pd.DataFrame, Sequence[str]], values: np.ndarray, path: epath.Path, readout_type: str) -> None:
    rows, readouts = names
    known = np.isfinite(values)
    if not known.any():
        raise InputError(f'{path}: nothing is measured, so there is nothing to write.')
    for axis, lost in ((rows['perturbation'], ~known.any(axis=1)), (pd.Series(readouts), ~known.any(axis=0))):
        if lost.any():
            gone = axis[lost]
            logging.warning('%s: %d names without any value are left out: %s.', path, len(gone), listed(gone))
    theirs = [f'{readout_type}_{name}' if readout_type else name for name in readouts]
    rows = rows.assign(perturbation=_symbols(list(rows['perturbation']), path))
    pieces = long_pieces(rows.reset_index(drop=True), theirs, {'value': values})
    write_long((piece[np.isfinite(piece['value'])] for piece in pieces), path)


def _symbols(names: Sequence[str], path: epath.Path) -> list[str]:
    symbols = {name: '+'.join(map(their_perturbation, parts(name))) or CONTROL_SYMBOL for name in names}
    if len(set(symbols.values())) < len(symbols):
        twice = pd.Index(symbols.values())
        raise InputError(
            f'{path}: perturbations would have one name in perturblib: {listed(set(twice[twice.duplicated()]))}; '
            'name them apart.'
        )
    return [symbols[name] for name in names]
