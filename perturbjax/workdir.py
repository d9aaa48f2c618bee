"""Files of a run, local or in a bucket; each is written beside its place and then renamed."""

import pathlib
import tempfile

import anndata
import pandas as pd
from etils import epath


def write_text(path: epath.Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    beside = path.parent / f'.{path.name}.writing'
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(text)
    beside.replace(path)


def write_table(path: epath.Path, table: pd.DataFrame) -> None:
    """Writes a CSV whole or not at all; numbers to 7 digits."""
    write_text(path, table.to_csv(index=False, float_format='%.7g'))


def write_h5ad(path: epath.Path, data: anndata.AnnData) -> None:
    """Writes an h5ad whole or not at all; by way of a local file, for HDF5 writes nowhere else."""
    with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / path.name
        data.write_h5ad(local, compression='gzip')
        beside = path.parent / f'.{path.name}.writing'
        epath.Path(local).copy(beside, overwrite=True)
        beside.replace(path)


def read_h5ad(path: epath.Path) -> anndata.AnnData:
    """Reads an h5ad, local or in a bucket."""
    with tempfile.TemporaryDirectory() as folder:
        local = pathlib.Path(folder) / path.name
        path.copy(local)
        return anndata.read_h5ad(local)
