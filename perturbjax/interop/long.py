"""Writes long tables, with one value per line, piece by piece; a table is written completely or not at all."""

import contextlib
import functools
import gzip
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from etils import epath

from perturbjax.errors import InputError, listed
from perturbjax.paths import absolute
from perturbjax.workdir import replacing_from_local

_SEPARATORS = {'.csv': ',', '.csv.gz': ',', '.tsv': '\t', '.tsv.gz': '\t'}
ENDINGS = ('.parquet', *_SEPARATORS)
# Nine digits are enough for every float32 to come back equal to the bit.
_DIGITS = '%.9g'
# Texts that pandas and R read as missing values.
_MISSING = {'', 'NA', 'N/A', 'n/a', 'NaN', 'nan', 'null', 'NULL', 'None', '#N/A'}
# The number of values in a piece, about 50 MB as lines of a table.
_PIECE = 2**20


def write_long(pieces: Iterable[pd.DataFrame], path: epath.PathLike) -> None:
    """Writes pieces of a table one after the other; float32 values come back equal to the bit.

    Args:
      pieces: at least one, all with the same columns; text columns should be categorical, with the same
        categories in each piece.
      path: local or `gs://`; ends in .parquet (needs pyarrow), .csv, .tsv, .csv.gz or .tsv.gz.

    Raises:
      InputError: the path has another ending, or pyarrow is needed and not installed.
    """
    path = epath.Path(absolute(path))
    ending = next((each for each in ENDINGS if path.name.lower().endswith(each)), '')
    if not ending:
        raise InputError(f'{path}: the name of a long table must end in one of {listed(ENDINGS)}.')
    with replacing_from_local(path) as local:
        if ending == '.parquet':
            _write_parquet(pieces, local)
        else:
            _write_text(pieces, local, ending)


def long_pieces(
    rows: pd.DataFrame, readouts: Sequence[str], values: Mapping[str, np.ndarray]
) -> Iterator[pd.DataFrame]:
    """Turns arrays `[N, M]` into pieces of a long table, with a line for each row and readout.

    Args:
      rows: columns `[N]` that describe each row; text becomes categorical.
      readouts: names `[M]`.
      values: the columns of values by name, each `[N, M]` or `[N, 1]`.
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
    """Makes text categorical, with the same categories in every piece; numbers stay as they are."""
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
            # Without the metadata of pandas and Arrow, every program reads text as plain text.
            table = pa.Table.from_pandas(piece, preserve_index=False).replace_schema_metadata(None)
            writer = writer or stack.enter_context(pq.ParquetWriter(path, table.schema, store_schema=False))
            writer.write_table(table)


def _write_text(pieces: Iterable[pd.DataFrame], path: pathlib.Path, ending: str) -> None:
    separator = _SEPARATORS[ending]
    # A higher level takes most of the time, for a file that is a tenth smaller.
    opener: Any = functools.partial(gzip.open, compresslevel=1) if ending.endswith('.gz') else open
    with opener(path, 'wt', encoding='utf-8', newline='') as file:
        for number, piece in enumerate(pieces):
            if not number:
                _warn_of_lost_names(piece, path.name)
                file.write(separator.join(_quoted(piece, separator)) + '\n')
            columns = [_cells(piece[name], separator) for name in piece]
            file.writelines(f'{separator.join(cells)}\n' for cells in zip(*columns, strict=True))


def _cells(column: pd.Series, separator: str) -> Sequence[str]:
    """The values of a column as text. This is several times faster than pandas, which formats one by one."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = np.array([*_quoted(column.cat.categories, separator), ''], object)
        return texts[column.cat.codes.to_numpy()].tolist()  # the code of a missing value is -1
    if column.dtype.kind == 'f':
        missing = np.flatnonzero(column.isna())
        cells = list(map(_DIGITS.__mod__, column.tolist()))
        for row in missing:
            cells[row] = ''
        return cells
    return _quoted(column, separator)


def _quoted(texts: Iterable[Any], separator: str) -> list[str]:
    """Texts in quotes, as CSV has them, where they hold a separator, a quote or a line break."""
    special = {separator, '"', '\n', '\r'}
    return [f'"{text.replace(chr(34), chr(34) * 2)}"' if special & set(text) else text for text in map(str, texts)]


def _warn_of_lost_names(piece: pd.DataFrame, name: str) -> None:
    """Warns of names that other programs would read as missing values."""
    words = {word for column in piece.select_dtypes('category') for word in piece[column].cat.categories}
    if words & _MISSING:
        told = listed(sorted(words & _MISSING))
        logging.warning('%s: the names %s read as missing from text; write .parquet.', name, told)
