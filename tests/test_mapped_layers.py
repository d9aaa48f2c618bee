"""Layers on disk have the values of those in memory."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from perturbjax import mapped_layers
from perturbjax.mapped_layers import not_known, read_mapped


@pytest.fixture
def written(tmp_path):
    """A file with layers of several kinds, in compressed chunks that do not divide the rows; what was written."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(103, 7)).astype(np.float32)
    layers = {'dense': dense, 'double': dense.astype(float), 'sparse': scipy.sparse.csr_matrix(dense > 1, dtype=float)}
    obs = pd.DataFrame({'split': np.arange(103) % 3}, index=[f'r{i}' for i in range(103)])
    data = anndata.AnnData(obs=obs, layers=layers, uns={'models': ['dense']})
    data.write_h5ad(tmp_path / 'a.h5ad', compression='gzip')
    return data


def test_a_file_comes_back(written, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_layers, '_VALUES', 50)
    found, usual = read_mapped(str(tmp_path / 'a.h5ad')), anndata.read_h5ad(tmp_path / 'a.h5ad')
    assert isinstance(found.layers['dense'], np.memmap)
    for name in ('dense', 'double'):
        assert found.layers[name].dtype == usual.layers[name].dtype
        np.testing.assert_array_equal(found.layers[name], usual.layers[name])
    np.testing.assert_array_equal(found.layers['sparse'].toarray(), usual.layers['sparse'].toarray())
    pd.testing.assert_frame_equal(found.obs, usual.obs)
    assert list(found.uns['models']) == ['dense']


def test_changes_stay_in_the_copy_and_no_file_stays(written, tmp_path):
    found = read_mapped(str(tmp_path / 'a.h5ad'), str(tmp_path))
    found.layers['dense'][0] = 5
    assert found.layers['dense'][0].tolist() == [5] * 7
    with h5py.File(tmp_path / 'a.h5ad') as file:
        np.testing.assert_array_equal(file['layers/dense'][:], written.layers['dense'])
    assert [path.name for path in tmp_path.iterdir()] == ['a.h5ad']


@pytest.mark.parametrize('large', [1, 10**9])
def test_what_is_not_known_is_nan_and_can_be_written(monkeypatch, large):
    monkeypatch.setattr(mapped_layers, '_LARGE', large)
    found = not_known((3, 4), np.float64)
    assert isinstance(found, np.memmap) == (large == 1)
    assert found.dtype == np.float64
    assert np.isnan(found).all()
    found[1] = 2
    assert found.sum(where=~np.isnan(found)) == 8


def test_layers_without_values(tmp_path):
    data = anndata.AnnData(obs=pd.DataFrame(index=[]), var=pd.DataFrame(index=['a']), layers={'x': np.zeros((0, 1))})
    data.write_h5ad(tmp_path / 'a.h5ad')
    assert read_mapped(str(tmp_path / 'a.h5ad')).layers['x'].shape == (0, 1)


def test_without_room_on_disk_arrays_are_in_memory(written, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(mapped_layers.os, 'posix_fallocate', full)
    monkeypatch.setattr(mapped_layers, '_LARGE', 1)
    found = read_mapped(str(tmp_path / 'a.h5ad'), str(tmp_path))
    assert not isinstance(found.layers['dense'], np.memmap)
    np.testing.assert_array_equal(found.layers['dense'], written.layers['dense'])
    assert np.isnan(not_known((3, 4))).all()
