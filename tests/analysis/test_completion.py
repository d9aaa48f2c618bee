import numpy as np
import pandas as pd
import pytest
from models_for_tests import one_unit, save_model
from screens_for_tests import everything, two_contexts

from perturbjax.analysis.completion import complete, measured_changes, read_model
from perturbjax.errors import InputError
from perturbjax.models import additive, perturbation_mean

COMPENDIUM = two_contexts()


def test_changes_count_from_the_predicted_control(tmp_path):
    model = read_model(save_model(tmp_path / 'lpm' / '13', one_unit([0.5, 2, -0.5])))
    changes = complete(model, 'a')
    pd.testing.assert_frame_equal(changes, pd.DataFrame([[1.5, 1.5], [-1, -1]], ['g', 'h'], ['x', 'y'], np.float32))
    asked = complete(model, 'b', ['h+g', 'control'], ['y'])
    np.testing.assert_allclose(asked, [[0.25], [0]])


def test_without_a_control_changes_count_from_zero_and_untrained_names_have_none(tmp_path):
    model = read_model(save_model(tmp_path / 'lpm' / '13', one_unit([9, 2, 1], counts=(0, 1, 0))))
    np.testing.assert_array_equal(complete(model, 'a'), [[4, 3], [np.nan, np.nan]])


def test_a_copied_checkpoint_is_known_as_the_one_lpm_of_its_config(tmp_path):
    models = {'mean': {}, 'deep': {'model': 'lpm_released', 'embedding_dim': 1, 'hidden_dims': [1]}}
    assert complete(read_model(save_model(tmp_path / 'copied', one_unit([0, 2, 1]), models)), 'a').loc['g', 'x'] == 2


def test_an_unknown_model_is_told(tmp_path):
    with pytest.raises(InputError, match="has the models 'mean', and none is called 'mine'"):
        read_model(save_model(tmp_path / 'mine' / '13', one_unit([0, 2, 1]), {'mean': {}}))


def test_other_models_need_their_compendium_and_count_from_the_measured_control(tmp_path):
    params = additive().fit(COMPENDIUM, everything(COMPENDIUM))
    folder = save_model(tmp_path / 'additive' / '13', params, {'additive': {}})
    with pytest.raises(
        InputError, match='only a learned model can be read from a checkpoint alone; give the compendium'
    ):
        read_model(folder)
    changes = complete(read_model(folder, COMPENDIUM), 'a', ['g', 'h', 'g+h'])
    np.testing.assert_allclose(changes, [[1, 2], [0, np.nan], [1, np.nan]])


def test_the_model_of_a_folder_predicts_what_it_did_before(tmp_path):
    params = perturbation_mean().fit(COMPENDIUM, everything(COMPENDIUM))
    model = read_model(save_model(tmp_path / 'perturbation_mean' / '1', params, {'perturbation_mean': {}}), COMPENDIUM)
    np.testing.assert_allclose(complete(model, 'b', ['g', 'h']), [[1, 2], [0, np.nan]])


def test_an_unknown_context_is_told(tmp_path):
    model = read_model(save_model(tmp_path / 'lpm' / '13', one_unit([0, 2, 1])))
    with pytest.raises(InputError, match="contexts outside the vocabulary: 'A'; did you mean|known are"):
        complete(model, 'A')


def test_measured_changes_are_those_of_single_perturbations_in_training():
    expected = pd.DataFrame([[1, 2], [0, np.nan]], ['g', 'h'], ['x', 'y'], np.float32)
    pd.testing.assert_frame_equal(measured_changes(COMPENDIUM, 'a'), expected)
    mask = (np.array([True, True, False, True, True, False]),)
    assert list(measured_changes(COMPENDIUM, 'a', mask).index) == ['g']
    assert measured_changes(COMPENDIUM, 'b', mask).empty
