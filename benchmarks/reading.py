"""Memory and time of reading files as large as the largest public ones: single cells, and signatures of LINCS.

    python benchmarks/reading.py [--shares=100,10] [--folder=/tmp] [--forms=cells,columns,signatures]

The files are generated with 1/100 and 1/10 of the rows (with --shares=1 all rows) of
  cells: 1,000,000 cells x 20,000 genes, CSR, with a tenth of the counts above 0 and 2,000 perturbations;
  columns: the same as CSC;
  signatures: 720,216 signatures x 12,328 genes, GCTX; 978 genes and a third of the signatures are read.
A separate process reads each file with `load`, as a run does. The table holds the process's peak memory and its
memory before reading. The values on disk repeat and are compressed, so the files are small. With all rows, on 2 busy
CPU cores: cells 14.9 GiB of values, peak 2.2 GiB, 307 s; signatures 33.1 GiB, peak 2.2 GiB, 162 s. The peak comes
from the profiles: 2,000 x 20,000 and some 45,000 x 978.
"""

import concurrent.futures
import json
import multiprocessing
import pathlib
import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pandas as pd
from absl import app, flags

CELLS, GENES, PER_CELL, PERTURBATIONS = 1_000_000, 20_000, 2_000, 2_000
SIGNATURES, ALL_GENES, LANDMARKS, COMPOUNDS, CELL_LINES = 720_216, 12_328, 978, 1_500, 30
# Rows (or columns of CSC) whose values are drawn; the rest of the file repeats them.
DRAWN = 500

_SHARES = flags.DEFINE_list('shares', ['100', '10'], 'the full number of rows is divided by each of these')
_FOLDER = flags.DEFINE_string('folder', tempfile.gettempdir(), 'where the files are written; removed at the end')
_FORMS = flags.DEFINE_list('forms', ['cells', 'columns', 'signatures'], 'which files')


def repeat(group: h5py.Group, name: str, chunk: np.ndarray, times: int) -> None:
    """Writes a data set that repeats the chunk `times` times; the chunk is compressed only once."""
    shape = (len(chunk) * times, *chunk.shape[1:])
    data = group.create_dataset(name, shape, chunk.dtype, chunks=chunk.shape, compression='lzf', shuffle=True)
    data[: len(chunk)] = chunk
    rest = [0] * (chunk.ndim - 1)
    _, packed = data.id.read_direct_chunk((0, *rest))
    for place in range(1, times):
        data.id.write_direct_chunk((place * len(chunk), *rest), packed)


def write_sparse(path: pathlib.Path, cells: int, by_columns: bool) -> dict[str, Any]:
    """Writes raw counts as an h5ad file and returns the `data` settings that read it."""
    from anndata.io import write_elem

    rng = np.random.default_rng(0)
    major, minor = (GENES, cells) if by_columns else (cells, GENES)
    step = GENES // PER_CELL
    indices = (rng.integers(0, step, (DRAWN, 1)) + np.arange(0, minor, step)).astype(np.int32)
    names = pd.Categorical.from_codes(
        rng.integers(0, PERTURBATIONS, cells), ['control', *(f'gene{i}' for i in range(1, PERTURBATIONS))]
    )
    with h5py.File(path, 'w') as file:
        index = [f'cell{i}' for i in range(cells)]
        write_elem(file, 'obs', pd.DataFrame({'perturbation': names}, index))
        write_elem(file, 'var', pd.DataFrame(index=[f'gene{i}' for i in range(GENES)]))
        group = file.create_group('X')
        form = 'csc_matrix' if by_columns else 'csr_matrix'
        group.attrs.update({'encoding-type': form, 'encoding-version': '0.1.0', 'shape': (cells, GENES)})
        repeat(group, 'data', np.resize(rng.poisson(1.5, 999) + np.float32(1), indices.size), major // DRAWN)
        repeat(group, 'indices', indices.ravel(), major // DRAWN)
        group['indptr'] = np.arange(major + 1, dtype=np.int64) * indices.shape[1]
    return {
        'source': 'h5ad',
        'path': str(path),
        'scale': 'log1p',
        'counts': True,
        'fields': {'context_name': 'cells', 'perturbation': 'perturbation'},
    }


def write_signatures(path: pathlib.Path, signatures: int) -> dict[str, Any]:
    """Writes a GCTX file with its siginfo and geneinfo and returns the `data` settings that read it."""
    rng = np.random.default_rng(0)
    times = -(-signatures // DRAWN)
    signatures = times * DRAWN
    ids, genes = [f'SIG{i}' for i in range(signatures)], [str(i) for i in range(ALL_GENES)]
    with h5py.File(path, 'w') as file:
        values = np.resize(rng.normal(size=9999).astype(np.float32), (DRAWN, ALL_GENES))
        repeat(file.create_group('0/DATA/0'), 'matrix', values, times)
        file['0/META/COL/id'], file['0/META/ROW/id'] = np.array(ids, 'S'), np.array(genes, 'S')
    siginfo, geneinfo = path.with_suffix('.siginfo.txt'), path.with_suffix('.geneinfo.txt')
    table = pd.DataFrame({'sig_id': ids, 'is_hiq': rng.integers(0, 3, signatures) == 0})
    table['cmap_name'] = [f'compound{i}' for i in rng.integers(0, COMPOUNDS, signatures)]
    table['cell_iname'] = [f'line{i}' for i in rng.integers(0, CELL_LINES, signatures)]
    table.astype({'is_hiq': int}).to_csv(siginfo, sep='\t', index=False)
    space = np.where(rng.permutation(ALL_GENES) < LANDMARKS, 'landmark', 'inferred')
    pd.DataFrame({'gene_id': genes, 'feature_space': space}).to_csv(geneinfo, sep='\t', index=False)
    fields = {'context': 'cell_iname', 'perturbation': 'cmap_name', 'where': {'is_hiq': 1}}
    return {
        'source': 'gctx',
        'path': str(path),
        'scale': 'z-score',
        'siginfo': str(siginfo),
        'geneinfo': str(geneinfo),
        'fields': {**fields, 'perturbation_type': 'Compound', 'readout_where': {'feature_space': 'landmark'}},
    }


FORMS: dict[str, tuple[int, Callable[[pathlib.Path, int], dict[str, Any]], str]] = {
    'cells': (CELLS, lambda path, rows: write_sparse(path, rows, by_columns=False), 'h5ad'),
    'columns': (CELLS, lambda path, rows: write_sparse(path, rows, by_columns=True), 'h5ad'),
    'signatures': (SIGNATURES, write_signatures, 'gctx'),
}


def peak() -> float:
    """The peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def read(settings: str) -> tuple[float, float, float, float]:
    """Reads a file; returns peak memory before and after and the size of the profiles, in GiB, and the seconds."""
    import jax

    from perturbjax.readers.loading import load

    jax.devices()
    before, started = peak(), time.perf_counter()
    (screen,) = load(json.loads(settings)).screens
    arrays = [each for each in (screen.values, screen.standard_error, screen.halves) if each is not None]
    return before, peak(), sum(each.nbytes for each in arrays) / 2**30, time.perf_counter() - started


def in_a_process(function: Callable, *arguments: Any) -> Any:
    context = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def make(form: str, path: str, rows: int) -> dict[str, Any]:
    return FORMS[form][1](pathlib.Path(path), rows)


def main(_: list[str]) -> None:
    print('| file       |    rows | values, GiB | profiles, GiB | before, GiB | peak, GiB | seconds |')
    print('|------------|---------|-------------|---------------|-------------|-----------|---------|')
    for form in _FORMS.value:
        for share in map(int, _SHARES.value):
            rows = FORMS[form][0] // share
            values = rows * (8 * PER_CELL if form != 'signatures' else 4 * ALL_GENES) / 2**30
            with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder:
                settings = in_a_process(make, form, f'{folder}/{form}.{FORMS[form][2]}', rows)
                before, most, size, seconds = in_a_process(read, json.dumps(settings))
            line = f'| {form:10} | {rows:7} | {values:11.2f} | {size:13.2f} |'
            print(f'{line} {before:11.2f} | {most:9.2f} | {seconds:7.1f} |', flush=True)


if __name__ == '__main__':
    app.run(main)
