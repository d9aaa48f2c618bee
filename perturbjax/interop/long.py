"""Long tables, one value to a line: written piece by piece, whole or not at all."""

import contextlib
import gzip
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from etils import epath

from perturbjax.errors import InputError, listed
from perturbjax.workdir import replacing_from_local

_SEPARATORS = {'.csv': ',', '.csv.gz': ',', '.tsv': '\t', '.tsv.gz': '\t'}
ENDINGS = ('.parquet', *_SEPARATORS)
# Nine digits are every float32, to the bit.
_DIGITS = '%.9g'
# What pandas and R take for a missing value.
_MISSING = {'', 'NA', 'N/A', 'n/a', 'NaN', 'nan', 'null', 'NULL', 'None', '#N/A'}
# Values of a piece: some 50 MB as lines of a table.
_PIECE = 2**20


def write_long(pieces: Iterable[pd.DataFrame], path: epath.PathLike) -> None:
    """Writes tables of the same columns one after the other; float32 comes back equal to the bit.

    Args:
      pieces: not none; what is text is best categorical, with the same categories in each.
      path: local or `gs://`; ends in .parquet (needs pyarrow), .csv, .tsv, .csv.gz or .tsv.gz.

    Raises InputError on another ending, or where pyarrow is not installed.
    """
    path = epath.Path(path)
    ending = next((each for each in ENDINGS if path.name.lower().endswith(each)), '')
    if not ending:
        raise InputError(f'{path}: is no long table by its name, which should end in {listed(ENDINGS)}.')
    with replacing_from_local(path) as local:
        if ending == '.parquet':
            _write_parquet(pieces, local)
        else:
            _write_text(pieces, local, ending)


def grid(rows: pd.DataFrame, readouts: Sequence[str], values: Mapping[str, np.ndarray]) -> Iterator[pd.DataFrame]:
    """The lines of a grid, in pieces: a line for every one of N rows and M readouts.

    Args:
      rows: columns `[N]` that say what each row is; text becomes categorical.
      readouts: names `[M]`.
      values: columns by name, each `[N, M]` or `[N, 1]`.
    """
    named = {name: _categorical(rows[name]) for name in rows}
    columns = _categorical(pd.Series(readouts, dtype=object))
    step = max(1, _PIECE // max(1, len(readouts)))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        shape = part.stop - part.start, len(readouts)
        row, column = np.indices(shape).reshape(2, -1)
        piece = {name: each[row + start] for name, each in named.items()} | {'readout': columns[column]}
        piece |= {name: np.broadcast_to(block[part], shape).ravel() for name, block in values.items()}
        yield pd.DataFrame(piece)


def _categorical(column: pd.Series) -> Any:
    """Text with the same categories in every piece; numbers as they are."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return pd.Categorical(column.astype(str))


def _write_parquet(pieces: Iterable[pd.DataFrame], path: pathlib.Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError(f"{path.name}: parquet needs pyarrow; pip install 'perturbjax[parquet]'.") from error
    with contextlib.ExitStack() as stack:
        writer = None
        for piece in pieces:
            # Without pandas' and Arrow's own metadata text is plain text to every program.
            table = pa.Table.from_pandas(piece, preserve_index=False).replace_schema_metadata(None)
            writer = writer or stack.enter_context(pq.ParquetWriter(path, table.schema, store_schema=False))
            writer.write_table(table)


def _write_text(pieces: Iterable[pd.DataFrame], path: pathlib.Path, ending: str) -> None:
    opener = gzip.open if ending.endswith('.gz') else open
    with opener(path, 'wt', encoding='utf-8', newline='') as file:
        for place, piece in enumerate(pieces):
            if not place:
                _tell_lost(piece, path.name)
            piece.to_csv(file, sep=_SEPARATORS[ending], index=False, header=not place, float_format=_DIGITS)


def _tell_lost(piece: pd.DataFrame, name: str) -> None:
    words = {word for column in piece.select_dtypes('category') for word in piece[column].cat.categories}
    if words & _MISSING:
        told = listed(sorted(words & _MISSING))
        logging.warning('%s: the names %s read as missing from text; write .parquet.', name, told)
