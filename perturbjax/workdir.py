"""Files of a run, local or in a bucket; each is written under another name first, and renamed when complete.

Files that a later stage reads again are checked: their sha256 is kept beside them, as `.predictions.h5ad.sha256`.
"""

import contextlib
import hashlib
import io
import json
import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import anndata
import pandas as pd
from absl import logging
from etils import epath

from perturbjax.errors import InputError, reason
from perturbjax.mapped_layers import read_mapped

_PREDICT = 'run --mode=predict again.'
_REMOVE = 'remove it to go on without it.'


@contextlib.contextmanager
def replacing(path: epath.Path, checked: bool = False) -> Iterator[epath.Path]:
    """Gives a temporary path to write to; it is renamed to `path` on success and removed on an error."""
    beside = path.parent / f'.{path.name}.writing'
    try:
        yield beside
        if checked:
            _keep_hash(path, sha256(beside))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _keep_hash(path: epath.Path, digest: str) -> None:
    """Keeps the hash of the file that is about to be renamed, and that of the file it replaces until it is."""
    kept = _hash_path(path)
    before = [sha256(path)] if kept.exists() and path.exists() else []
    before = [each for each in before if each in kept.read_bytes().decode(errors='replace').split()]
    with replacing(kept) as beside:
        beside.write_text('\n'.join([digest, *before]))


def _hash_path(path: epath.Path) -> epath.Path:
    return path.parent / f'.{path.name}.sha256'


def sha256(path: epath.Path) -> str:
    """The sha256 of a file, local or in a bucket, which is read piece by piece."""
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while piece := file.read(2**24):
            digest.update(piece)
    return digest.hexdigest()


def check_unchanged(path: epath.Path, mend: str) -> None:
    """Raises InputError where the file is not as it was written; `mend` says what to do then."""
    kept = _hash_path(path)
    if kept.exists() and sha256(path) not in kept.read_bytes().decode(errors='replace').split():
        raise InputError(f'{path}: it is damaged or was changed (its sha256 is not that of {kept.name}); {mend}')


def tell_removed(path: epath.Path, without: str) -> None:
    """Warns where a checked file was written and is not there any more; `without` says what is missing then."""
    if not path.exists() and _hash_path(path).exists():
        logging.warning('%s: it was removed; %s.', path, without)


@contextlib.contextmanager
def replacing_from_local(path: epath.Path, checked: bool = False) -> Iterator[pathlib.Path]:
    """Like `replacing`, but gives a local path, for libraries that can write only local files."""
    with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / path.name
        yield local
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, checked) as beside:
            epath.Path(local).copy(beside, overwrite=True)


def write_text(path: epath.Path, text: str, checked: bool = False) -> None:
    """Writes a text file, completely or not at all; `checked` keeps its sha256 beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, checked) as beside:
        beside.write_text(text)


def write_table(path: epath.Path, table: pd.DataFrame, checked: bool = False) -> None:
    """Writes a CSV file, completely or not at all; numbers have 7 digits.

    A text or column that a spreadsheet would run as a formula gets an apostrophe before it, which shows it as it is.
    """
    texts = table.select_dtypes(exclude='number').columns
    safe = table.assign(**{name: table[name].astype('category').map(_no_formula) for name in texts})
    safe.columns = safe.columns.map(_no_formula)
    write_text(path, safe.to_csv(index=False, float_format='%.7g'), checked)


def _no_formula(cell: Any) -> Any:
    is_formula = isinstance(cell, str) and re.match(r'[=@\t\r]|[+-](?![\d.]*$)', cell)
    return f"'{cell}" if is_formula else cell


def write_figure(path: epath.Path, figure: Any) -> None:
    """Writes a matplotlib figure as SVG, completely or not at all."""
    text = io.StringIO()
    figure.savefig(text, format='svg')
    write_text(path, text.getvalue())


def read_table(path: epath.Path, mode: str = 'predict', texts: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a CSV file; raises InputError if there is none.

    Args:
      path: of the file.
      mode: what writes it, for messages.
      texts: columns of names, which are read as they were before `write_table`; a model may be called `NA` or `=1`.
    """
    if not path.exists():
        raise InputError(f'{path}: not there; run --mode={mode} first.')
    check_unchanged(path, f'run --mode={mode} again.')
    try:
        return pd.read_csv(io.StringIO(path.read_text()), converters=dict.fromkeys(texts, _as_given))
    except ValueError as error:
        raise InputError(f'{path}: it is no table ({reason(error)}); run --mode={mode} again.') from error


def _as_given(cell: str) -> str:
    """The cell without the apostrophe that `write_table` put before a formula."""
    return cell[1:] if cell.startswith("'") and _no_formula(cell[1:]) == cell else cell


def add_time(path: epath.Path, label: str, seconds: float) -> None:
    """Adds seconds to the time that fitting a model has taken so far."""
    times = read_times(path)
    write_text(path, json.dumps(times | {label: round(times.get(label, 0.0) + seconds, 1)}), checked=True)


def read_times(path: epath.Path) -> dict[str, float]:
    """The seconds that fitting took, by model; empty if nothing was fitted. Raises InputError on a damaged file."""
    if not path.exists():
        tell_removed(path, 'how long fitting took before is not known')
        return {}
    check_unchanged(path, _REMOVE)
    try:
        return {str(label): float(seconds) for label, seconds in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f'{path}: it is damaged ({reason(error)}); {_REMOVE}') from error


def write_anndata(path: epath.Path, data: anndata.AnnData) -> None:
    """Writes an AnnData as an h5ad file, completely or not at all, and keeps its sha256 beside it."""
    with replacing_from_local(path, checked=True) as local:
        data.write_h5ad(local, compression='gzip')


def read_anndata(path: epath.Path) -> anndata.AnnData:
    """Reads an h5ad file, local or in a bucket, as an AnnData whose layers stay on disk, see `mapped_layers`.

    Raises InputError if there is none, or it is damaged.
    """
    if not path.exists():
        raise InputError(f'{path}: not there; run --mode=predict first.')
    check_unchanged(path, _PREDICT)
    is_local = '://' not in str(path)
    beside = str(path.parent) if is_local else None
    with contextlib.nullcontext() if is_local else tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(path) if folder is None else pathlib.Path(folder) / path.name
        if folder is not None:
            path.copy(local)
        try:
            return read_mapped(str(local), beside)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise InputError(f'{path}: it cannot be read as h5ad ({reason(error)}); {_PREDICT}') from error
