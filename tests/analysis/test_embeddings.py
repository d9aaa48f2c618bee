import json
import shutil

import anndata
import numpy as np
import pytest
from screens_for_tests import everything, two_contexts

from perturbjax.analysis.embeddings import axis_table, has_tables, read_embeddings
from perturbjax.analysis.vectors import genes
from perturbjax.errors import InputError
from perturbjax.models import additive, no_change
from perturbjax.models.model import Fitted
from perturbjax.screens.vocabulary import Vocabulary
from perturbjax.training import checkpoints

COUNTS = {
    'context_counts': np.array([4, 2]),
    'perturbation_counts': np.array([2, 3, 0]),
    'readout_counts': np.array([6, 5]),
}


def save(folder, params, seed=13):
    compendium = two_contexts()
    about = checkpoints.About(compendium.vocabulary, {}, {'seed': seed})
    with checkpoints.open_folder(folder) as manager:
        checkpoints.save(manager, 0, params, about)
    return folder


def fitted(scale=1.0):
    """Contexts a and b, perturbations control, g and h, readouts x and y; h was not trained."""
    tables = {'context': np.ones((2, 2)), 'perturbation': np.arange(9.0).reshape(3, 3), 'readout': np.zeros((2, 1))}
    return Fitted({axis: scale * each[None] for axis, each in tables.items()}, {}, COUNTS)


@pytest.fixture
def lpm(tmp_path):
    return save(tmp_path / 'lpm' / '13', fitted())


def test_every_name_has_its_row_and_narrow_tables_are_filled_with_nan(lpm):
    found = read_embeddings(lpm)
    assert list(found.obs['name']) == ['a', 'b', 'control', 'g', 'h', 'x', 'y']
    assert list(found.obs['target']) == ['a', 'b', 'control', 'g', 'h', 'x', 'y']
    assert list(found.obs['training_profiles']) == [4, 2, 2, 3, 0, 6, 5]
    assert set(found.obs['model']) == {'lpm'}
    assert set(found.obs['split']) == {13}
    np.testing.assert_array_equal(found.X[2:5], fitted().weights['perturbation'][0])
    np.testing.assert_array_equal(found.X[5:], [[0, np.nan, np.nan]] * 2)


def test_several_checkpoints_stand_one_below_the_other(lpm, tmp_path):
    other = save(tmp_path / 'lpm' / '14', fitted(2.0), seed=14)
    found = read_embeddings([lpm, str(other)])
    assert list(found.obs['split']) == [13] * 7 + [14] * 7
    assert found.obs_names.is_unique
    np.testing.assert_array_equal(found.X[7:], read_embeddings(other).X)


def test_one_axis_has_its_own_width_and_trained_names_only(lpm):
    found = axis_table(read_embeddings(lpm), 'perturbation')
    assert list(found.obs['name']) == ['control', 'g']
    assert axis_table(read_embeddings(lpm), 'readout').shape == (2, 1)
    assert list(axis_table(read_embeddings(lpm), untrained=True).obs['name']) == ['control', 'g', 'h']


def test_they_come_back_from_a_file(lpm, tmp_path):
    read_embeddings(lpm).write_h5ad(tmp_path / 'embeddings.h5ad')
    found = axis_table(anndata.read_h5ad(tmp_path / 'embeddings.h5ad'), 'readout')
    assert list(genes(found).names) == ['x', 'y']


def test_types_and_targets_come_from_the_names(tmp_path):
    vocabulary = Vocabulary(('a',), ('control', 'CRISPRi_STAT1', 'Compound_x_y-10uM'), ('x',))
    rows = {'context': 1, 'perturbation': 3, 'readout': 1}
    tables = {axis: np.ones((1, size, 2)) for axis, size in rows.items()}
    params = Fitted(tables, {}, {f'{axis}_counts': np.ones(size, int) for axis, size in rows.items()})
    with checkpoints.open_folder(tmp_path / 'lpm' / '1') as manager:
        checkpoints.save(manager, 0, params, checkpoints.About(vocabulary, {}, {'seed': 1}))
    obs = axis_table(read_embeddings(tmp_path / 'lpm' / '1')).obs
    assert obs[['type', 'target']].values.tolist() == [['', 'control'], ['CRISPRi', 'STAT1'], ['Compound', 'x_y-10uM']]


def test_a_relative_folder_will_do(lpm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_embeddings('lpm/13').shape == (7, 3)


def test_an_unknown_axis_is_told(lpm):
    with pytest.raises(InputError, match=r"there is no axis 'perturbations'; did you mean 'perturbation'"):
        axis_table(read_embeddings(lpm), 'perturbations')
    bare = read_embeddings(lpm)
    del bare.obs['axis']
    with pytest.raises(InputError, match=r"obs has no column 'axis'; take them from read_embeddings"):
        axis_table(bare)


@pytest.mark.parametrize('model', [no_change(), additive()])
def test_a_model_without_embeddings_is_told(tmp_path, model):
    compendium = two_contexts()
    folder = save(tmp_path / 'mean' / '13', model.fit(compendium, everything(compendium)))
    with pytest.raises(InputError, match='13: this model has no embedding tables; only checkpoints of LPM have them'):
        read_embeddings(folder)


def test_another_network_has_no_embeddings_and_is_told(tmp_path):
    params = Fitted({'Dense_0': {'kernel': np.ones((1, 2, 3))}}, {}, COUNTS)
    folder = save(tmp_path / 'mlp' / '13', params)
    assert not has_tables(folder)
    with pytest.raises(InputError, match='13: this model has no embedding tables; only checkpoints of LPM have them'):
        read_embeddings(folder)


def remove_vocabulary(step):
    shutil.rmtree(step / 'vocabulary')


def cut_short(step):
    for file in (step / 'params').rglob('_METADATA'):
        file.write_bytes(file.read_bytes()[:50])


def not_finished(step):
    step.rename(step.parent / '0.orbax-checkpoint-tmp')


def of_another_screen(step):
    (file,) = (step / 'vocabulary').glob('metadata*')
    names = json.loads(file.read_text())
    file.write_text(json.dumps(names | {'contexts': ['a']}))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (remove_vocabulary, '13: checkpoint 0 is damaged '),
        (cut_short, '13: checkpoint 0 is damaged '),
        (not_finished, '13: it holds no finished checkpoint'),
        (of_another_screen, '13: checkpoint 0 is damaged '),
    ],
)
def test_a_damaged_checkpoint_is_told_in_one_sentence(lpm, damage, message):
    damage(lpm / '0')
    with pytest.raises(InputError, match=message) as told:
        read_embeddings(lpm)
    assert '\n' not in str(told.value)


def test_no_checkpoint_is_told(tmp_path):
    with pytest.raises(InputError, match='nowhere: no checkpoint is there'):
        read_embeddings(tmp_path / 'nowhere')
    with pytest.raises(InputError, match='no checkpoint is named'):
        read_embeddings([])


def test_only_what_is_named_is_read(lpm):
    params = fitted()
    params.weights['kernel_0'] = np.zeros((1, 7, 1000))
    named = {'weights': {'context': np.zeros(0), 'not there': np.zeros(0)}}
    found = checkpoints.read(save(lpm.parent / '14', params), named, part=True)
    assert list(found.params) == ['weights']
    assert list(found.params['weights']) == ['context']
    np.testing.assert_array_equal(found.params['weights']['context'], params.weights['context'])


def test_a_checkpoint_of_a_newer_format_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, 'FORMAT', 5)
    folder = save(tmp_path / 'lpm' / '13', fitted())
    monkeypatch.undo()
    with pytest.raises(InputError, match='the checkpoint has format 5, and this version of perturbjax reads up to 4'):
        read_embeddings(folder)
