import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models_for_tests import one_unit
from screens_for_tests import everything, query_of, two_contexts

from perturbjax.models import MODELS, Query
from perturbjax.models.lpm import lpm_released
from perturbjax.models.model import Fitted
from perturbjax.prediction.stream import Predictor, _tiling, predict_profiles, stream

CONTEXTS, PERTURBATIONS = 3, 50
ONE_UNIT = lpm_released(1, (1,))


def small_lpm(readouts, members=(0,)):
    """An LPM of random weights, or an ensemble; the last perturbation had no training profile."""
    model = lpm_released(4, (8, 8))
    trained = np.ones(PERTURBATIONS, int)
    trained[-1] = 0
    sizes = {'context_counts': np.ones(CONTEXTS, int), 'readout_counts': np.ones(readouts, int)}
    constants = sizes | {'perturbation_counts': trained}
    weights = [model.learner.init(jax.random.key(i), constants)[0] for i in members]
    return model, Fitted(jax.tree.map(lambda *each: jnp.stack(each), *weights), {}, constants)


def predictor(model, params, name='predict'):
    return Predictor(getattr(model, name), params, model.tile_values)


def grid_ids(rows):
    return rows // PERTURBATIONS, rows[:, None] % PERTURBATIONS


@pytest.mark.parametrize('devices', [1, 3])
@pytest.mark.parametrize('profiles', [1, 5, 150])
def test_a_stream_equals_one_call(devices, profiles):
    model, params = small_lpm(900)
    panel = np.arange(899, -1, -1)
    parts = list(stream(predictor(model, params), grid_ids, profiles, panel, jax.devices()[:devices]))
    assert [where.start for where, _ in parts[1:]] == [where.stop for where, _ in parts[:-1]]
    values = np.concatenate([each for _, each in parts])
    expected = model.predict(params, Query(*grid_ids(np.arange(profiles)), panel))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(np.isnan(values).all(axis=1), np.arange(profiles) % PERTURBATIONS == 49)


def test_a_long_stream_has_many_parts():
    """Of a model whose answers are known: max(0, context + perturbation + readout)."""
    asked = []

    def ids(rows):
        asked.append(len(rows))
        return rows % 2, rows[:, None] % 3

    parts = list(stream(predictor(ONE_UNIT, one_unit([0, 10, 20])), ids, 40_001, np.array([1, 0]), jax.devices()[:2]))
    values = np.concatenate([each for _, each in parts])
    assert len(parts) > 4
    assert len(set(asked)) == 1
    rows = np.arange(40_001)
    np.testing.assert_array_equal(values[:, 0], 1 + rows % 2 + 10 * (rows % 3))
    np.testing.assert_array_equal(values[:, 1], values[:, 0] + 1)


@pytest.mark.parametrize('name', ['predict', 'spread'])
def test_ensembles(name):
    model, ensemble = small_lpm(7, members=(0, 1, 2))
    query = Query(*grid_ids(np.arange(150)), np.arange(7))
    members = [model.predict(small_lpm(7, members=(i,))[1], query) for i in range(3)]
    expected = np.mean(members, axis=0) if name == 'predict' else np.std(members, axis=0)
    np.testing.assert_allclose(
        predict_profiles(predictor(model, ensemble, name), query), expected, rtol=1e-4, atol=1e-5
    )


LEARNED = {'lpm', 'lpm_released', 'gears', 'cpa', 'scgpt'}


@pytest.mark.parametrize('name', sorted(set(MODELS) - LEARNED - {'linear_transfer'}))
def test_closed_form_models(name, tmp_path):
    compendium = two_contexts()
    (tmp_path / 'vectors.csv').write_text('control,g,h\n0,1,2\n1,3,-1\n')
    settings = {'nearest': 'identity', 'kernel': 'identity', 'decoded': str(tmp_path / 'vectors.csv')}
    settings = {'embedding': settings[name]} if name in settings else {}
    if name == 'linear_contexts':
        settings = {'context_embedding': 'identity'}
    model, query = MODELS[name](**settings), query_of(compendium.screens[0])
    params = model.fit(compendium, everything(compendium))
    np.testing.assert_allclose(
        predict_profiles(predictor(model, params), query), model.predict(params, query), rtol=1e-5
    )


def test_splits_of_about_one_size_share_a_compilation():
    traced = []

    def predict(params, query):
        traced.append(query.context.shape)
        return params + query.context[:, None] + query.readout[None, :]

    for profiles in (0, 130, 150, 200, 256):
        query = Query(np.arange(profiles), np.zeros((profiles, 1), int), np.array([0, 100]))
        values = predict_profiles(Predictor(predict, np.float32(0.5), (2**18, 2**18)), query)
        np.testing.assert_array_equal(values, 0.5 + np.arange(profiles)[:, None] + np.array([[0, 100]]))
    assert len(traced) == 1


@given(st.integers(1, 10**6), st.integers(1, 10**5), st.integers(1, 9), st.sampled_from([2**13, 2**18]))
@settings(max_examples=200)
def test_tiles_hold_what_they_may_and_no_more(profiles, readouts, devices, values):
    tiles, tile = _tiling(profiles, readouts, devices, values)
    assert tiles in (1, 2, 4, 8, 16)
    assert tile == 1 or tile * readouts <= values
    assert tile <= 256
    # Less than half of a call is padding, but for one that gives every device a profile.
    assert tiles * tile == 1 or (tiles * tile // 2) * devices < profiles
