"""Another screen as a source of features: what its perturbations, contexts and readouts did there."""

import anndata
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from screens_for_tests import everything, measurements, query

from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.models.embedding import embedding
from perturbjax.models.feature_sources.matching import matched_rows
from perturbjax.models.feature_sources.vectors import read_vectors, vectors_of
from perturbjax.models.features import feature_reader
from perturbjax.screens import store
from perturbjax.screens.screen import assemble

DRUGS, LINES = [f'drug{i}' for i in range(30)], [f'line{i}' for i in range(6)]


@pytest.fixture(scope='module')
def responses():
    """Drugs x lines, one value missing."""
    values = np.random.default_rng(0).normal(size=(30, 6)) + 3
    values[2, 3] = np.nan
    return values


@pytest.fixture(scope='module')
def file(responses, tmp_path_factory):
    """As GDSC's tables are: names are indices alone."""
    path = tmp_path_factory.mktemp('screen') / 'other.h5ad'
    anndata.AnnData(responses, pd.DataFrame(index=DRUGS), pd.DataFrame(index=LINES)).write_h5ad(path)
    return str(path)


def distances(vectors):
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)


def filled(responses):
    """What is missing, by its line's mean and by what its drug does beside the other lines' means."""
    left = responses - np.nanmean(responses, axis=0)
    return np.where(np.isnan(left), np.nanmean(left, axis=1, keepdims=True), left)


def test_the_distances_of_perturbations_are_those_of_their_profiles(file, responses):
    found = vectors_of(read_vectors(f'screen:{file}'), DRUGS, 'x')
    expected = distances(filled(responses))
    assert_allclose(distances(found) / distances(found).max(), expected / expected.max(), rtol=1e-6)


def test_contexts_are_the_same_table_turned(file, responses):
    found = vectors_of(read_vectors(f'screen:{file}', 'context'), LINES, 'x')
    left = responses.T - np.nanmean(responses.T, axis=0)
    expected = distances(np.where(np.isnan(left), np.nanmean(left, axis=1, keepdims=True), left))
    assert_allclose(distances(found) / distances(found).max(), expected / expected.max(), rtol=1e-6)


def test_tables_are_read_as_h5ad_files_are(file, responses, tmp_path):
    expected = vectors_of(read_vectors(f'screen:{file}'), DRUGS, 'x')
    for name, separator in (('t.csv', ','), ('t.tsv', '\t')):
        pd.DataFrame(responses, DRUGS, LINES).to_csv(tmp_path / name, sep=separator)
        found = vectors_of(read_vectors(f'screen:{tmp_path / name}'), DRUGS, 'x')
        assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope='module')
def expression():
    """Two contexts, three readouts; control and a combination among the profiles."""
    rng = np.random.default_rng(3)
    names = ['control', 'CRISPRi_A', 'CRISPRi_B', 'CRISPRi_C', 'CRISPRi_A+CRISPRi_B']
    return measurements([(c, name, rng.normal(size=3)) for c in 'ab' for name in names], ['r', 's', 't'])


@pytest.mark.parametrize('form', ['h5ad', 'prepared'])
def test_profiles_in_columns_or_prepared_give_the_single_perturbations(expression, tmp_path, form):
    path = tmp_path / 'other.h5ad'
    if form == 'prepared':
        path = tmp_path / 'prepared'
        store.write(assemble([expression], ['log1p']), path, {}, [])
    else:
        obs = pd.DataFrame({'perturbation': expression.perturbation, 'cell_line': expression.context}).astype(str)
        obs.index = obs.index.astype(str)
        anndata.AnnData(expression.values, obs, pd.DataFrame(index=expression.readout.astype(str))).write_h5ad(path)
    vectors = read_vectors(f'screen:{path}')
    assert vectors.names == ['CRISPRi_A', 'CRISPRi_B', 'CRISPRi_C']
    profiles = expression.values.reshape(2, 5, 3)[:, 1:4].transpose(1, 0, 2).reshape(3, 6)
    found = vectors_of(vectors, ['C', 'A', 'B', 'D'], 'x')
    assert np.isnan(found[3]).all()
    expected = distances(profiles[[2, 0, 1]])
    assert_allclose(distances(found[:3]) / distances(found[:3]).max(), expected / expected.max(), rtol=1e-5)


def test_readouts_are_placed_by_all_their_values(expression, tmp_path):
    store.write(assemble([expression], ['log1p']), tmp_path / 'prepared', {}, [])
    found = np.asarray(
        embedding(f'screen:{tmp_path / "prepared"}', axis='readout')(('t', 'r', 's'), 9, jnp.dtype('float32'))
    )
    expected = distances(expression.values.T[[2, 0, 1]])
    assert_allclose(distances(found) / distances(found).max(), expected / expected.max(), rtol=1e-5)


def test_names_are_matched_by_what_they_look_like_but_no_name_is_taken_twice():
    known = ['A', 'a', 'MCF7', 'TT', 'vorinostat']
    asked = ['A', 'mcf-7', 'TT', 'T-T', 'Compound_Vorinostat-3uM', 'Compound_vorinostat', 'Vorinostat-24h', 'CRISPRi_a']
    assert_array_equal(matched_rows(asked, known), [0, 2, 3, -1, 4, 4, -1, 1])
    assert_array_equal(matched_rows(['b', 'Ä'], ['B', 'b-b', 'ä', 'B']), [-1, 2])  # two are B
    assert_array_equal(matched_rows(['b'], []), [-1])


def run_of(effects):
    """A screen of the drugs in one context, and control."""
    rows = [('x', 'control', np.zeros(4)), *(('x', f'Compound_{d.upper()}', e) for d, e in zip(DRUGS, effects))]
    return assemble([measurements(rows, ['p', 'q', 'r', 's'])], ['log1p'])


def test_every_model_that_takes_an_embedding_takes_a_screen(file, responses):
    """Effects are linear in the other screen's profiles, so that its axes carry over to the drug left out."""
    compendium = run_of(filled(responses) @ np.random.default_rng(2).normal(size=(6, 4)))
    training = tuple(mask.at[-1].set(False) for mask in everything(compendium))
    asked = query(compendium, [('x', f'Compound_{DRUGS[-1].upper()}')], ['p', 'q', 'r', 's'])
    source = f'screen:{file}'
    models = make_models(
        {
            'kernel': {'embedding': source},
            'nearest': {'embedding': source},
            'linear': {'perturbation_embedding': source, 'readout_embedding': 'identity', 'ridge': 0.01},
        }
    )
    truth = compendium.screens[0].values[-1]
    error = {
        name: np.linalg.norm(np.asarray(model.predict(model.fit(compendium, training), asked))[0] - truth)
        for name, model in models.items()
        if name in ('kernel', 'nearest', 'linear')
    }
    assert np.isfinite(list(error.values())).all()
    assert error['linear'] < 0.5 * np.linalg.norm(truth)


def test_features_of_drugs_that_the_other_screen_lacks_are_told(file, caplog):
    rows = [('x', 'control', [0.0]), *(('x', name, [1.0]) for name in ('drug1', 'drug2', 'new'))]
    compendium = assemble([measurements(rows, ['p'])], ['log1p'])
    constants = feature_reader({'perturbation': f'screen:{file}'})(compendium, (np.ones(4, bool),))
    assert "features: 1 of 4 perturbations have none ('new')" in caplog.text
    assert_array_equal(constants['has_features']['perturbation'], [False, True, True, False])


@pytest.mark.parametrize(
    ('names', 'table', 'told'),
    [
        (['x', 'y'], [[1, 2], [3, 4]], r"none of its names \('x', 'y'\) is one of the screen"),
        (['drug0', 'y'], [[1, 2], [3, 4]], r"all that it has of the screen is alike \('drug0'\)"),
        (['drug0', 'drug1'], [[1, 2], [1, 2]], r"all that it has of the screen is alike \('drug0', 'drug1'\)"),
    ],
    ids=['other names', 'one name', 'constant'],
)
def test_a_screen_that_says_nothing_is_told(tmp_path, names, table, told):
    pd.DataFrame(table, names, ['l', 'm'], dtype=float).to_csv(tmp_path / 't.csv')
    source = f'screen:{tmp_path / "t.csv"}'
    with pytest.raises(InputError, match=told):
        vectors_of(read_vectors(source), DRUGS, source)


def test_drugs_that_are_alike_in_one_release_of_gdsc_are_alike_in_the_other(shared):
    files = [f'screen:{shared / "drug_response" / name}_auc.h5ad' for name in ('gdsc1', 'gdsc2')]
    first, second = (read_vectors(file) for file in files)
    found = [vectors_of(first, second.names, files[0]), vectors_of(second, second.names, files[1])]
    both = ~np.isnan(found[0]).any(axis=1)
    assert both.sum() == 123
    apart = [distances(each[both])[np.triu_indices(123, 1)] for each in found]
    assert np.corrcoef(apart)[0, 1] > 0.5


@pytest.mark.parametrize('source', ['screen:no_such.h5ad', 'screen:no_such', 'screen:no_such.csv', 'screen:'])
def test_a_screen_that_is_not_there_is_told(source):
    with pytest.raises(InputError, match='no_such|screen:'):
        make_models({'kernel': {'embedding': source}})
