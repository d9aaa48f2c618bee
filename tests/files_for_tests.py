"""Good small files of every form, and what may become of a bad one: a right screen, or one clear sentence."""

import collections
import gzip
import pathlib
import shutil
import time
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax.errors import InputError
from perturbjax.interop.perturblib_table import write_perturblib_screens
from perturbjax.interop.screens import write_screens
from perturbjax.readers.loading import load

NAN = np.nan
ROWS = [(cell, gene) for cell in 'kr' for gene in ('ctrl', 'A', 'B', 'A+B') for _ in range(3)]
GENES = [f'e{i}' for i in range(5)]
OBS = pd.DataFrame(ROWS, columns=['cell', 'gene'], index=[f'c{i}' for i in range(len(ROWS))])
COUNTS = np.random.default_rng(0).integers(0, 9, (len(ROWS), len(GENES)))
LEVELS = COUNTS + 0.25
FIELDS = {'context': 'cell', 'perturbation': 'gene', 'control': ('ctrl',)}
KNOWN = {'scale': 'log2', 'fields': FIELDS}
TRIED: collections.Counter = collections.Counter()
SECONDS = 20  # longer than anything takes, on a busy machine too


# Good files


def write_h5ad(path, values, obs=OBS, var=GENES, **more):
    var = pd.DataFrame(index=var) if isinstance(var, list) else var
    anndata.AnnData(values, obs, var, **more).write_h5ad(path, compression='gzip' if 'gzip' in path.name else None)


def write_gct(path, version=3):
    head = [['#1.3'], [5, 24, 0, 2], ['id', *OBS.index], ['cell', *OBS['cell']], ['gene', *OBS['gene']]]
    if version == 2:
        head = [['#1.2'], [5, 24], ['Name', 'Description', *OBS['gene']]]
    lines = [[gene, *['text'][: version == 2], *values] for gene, values in zip(GENES, LEVELS.T)]
    text = ''.join('\t'.join(map(str, cells)) + '\n' for cells in [*head, *lines])
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == '.gz' else text.encode())


def write_gctx(path):
    with h5py.File(path, 'w') as file:
        file.create_dataset('0/DATA/0/matrix', data=LEVELS.astype(np.float32), chunks=(4, 3), compression='gzip')
        for name in ('cell', 'gene'):
            file[f'0/META/COL/{name}'] = np.array(OBS[name], 'S')
        file['0/META/COL/id'], file['0/META/ROW/id'] = np.array(OBS.index, 'S'), np.array(GENES, 'S')


def long_table():
    table = OBS.loc[np.repeat(OBS.index, len(GENES))].reset_index(drop=True)
    return table.assign(readout=np.tile(GENES, len(OBS)), value=LEVELS.ravel())


def wide_table():
    return pd.concat([OBS.reset_index(drop=True), pd.DataFrame(LEVELS, columns=GENES)], axis=1)


def write_table(path, table):
    if path.suffix == '.parquet':
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep='\t' if '.tsv' in path.name else ',')


def write_saved(path):
    write_table(path.with_name('source.csv'), wide_table())
    compendium = load({**KNOWN, 'source': 'wide', 'path': str(path.with_name('source.csv'))})
    shutil.move(write_screens(compendium, path.parent)[0], path)


def write_shards(path):
    write_table(path.with_name('source.csv'), wide_table())
    compendium = load({**KNOWN, 'source': 'wide', 'path': str(path.with_name('source.csv'))})
    shutil.move(f'{write_perturblib_screens(compendium, path.parent)[0]}/shard_000000.parquet', path)


def write_square(path):
    pd.DataFrame(np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T, list('ABC'), list('ABC')).to_csv(path)
    pd.DataFrame({'gene': list('ABC'), 'value': [1.0, 2.0, 3.0]}).to_csv(path.with_name('singles.csv'), index=False)


# By the name of a good file: how to write it, and the settings that read it.
FORMS = {
    'csr.h5ad': (lambda path: write_h5ad(path, scipy.sparse.csr_matrix(COUNTS.astype(np.float32))), {'counts': True}),
    'csc.h5ad': (lambda path: write_h5ad(path, scipy.sparse.csc_matrix(COUNTS)), {}),
    'dense.h5ad': (lambda path: write_h5ad(path, LEVELS), {}),
    'gzip.h5ad': (lambda path: write_h5ad(path, LEVELS.astype(np.float32), OBS.astype('category')), {}),
    'saved.h5ad': (write_saved, {'source': 'saved'}),
    'level5.gctx': (write_gctx, {}),
    'three.gct': (write_gct, {}),
    'zipped.gct.gz': (write_gct, {}),
    'two.gct': (
        lambda path: write_gct(path, 2),
        {'fields': {'context_name': 'k', 'perturbation': 'index', 'control': ('ctrl',)}},
    ),
    'long.csv': (lambda path: write_table(path, long_table()), {'source': 'long'}),
    'long.tsv.gz': (lambda path: write_table(path, long_table()), {'source': 'long'}),
    'long.parquet': (lambda path: write_table(path, long_table()), {'source': 'long'}),
    'wide.csv': (lambda path: write_table(path, wide_table()), {'source': 'wide'}),
    'wide.parquet': (lambda path: write_table(path, wide_table()), {'source': 'wide'}),
    'shard.parquet': (write_shards, {'preset': 'perturblib'}),
    'square.csv': (
        write_square,
        {'source': 'matrix', 'scale': 'fitness', 'fields': {'context_name': 'k'}, 'singles': 'singles.csv'},
    ),
}
HDF5 = ('dense.h5ad', 'gzip.h5ad', 'saved.h5ad', 'level5.gctx')


def make(name, folder):
    """A good file and its settings."""
    path = folder / name
    write, more = FORMS[name]
    if 'parquet' in name:
        pytest.importorskip('pyarrow')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # anndata's, of what the tests want odd
        write(path)
    source = path.name.removesuffix('.gz').rpartition('.')[2]
    known = {} if more.get('source') == 'saved' else {'scale': 'log2', 'fields': FIELDS}
    known |= {} if 'preset' in more else {'source': source}
    if 'preset' in more:
        del known['fields']
    given = {**known, **more, 'path': str(path)}
    return path, given | ({'singles': str(folder / 'singles.csv')} if 'singles' in given else {})


# What is tried


def attempt(settings, rows=None):
    """What becomes of it: the compendium, or the sentence; anything else fails."""
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            warnings.filterwarnings('ignore', "The 'future.infer_string' option")
            found = load(settings)
    except InputError as error:
        TRIED['refused'] += 1
        check_sentence(str(error), settings)
        return str(error)
    finally:
        assert time.perf_counter() - started < SECONDS, f'took {time.perf_counter() - started:.0f} s'
    TRIED['read'] += 1
    for screen in found.screens:
        check_screen(screen, found.vocabulary, rows)
    return found


def check_sentence(message, settings):
    assert '\n' not in message
    assert len(message) < 3000
    names = [pathlib.Path(each).name for each in (settings['path'], settings.get('singles', '')) if each]
    stems = [name.removesuffix('.gz').rpartition('.')[0] for name in names]
    assert message.startswith('data') or any(name in message for name in [*names, *stems, 'vocabulary'])


def check_screen(screen, vocabulary, rows=None):
    n, m = screen.values.shape
    assert (len(screen.context), len(screen.perturbation), len(screen.readout)) == (n, n, m)
    assert screen.values.dtype == np.float32
    assert not np.isinf(screen.values).any()
    assert max(screen.context) < len(vocabulary.contexts)
    assert screen.perturbation.max() < len(vocabulary.perturbations)
    if rows is not None:
        assert screen.cells.sum() == rows


def tally(request):
    """Says how many files were tried so far."""
    manager = request.config.pluginmanager
    terminal, capture = manager.get_plugin('terminalreporter'), manager.get_plugin('capturemanager')
    if terminal and capture:  # neither is there in a worker of xdist
        with capture.global_and_fixture_disabled():
            terminal.write_line(f'\nbad files tried so far: {TRIED.total()}, {dict(TRIED)}')
