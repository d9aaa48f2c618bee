import numpy as np
import pytest
from screens_for_tests import everything, two_contexts

from perturbjax.analysis.embeddings import read_embeddings
from perturbjax.errors import InputError
from perturbjax.models import no_change
from perturbjax.models.lpm import Fitted
from perturbjax.training import checkpoints


def save(folder, params):
    compendium = two_contexts()
    about = checkpoints.About(compendium.vocabulary, {}, {'seed': 13})
    with checkpoints.open_folder(folder) as manager:
        checkpoints.save(manager, 0, params, about)


def test_every_name_has_its_row_and_narrow_tables_are_filled_with_nan(tmp_path):
    tables = {'context': np.ones((2, 2)), 'perturbation': np.arange(9.0).reshape(3, 3), 'readout': np.zeros((2, 1))}
    counts = np.array([4, 2]), np.array([2, 3, 2]), np.array([6, 5])
    save(tmp_path / 'lpm' / '13', Fitted(tables, *counts))
    found = read_embeddings(tmp_path / 'lpm' / '13')
    assert list(found.obs['name']) == ['a', 'b', 'control', 'g', 'h', 'x', 'y']
    assert list(found.obs['training_profiles']) == [4, 2, 2, 3, 2, 6, 5]
    assert set(found.obs['model']) == {'lpm'}
    assert set(found.obs['split']) == {13}
    np.testing.assert_array_equal(found.X[2:5], tables['perturbation'])
    np.testing.assert_array_equal(found.X[5:], [[0, np.nan, np.nan]] * 2)


def test_a_model_without_embeddings_is_told(tmp_path):
    compendium = two_contexts()
    save(tmp_path / 'mean' / '13', no_change().fit(compendium, everything(compendium)))
    with pytest.raises(InputError, match='this checkpoint has no embedding tables; only LPM has them'):
        read_embeddings(tmp_path / 'mean' / '13')
