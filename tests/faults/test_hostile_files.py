"""Files that were made to do harm: refused by type, size and content before they are read; names stay names."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from etils import epath

from perturbjax import workdir
from perturbjax.errors import InputError
from perturbjax.readers.loading import load

SETTINGS = {'source': 'h5ad', 'scale': 'log1p', 'fields': {'perturbation': 'p', 'context': 'c'}}


@pytest.fixture
def screen(tmp_path):
    path = tmp_path / 'a.h5ad'
    obs = pd.DataFrame({'p': ['control', 'a', 'b'], 'c': 'x'}, index=['0', '1', '2'])
    anndata.AnnData(np.ones((3, 2), np.float32), obs, pd.DataFrame(index=['g', 'h'])).write_h5ad(path)
    return path


def declare(path, name, shape):
    """Gives an array another shape, of which nothing is stored."""
    with h5py.File(path, 'r+') as file:
        old, attributes = file[name].dtype, dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, shape, old, chunks=tuple(min(each, 1000) for each in shape)).attrs.update(attributes)


@pytest.mark.parametrize(
    ('name', 'shape'),
    [('X', (10**7, 10**6)), ('obs/_index', (3 * 10**9,)), ('var/_index', (4 * 10**9,)), ('obs/p', (3 * 10**9,))],
)
def test_shapes_that_no_file_of_this_size_holds_are_refused(screen, name, shape):
    declare(screen, name, shape)
    with pytest.raises(InputError, match=f'{name} declares the shape .* it is damaged or made to fill the memory'):
        load({**SETTINGS, 'path': str(screen)})


def test_values_in_another_file_are_refused(screen, tmp_path):
    (tmp_path / 'secret').write_bytes(bytes(24))
    with h5py.File(screen, 'r+') as file:
        attributes = dict(file['X'].attrs)
        del file['X']
        file.create_dataset('X', (3, 2), 'f4', external=[(str(tmp_path / 'secret'), 0, 24)]).attrs.update(attributes)
    with pytest.raises(InputError, match='X takes its values from another file'):
        load({**SETTINGS, 'path': str(screen)})


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    names = ['=cmd|x', '@SUM(A1)', '+1+cmd', '-2+3', '\tx', 'a=b', '-1.5', '+', 'TP53']
    workdir.write_table(epath.Path(tmp_path) / 'a.csv', pd.DataFrame({'name': names, 'x': -1.5}))
    cells = pd.read_csv(tmp_path / 'a.csv', dtype={'name': str})
    assert cells['name'].tolist() == ["'=cmd|x", "'@SUM(A1)", "'+1+cmd", "'-2+3", "'\tx", 'a=b', '-1.5', '+', 'TP53']
    assert (cells['x'] == -1.5).all()
