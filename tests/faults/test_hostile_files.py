"""Files that were made to do harm: refused by type, size and content before they are read; names stay names."""

import json
import os
import pickle

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from etils import epath
from faults_for_tests import outcome

from perturbjax import workdir
from perturbjax.errors import InputError
from perturbjax.interop import perturblib_file
from perturbjax.readers.loading import load
from perturbjax.readers.table import column_names, read_matrix

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


class Harm:
    """Makes a folder when unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


PANDAS = {'index_columns': [], 'columns': [], 'column_indexes': []}
IN_COLUMN = {b'ARROW:extension:name': b'arrow.py_extension_type'}


@pytest.mark.parametrize('place', ['pandas', 'attributes', 'extension', 'python type', 'unknown type'])
def test_a_pickle_in_a_parquet_file_is_not_run(tmp_path, place):
    pyarrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    harm = pickle.dumps(Harm(tmp_path / 'ran'))
    about = {'pandas': harm, 'attributes': json.dumps(PANDAS | {'attributes': harm.hex()}).encode()}
    column = {
        'extension': IN_COLUMN | {b'ARROW:extension:metadata': harm},
        'python type': {b'ARROW:extension:name': b'arrow.opaque', b'ARROW:extension:metadata': harm},
        'unknown type': {b'ARROW:extension:name': b'pandas.period', b'ARROW:extension:metadata': harm},
    }
    field = pyarrow.field('a', pyarrow.int64(), metadata=column.get(place))
    schema = pyarrow.schema([field], {'pandas': about[place]} if place in about else None)
    parquet.write_table(pyarrow.table({'a': [1, 2]}, schema=schema), tmp_path / 'a.parquet')
    for read in (read_matrix, column_names):
        found, sentence = outcome(read, tmp_path / 'a.parquet')
        assert sentence or list(found) == ['a']
    assert not (tmp_path / 'ran').exists()


@pytest.fixture
def model():
    """The content of a perturblib checkpoint of one layer."""
    names = {'context_symbols': ['a'], 'perturb_symbols': ['Control'], 'readout_symbols': ['r']}
    shapes = {'predictor.0.weight': (5, 9), 'predictor.0.bias': (5,), 'predictor.3.weight': (1, 5)}
    shapes |= {'predictor.3.bias': (1,)} | {f'{axis}_embedding_layer.weight': (1, 3) for axis in ('context', 'readout')}
    shapes['perturb_embedding_layer.weight'] = (1, 3)
    return {'embedding_dim': 3, 'hidden_dim': 5, 'num_layers': 1}, names, shapes


def read_model(monkeypatch, arguments, state):
    monkeypatch.setattr(perturblib_file, '_load', lambda path: (arguments, state))
    return perturblib_file.read_file('model.pt')


def test_more_layers_than_a_checkpoint_holds_are_refused(monkeypatch, model):
    arguments, names, _ = model
    with pytest.raises(InputError, match=r'model.pt: it declares 1000000000 layers, but its state has 3 entries'):
        read_model(monkeypatch, arguments | {'num_layers': 10**9}, names)


def test_tensors_that_repeat_a_value_are_refused(monkeypatch, model, tmp_path):
    torch = pytest.importorskip('torch')
    arguments, names, shapes = model
    state = {name: torch.ones(shape) for name, shape in shapes.items()}
    assert read_model(monkeypatch, arguments, names | state).weights['bias_0'].tolist() == [1] * 5
    for wrong, told in ((torch.ones(1).expand(5), 'repeats fewer values'), (torch.ones(5).to_sparse(), 'no plain')):
        with pytest.raises(InputError, match=f'predictor.0.bias .*{told}'):
            read_model(monkeypatch, arguments, names | state | {'predictor.0.bias': wrong})
