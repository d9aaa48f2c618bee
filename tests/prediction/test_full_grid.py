import shutil
from types import SimpleNamespace

import anndata
import h5py
import jax
import numpy as np
import pytest
from etils import epath
from models_for_tests import one_unit
from screens_for_tests import everything, two_contexts

from perturbjax.errors import InputError
from perturbjax.models import MODELS, Query
from perturbjax.models.lpm import lpm_released
from perturbjax.prediction import full_grid
from perturbjax.prediction.full_grid import write_grid

COMPENDIUM = two_contexts()
SCALES = {'screen': 'log1p'}
# g was in training; h was not.
ONE_UNIT = lpm_released(1, (1,)), lambda: one_unit([0, 10, 20], [1, 1, 0])


def write(path, models, **chosen):
    write_grid(epath.Path(path), COMPENDIUM.vocabulary, models, SCALES, **chosen)
    return anndata.read_h5ad(path)


def closed_form(name):
    model = MODELS[name]()
    return model, lambda: model.fit(COMPENDIUM, everything(COMPENDIUM))


def test_every_value_is_in_its_cell(tmp_path):
    grid = write(tmp_path / 'deep' / 'grid.h5ad', {'one': ONE_UNIT, 'additive': closed_form('additive')})
    assert list(grid.obs_names) == ['a/control', 'a/g', 'a/h', 'b/control', 'b/g', 'b/h']
    assert list(grid.obs['context']) == list('aaabbb')
    assert list(grid.obs['perturbation']) == ['control', 'g', 'h'] * 2
    assert list(grid.var_names) == ['x', 'y']
    nan = np.nan
    np.testing.assert_array_equal(grid.layers['one'], [[2, 1], [12, 11], [nan, nan], [3, 2], [13, 12], [nan, nan]])
    # As measured; h is not in context b, nor y of h in a.
    np.testing.assert_allclose(grid.layers['additive'], [[1, 2], [2, 4], [1, nan], [10, 20], [14, 28], [nan, nan]])
    assert all(layer.dtype == np.float32 for layer in grid.layers.values())


def test_what_the_file_says_of_itself(tmp_path):
    grid = write(tmp_path / 'grid.h5ad', {'one': ONE_UNIT})
    assert list(grid.uns['models']) == ['one']
    assert grid.uns['scale'] == SCALES
    assert grid.uns['unit'] == {'screen': 'ln(1 + counts per 10,000)'}
    assert all(grid.obs[axis].dtype == 'category' for axis in ('context', 'perturbation'))
    backed = anndata.read_h5ad(tmp_path / 'grid.h5ad', backed='r')
    assert backed.shape == (6, 2)
    backed.file.close()
    assert [path.name for path in tmp_path.iterdir()] == ['grid.h5ad']


def test_x_is_the_last_model_without_a_gap(tmp_path):
    models = {'mean': closed_form('mean'), 'context_mean': closed_form('context_mean'), 'one': ONE_UNIT}
    grid = write(tmp_path / 'grid.h5ad', models)
    assert np.isnan(grid.layers['one']).any()
    whole = [name for name in models if not np.isnan(grid.layers[name]).any()]
    assert grid.uns['X_layer'] == whole[-1]
    np.testing.assert_array_equal(grid.X, grid.layers[whole[-1]])
    with h5py.File(tmp_path / 'grid.h5ad') as file:
        assert file['X'] == file['layers'][whole[-1]]  # one and the same in the file
    assert write(tmp_path / 'gaps.h5ad', {'one': ONE_UNIT}).uns['X_layer'] == 'one'
    centred = grid.X - grid.X.mean(axis=0)
    assert np.isfinite(np.linalg.svd(centred)[1]).all()  # what a PCA needs


def test_a_part_of_the_grid(tmp_path):
    chosen = {'contexts': ['b'], 'perturbations': ['h+g', 'g', 'g+h'], 'readouts': ['y']}
    grid = write(tmp_path / 'grid.h5ad', {'mean': closed_form('mean'), 'additive': closed_form('additive')}, **chosen)
    assert list(grid.obs_names) == ['b/g+h', 'b/g']
    np.testing.assert_allclose(grid.layers['additive'], [[np.nan], [28]])
    np.testing.assert_allclose(grid.layers['mean'], np.full((2, 1), np.nanmean([4, 5, 28])))


def test_an_ensemble_has_its_spread(tmp_path):
    members = [one_unit([0, 10, 20]), one_unit([0, 16, 20])]
    weights = jax.tree.map(lambda *each: np.concatenate(each), *(member.weights for member in members))
    ensemble = lpm_released(1, (1,)), lambda: members[0]._replace(weights=weights)
    grid = write(tmp_path / 'grid.h5ad', {'one': ensemble})
    assert sorted(grid.layers) == ['one', 'one_spread']
    assert list(grid.uns['models']) == ['one']
    np.testing.assert_allclose(grid.layers['one'][:2], [[2, 1], [15, 14]])
    np.testing.assert_allclose(grid.layers['one_spread'][:2], [[0, 0], [3, 3]], atol=1e-6)
    with pytest.raises(InputError, match="two layers of the grid would be called 'one_spread'"):
        write(tmp_path / 'grid.h5ad', {'one': ensemble, 'one_spread': ONE_UNIT})


def test_many_rows_come_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(full_grid, '_ROWS', 4)
    whole, _ = closed_form('no_change')
    grid = write(tmp_path / 'grid.h5ad', {'no_change': closed_form('no_change')})
    query = Query(np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)[:, None], np.arange(2))
    params = whole.fit(COMPENDIUM, everything(COMPENDIUM))
    np.testing.assert_allclose(grid.layers['no_change'], whole.predict(params, query))
    assert list(grid.obs_names[-2:]) == ['b/g', 'b/h']


def test_no_file_where_writing_fails_midway(tmp_path):
    def fail():
        raise OSError('no checkpoint')

    with pytest.raises(OSError, match='no checkpoint'):
        write(tmp_path / 'grid.h5ad', {'one': ONE_UNIT, 'mean': (MODELS['mean'](), fail)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('chosen', 'message'),
    [
        ({'contexts': ['aa']}, "contexts outside the vocabulary: 'aa'; did you mean 'a'?"),
        ({'perturbations': ['g+k']}, "perturbations outside the vocabulary: 'k'"),
        ({'readouts': ['z']}, "readouts outside the vocabulary: 'z'; known are 'x', 'y'"),
    ],
)
def test_unknown_names_are_told(tmp_path, chosen, message):
    with pytest.raises(InputError) as raised:
        write(tmp_path / 'new' / 'grid.h5ad', {'one': ONE_UNIT}, **chosen)
    assert message in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_told_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, 'disk_usage', lambda folder: SimpleNamespace(free=300))
    with pytest.raises(InputError) as raised:
        write(tmp_path / 'grid.h5ad', {'one': ONE_UNIT})
    assert 'grid.h5ad: the layers of 2 contexts x 3 perturbations x 2 readouts take 0.0 GB, and ' in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_values_lie_in_chunks(tmp_path):
    write(tmp_path / 'grid.h5ad', {'one': ONE_UNIT})
    with h5py.File(tmp_path / 'grid.h5ad') as file:
        assert file['layers/one'].chunks == (6, 2)
