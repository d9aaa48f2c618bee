"""Files of a run, local or in a bucket; each is written under another name first, and renamed when complete."""

import contextlib
import io
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import anndata
import pandas as pd
from etils import epath

from perturbjax.errors import InputError


@contextlib.contextmanager
def replacing(path: epath.Path) -> Iterator[epath.Path]:
    """Gives a temporary path to write to; it is renamed to `path` on success and removed on an error."""
    beside = path.parent / f'.{path.name}.writing'
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_from_local(path: epath.Path) -> Iterator[pathlib.Path]:
    """Like `replacing`, but gives a local path, for libraries that can write only local files."""
    with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / path.name
        yield local
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            epath.Path(local).copy(beside, overwrite=True)


def write_text(path: epath.Path, text: str) -> None:
    """Writes a text file, completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(text)


def write_table(path: epath.Path, table: pd.DataFrame) -> None:
    """Writes a CSV file, completely or not at all; numbers have 7 digits."""
    write_text(path, table.to_csv(index=False, float_format='%.7g'))


def write_figure(path: epath.Path, figure: Any) -> None:
    """Writes a matplotlib figure as SVG, completely or not at all."""
    text = io.StringIO()
    figure.savefig(text, format='svg')
    write_text(path, text.getvalue())


def read_table(path: epath.Path) -> pd.DataFrame:
    """Reads a CSV file; raises InputError if there is none."""
    if not path.exists():
        raise InputError(f'{path}: not there; run --mode=predict first.')
    return pd.read_csv(io.StringIO(path.read_text()))


def add_time(path: epath.Path, label: str, seconds: float) -> None:
    """Adds seconds to the time that fitting a model has taken so far."""
    times = read_times(path)
    write_text(path, json.dumps(times | {label: round(times.get(label, 0.0) + seconds, 1)}))


def read_times(path: epath.Path) -> dict[str, float]:
    """The seconds that fitting took, by model; empty if nothing was fitted."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_anndata(path: epath.Path, data: anndata.AnnData) -> None:
    """Writes an AnnData as an h5ad file, completely or not at all."""
    with replacing_from_local(path) as local:
        data.write_h5ad(local, compression='gzip')


def read_anndata(path: epath.Path) -> anndata.AnnData:
    """Reads an h5ad file, local or in a bucket, as an AnnData; raises InputError if there is none."""
    if not path.exists():
        raise InputError(f'{path}: not there; run --mode=predict first.')
    with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / path.name
        path.copy(local)
        return anndata.read_h5ad(local)
