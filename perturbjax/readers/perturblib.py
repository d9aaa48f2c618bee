"""Reader of perturblib's long tables, and the conversion of its names to ours and back.

Their form is defined in `perturb_lib.data.access`. A context is a folder with `shard_000000.parquet` and
so on, `metadata.parquet` and `info.json`. The columns are context, perturbation, readout and value.
"""

import dataclasses
import pathlib
import re

import numpy as np

from perturbjax.readers.long import arrange
from perturbjax.readers.naming.fields import COMPOUND, Fields
from perturbjax.readers.table import read_shards
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.vocabulary import CONTROL, combine, parts, perturbation_type, target_gene, token

CONTROL_SYMBOL = 'Control'
TRANSCRIPT = 'Transcriptome_'

_DOSED = re.compile(r'.+-\d+(\.\d+)?[pnuµm]?M')


def read_perturblib(path: str, fields: Fields, value: str = 'value') -> Measurements:
    """A table of perturblib, or a folder of its shards, with our names.

    `Control` becomes `control`, the compound `NAME-10uM` becomes `Compound_NAME-10uM`, and the readout
    `Transcriptome_GENE` becomes `GENE`.

    Args:
      path: a .parquet (or text) file, or a folder. Where a folder has files `shard_*`, only they are read.
      fields, value: as in `long.read_long`.

    Raises:
      InputError: as `long.read_long` does.
    """
    rows = arrange(
        read_shards(path, 'shard_*' if any(pathlib.Path(path).glob('shard_*')) else '*'), fields, value, path
    )
    ours = {name: combine(map(our_perturbation, parts(name))) for name in set(rows.perturbation)}
    return dataclasses.replace(
        rows,
        perturbation=np.array([ours[name] for name in rows.perturbation], object),
        readout=np.array([name.removeprefix(TRANSCRIPT) for name in rows.readout], object),
    )


def our_perturbation(symbol: str) -> str:
    """Our name for one part of a perturbation in perturblib."""
    if symbol == CONTROL_SYMBOL:
        return CONTROL
    is_compound = not perturbation_type(symbol) and _DOSED.fullmatch(symbol)
    return token(symbol.replace('%2B', '+'), COMPOUND if is_compound else '')


def their_perturbation(name: str) -> str:
    """perturblib's name for one part of ours. It splits at every `+`, so a `+` in a name becomes `%2B`."""
    if name == CONTROL:
        return CONTROL_SYMBOL
    is_compound = perturbation_type(name) == COMPOUND and _DOSED.fullmatch(name)
    return (target_gene(name) if is_compound else name).replace('+', '%2B')
