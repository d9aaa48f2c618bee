"""What is chosen of a matrix in an HDF5 file, whatever its form, block by block or at once."""

import h5py
import numpy as np
import pytest
import scipy.sparse
from anndata.io import write_elem

from perturbjax.errors import InputError
from perturbjax.readers import hdf5
from perturbjax.screens import blocks

FORMS = {
    'dense': np.asarray,
    'csr': scipy.sparse.csr_matrix,
    'csc': scipy.sparse.csc_matrix,
    'array': scipy.sparse.csr_array,
}
ROWS, COLUMNS = 23, 8


@pytest.fixture
def values():
    random = np.random.default_rng(0)
    return random.normal(size=(ROWS, COLUMNS)) * (random.random((ROWS, COLUMNS)) < 0.5)


def write(folder, element, **options):
    path = str(folder / 'matrix.h5')
    with h5py.File(path, 'w') as file:
        write_elem(file, 'X', element, dataset_kwargs=options)
    return path


def choose(path, rows, columns):
    with h5py.File(path) as file:
        return hdf5.choose(file['X'], path, 'h5ad', rows, columns)


def dense(values):
    values = blocks.whole(values)
    return values.toarray() if scipy.sparse.issparse(values) else values


def selections():
    random = np.random.default_rng(1)
    yield np.arange(ROWS), np.arange(COLUMNS)
    for _ in range(8):
        yield tuple(np.sort(random.choice(n, random.integers(1, n + 1), replace=False)) for n in (ROWS, COLUMNS))


@pytest.mark.parametrize('entries', [1, 5, 50, 10**6])
@pytest.mark.parametrize('at_once', [0, 10**6])
@pytest.mark.parametrize('form', FORMS)
def test_only_what_is_chosen_is_read(tmp_path, monkeypatch, values, form, at_once, entries):
    monkeypatch.setattr(hdf5, 'AT_ONCE', at_once)
    for module in (hdf5, blocks):
        monkeypatch.setattr(module, 'ENTRIES', entries)
    path = write(tmp_path, FORMS[form](values))
    for rows, columns in selections():
        chosen = choose(path, rows, columns)
        assert isinstance(chosen, blocks.Stored) == (at_once == 0)
        assert chosen.shape == (len(rows), len(columns))
        assert blocks.whole(chosen).dtype == np.float32
        np.testing.assert_array_equal(dense(chosen), values[np.ix_(rows, columns)].astype(np.float32))


@pytest.mark.parametrize('entries', [1, 40, 10**6])
@pytest.mark.parametrize('chunks', [None, (3, 4), (1, 8)])
def test_blocks_are_whole_chunks(tmp_path, monkeypatch, values, chunks, entries):
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)
    monkeypatch.setattr(hdf5, 'ENTRIES', entries)
    chosen = choose(write(tmp_path, values, chunks=chunks), np.arange(ROWS), np.arange(COLUMNS))
    starts = [block.rows.start for block in chosen.read()]
    assert not any(start % (chunks[0] if chunks else 1) for start in starts)
    np.testing.assert_array_equal(dense(chosen), values.astype(np.float32))


def test_chunks_too_large_for_memory_are_read_in_parts(tmp_path, monkeypatch, values):
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)
    monkeypatch.setattr(hdf5, '_SLAB', 2 * COLUMNS)
    chosen = choose(write(tmp_path, values, chunks=(ROWS, 1)), np.arange(ROWS), np.arange(COLUMNS))
    assert {len(block.values) for block in chosen.read()} == {2, 1}
    np.testing.assert_array_equal(dense(chosen), values.astype(np.float32))


def test_blocks_without_a_chosen_row_are_not_read(tmp_path, monkeypatch, values):
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)
    monkeypatch.setattr(hdf5, 'ENTRIES', COLUMNS)
    chosen = choose(write(tmp_path, values), np.array([2, 20]), np.array([1]))
    assert [(block.rows, block.values.shape) for block in chosen.read()] == [
        (slice(0, 1), (1, 1)),
        (slice(1, 2), (1, 1)),
    ]


@pytest.mark.parametrize('form', ['csr', 'csc'])
def test_rows_without_any_entry(tmp_path, form):
    path = write(tmp_path, FORMS[form](np.zeros((3, 2))))
    np.testing.assert_array_equal(dense(choose(path, np.array([0, 2]), np.arange(2))), np.zeros((2, 2)))


@pytest.mark.parametrize('at_once', [0, 10**6])
def test_infinities_are_told_once(tmp_path, monkeypatch, values, caplog, at_once):
    monkeypatch.setattr(hdf5, 'AT_ONCE', at_once)
    monkeypatch.setattr(hdf5, 'ENTRIES', 1)
    values[3, 4], values[20, 1] = np.inf, -np.inf
    found = dense(choose(write(tmp_path, values), np.arange(ROWS), np.arange(COLUMNS)))
    np.testing.assert_array_equal(np.isnan(found), np.isinf(values))
    assert [record.getMessage().partition(': ')[2] for record in caplog.records] == [
        '2 infinite values are taken as not measured.'
    ]


def test_what_is_missing_in_a_sparse_block_is_told_when_it_is_read(tmp_path, monkeypatch, values):
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)
    values[3, 4] = np.nan
    stored = choose(write(tmp_path, scipy.sparse.csr_matrix(values)), np.arange(ROWS), np.arange(COLUMNS))
    with pytest.raises(InputError, match='1 values of a sparse block are NaN or infinite; store it dense'):
        blocks.whole(stored)


def test_a_file_that_is_damaged_or_gone_when_it_is_read(tmp_path, monkeypatch, values):
    monkeypatch.setattr(hdf5, 'AT_ONCE', 0)
    path = write(tmp_path, scipy.sparse.csr_matrix(values))
    stored = choose(path, np.arange(ROWS), np.arange(COLUMNS))
    with h5py.File(path, 'a') as file:
        del file['X/indices']
        file['X/indices'] = np.zeros(3, np.int32)
    with pytest.raises(InputError, match=r'matrix.h5: cannot be read as h5ad, it is of another format or damaged'):
        blocks.whole(stored)
    (tmp_path / 'matrix.h5').unlink()
    with pytest.raises(InputError, match=r'matrix.h5: there is no such file'):
        blocks.whole(stored)
