"""Writes screens and predictions as perturblib's long tables: context, perturbation, readout and value.

Names are written as perturblib writes them. Missing values have no line, because perturblib has none. Each context has
a shard, and `metadata.parquet` says what is in which, so that perturblib loads the folder as a data source
(`perturb_lib.data.access`). Our data source `perturblib` reads the screens back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

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
from perturbjax.workdir import replacing_from_local

SHARD = 'shard_{:06d}.parquet'
METADATA = 'metadata.parquet'


def write_perturblib_screens(compendium: Compendium, folder: epath.PathLike, readout_type: str = '') -> list[str]:
    """Writes a folder for each screen, `NAME/shard_000000.parquet` and so on; returns the folders.

    perturblib's split of all of it is `train`.

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
        _write(names, screen.values, path, readout_type, 'train')
    return list(map(str, paths))


def write_perturblib(predictions: anndata.AnnData, model: str, folder: epath.PathLike, readout_type: str = '') -> None:
    """Writes the held-out predictions of a model in the same format; perturblib's split of all of it is `test`.

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
        _write((rows, list(block.var_names)), np.asarray(block.layers[model]), part, readout_type, 'test')


def _write(
    names: tuple[pd.DataFrame, Sequence[str]], values: np.ndarray, path: epath.Path, readout_type: str, split: str
) -> None:
    rows, readouts = names
    known = np.isfinite(values)
    if not known.any():
        raise InputError(f'{path}: nothing is measured, so there is nothing to write.')
    for axis, lost in ((rows['perturbation'], ~known.any(axis=1)), (pd.Series(readouts), ~known.any(axis=0))):
        if lost.any():
            gone = axis[lost]
            logging.warning('%s: %d names without any value are left out: %s.', path, len(gone), listed(gone))
    theirs = np.array([f'{readout_type}_{name}' if readout_type else name for name in readouts], object)
    rows = rows.assign(perturbation=_symbols(list(rows['perturbation']), path))
    shards: list[dict[str, Any]] = []
    for context in dict.fromkeys(rows['context'][known.any(axis=1)]):
        here = (rows['context'] == context).to_numpy()
        shard = path / SHARD.format(len(shards))
        pieces = long_pieces(rows[here].reset_index(drop=True), list(theirs), {'value': values[here]})
        write_long((piece[np.isfinite(piece['value'])] for piece in pieces), shard)
        measured = rows['perturbation'][here & known.any(axis=1)]
        about = {
            'shard_path': f'{path.name}/{shard.name}',
            'size': int(known[here].sum()),
            'split': split,
            'context': context,
            'perturbations': sorted({part for name in measured for part in name.split('+')}),
            'readouts': sorted(theirs[known[here].any(axis=0)]),
        }
        shards.append(about)
    _write_metadata(shards, path / METADATA)


def _write_metadata(shards: Sequence[Mapping[str, Any]], path: epath.Path) -> None:
    """Writes a row for each shard, with the columns of perturblib."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing_from_local(path) as local:
        pq.write_table(pa.Table.from_pylist(list(shards)), local)


def _symbols(names: Sequence[str], path: epath.Path) -> list[str]:
    symbols = {name: '+'.join(map(their_perturbation, parts(name))) or CONTROL_SYMBOL for name in names}
    if len(set(symbols.values())) < len(symbols):
        twice = pd.Index(symbols.values())
        raise InputError(
            f'{path}: perturbations would have one name in perturblib: {listed(set(twice[twice.duplicated()]))}; '
            'name them apart.'
        )
    return [symbols[name] for name in names]
