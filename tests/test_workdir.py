import anndata
import numpy as np
import pandas as pd
import pytest
from etils import epath

from perturbjax import workdir
from perturbjax.errors import InputError


def test_text_tables_and_h5ad_come_back(tmp_path):
    folder = epath.Path(tmp_path)
    workdir.write_text(folder / 'deep' / 'a.txt', 'é')
    workdir.write_table(folder / 'b.csv', pd.DataFrame({'x': [1 / 3]}))
    workdir.write_anndata(folder / 'c.h5ad', anndata.AnnData(np.eye(2, dtype=np.float32)))
    assert (tmp_path / 'deep' / 'a.txt').read_text() == 'é'
    assert (tmp_path / 'b.csv').read_text() == 'x\n0.3333333\n'
    np.testing.assert_array_equal(workdir.read_anndata(folder / 'c.h5ad').X, np.eye(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.c.h5ad.sha256', 'b.csv', 'c.h5ad', 'deep']


def test_names_in_a_table_come_back_as_they_were(tmp_path):
    folder, names = epath.Path(tmp_path), ['=cmd()', '+1+1', 'NA', '1', "it's", "'quoted'", 'a,b', '']
    workdir.write_table(folder / 'a.csv', pd.DataFrame({'name': names, 'x': 1.5}))
    table = workdir.read_table(folder / 'a.csv', texts=['name'])
    assert table['name'].tolist() == names
    assert table['x'].tolist() == [1.5] * len(names)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = epath.Path(tmp_path) / 'a.txt'
    workdir.write_text(path, 'old')

    def fail(*_):
        raise OSError('disk full')

    monkeypatch.setattr(type(path), 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        workdir.write_text(path, 'new')
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [('a.txt', 'old')]


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match='not there; run --mode=predict first'):
        workdir.read_anndata(epath.Path(tmp_path) / 'none.h5ad')
