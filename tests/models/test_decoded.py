"""The ridge decoder against scikit-learn's golden numbers, and against regressions in numpy."""

import json
import re

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from screens_for_tests import everything, measurements, query, query_of

from perturbjax.errors import InputError
from perturbjax.models import decoded, make_models
from perturbjax.models.condition_table import condition_table, embed
from perturbjax.screens.screen import assemble
from perturbjax.screens.vocabulary import Vocabulary

TOLERANCE = {np.float64: 1e-9, np.float32: 1e-5}
NAMES = ['ctrl', 'g0+ctrl', 'ctrl+g1', 'g1+g0', *(f'g{i}+ctrl' for i in range(2, 12))]
CONDITIONS = ['control', 'g0', 'g1', 'g0+g1', *(f'g{i}' for i in range(2, 12))]


@pytest.fixture
def numbers(golden):
    return json.loads((golden / 'decoder.json').read_text())


def table_file(folder, vectors, names=NAMES):
    path = folder / 'vectors.tsv'
    pd.DataFrame(np.array(vectors), index=pd.Index(names, name='condition')).to_csv(path, sep='\t')
    return str(path)


def golden_screen(numbers, dtype=np.float32):
    rows = [('k', name, profile) for name, profile in zip(CONDITIONS, numbers['profiles'])]
    return assemble([measurements(rows, [f'e{i}' for i in range(20)], dtype=dtype)], ['log1p'])


def training_of(numbers, compendium):
    """The mask of the screen, whose profiles are in another order."""
    trains = {name for name, used in zip(CONDITIONS, numbers['training']) if used}
    names = compendium.vocabulary.perturbation_names(compendium.screens[0].perturbation)
    return (jnp.array([name in trains for name in names]),)


def predicted(model, compendium, training, names):
    params = jax.jit(model.fit)(compendium, training)
    asked = query(compendium, [('k', name) for name in names], compendium.vocabulary.readouts)
    order = [f'e{i}' for i in range(20)]
    answer = pd.DataFrame(np.array(jax.jit(model.predict)(params, asked)), columns=compendium.vocabulary.readouts)
    return answer[order].to_numpy()


@pytest.mark.parametrize('case', ['', '_nearly_constant'])
def test_it_equals_scikit_learn(numbers, dtype, tmp_path, case):
    compendium = golden_screen(numbers, dtype)
    model = decoded(table_file(tmp_path, numbers[f'embedding{case}']), alpha=numbers['alpha'])
    answer = predicted(model, compendium, training_of(numbers, compendium), CONDITIONS)
    assert answer.dtype == dtype
    np.testing.assert_allclose(answer, numbers[f'prediction{case}'], rtol=0, atol=TOLERANCE[dtype])


def test_embeddings_that_hardly_vary_are_told(numbers, tmp_path, caplog):
    decoded(table_file(tmp_path, numbers['embedding']))
    assert not caplog.messages
    decoded(table_file(tmp_path, numbers['embedding_nearly_constant']))
    (sentence,) = caplog.messages
    vectors = np.array(numbers['embedding_nearly_constant'])
    spread = ((vectors - vectors.mean(axis=0)) ** 2).sum()
    assert f'add up to {spread:.3g}, beside a penalty of 1 (models.decoded.alpha)' in sentence


@pytest.mark.parametrize('form', ['dense', 'csr', 'csc', 'large'])
def test_cells_are_averaged_by_condition(numbers, tmp_path, monkeypatch, form):
    """Cells around each golden embedding, in an h5ad file, give what the table gives."""
    if form == 'large':  # stays in the file, and is read in blocks of a few rows
        monkeypatch.setattr('perturbjax.readers.hdf5.AT_ONCE', 0)
        monkeypatch.setattr('perturbjax.readers.hdf5.ENTRIES', 32)
    rng, vectors = np.random.default_rng(0), np.array(numbers['embedding'])
    noise = rng.normal(size=(3, *vectors.shape))
    cells = (vectors + noise - noise.mean(axis=0)).reshape(-1, 6)
    order = rng.permutation(len(cells))
    obs = pd.DataFrame({'condition': NAMES * 3, 'cell_type': 'k', 'gene_name': 'x'}, index=map(str, range(len(cells))))
    path = str(tmp_path / 'cells.h5ad')
    as_stored = {'csr': scipy.sparse.csr_matrix, 'csc': scipy.sparse.csc_matrix}.get(form, np.asarray)
    anndata.AnnData(obs=obs.iloc[order], obsm={'X_model': as_stored(cells[order])}).write_h5ad(path)
    compendium = golden_screen(numbers)
    model = decoded(path, obsm='X_model', preset='gears')
    answer = predicted(model, compendium, training_of(numbers, compendium), CONDITIONS)
    np.testing.assert_allclose(answer, numbers['prediction'], rtol=0, atol=5e-6)


# Hand-worked: two contexts, one readout missing somewhere

ROWS = [
    ('a', 'control', (0.0, 1.0)),
    ('a', 'CRISPRi_g', (2.0, np.nan)),
    ('a', 'CRISPRi_h', (4.0, 3.0)),
    ('b', 'control', (10.0, 10.0)),
    ('b', 'CRISPRi_g', (10.0, 12.0)),
    ('b', 'CRISPRi_g+CRISPRi_h', (9.0, 9.0)),
]


def two_contexts_by_hand():
    return assemble([measurements(ROWS, ['x', 'y'])], ['log1p'])


def answers(path, pairs, alpha=2.0, training=None):
    compendium = two_contexts_by_hand()
    model = decoded(str(path), alpha=alpha)
    params = model.fit(compendium, everything(compendium) if training is None else training)
    return np.array(model.predict(params, query(compendium, pairs, ['x', 'y'])))


def test_each_context_by_hand_and_parts_are_summed(tmp_path):
    """Embeddings 0, 1 and 2 in one dimension; in b, g+h has the sum 3."""
    (tmp_path / 'v.csv').write_text('ctrl,g,h\n0,1,2\n')
    found = answers(tmp_path / 'v.csv', [('a', 'CRISPRi_h'), ('a', 'CRISPRi_g+CRISPRi_h'), ('b', 'CRISPRi_h')])
    # a: e - 1 is -1, 0, 1; x - 2 is -2, 0, 2; y - 2 is -1, 0 (missing), 1. Slopes 4 / (2 + 2) and 2 / (2 + 2).
    # b: the mean of e is 4/3, squares add up to 14/3; x: 10, 10, 9 around 29/3; y: 10, 12, 9 around 31/3.
    e, x, y = np.array([0, 1, 3]) - 4 / 3, np.array([10, 10, 9]), np.array([10, 12, 9])
    slopes = np.array([e @ x, e @ y]) / (14 / 3 + 2)
    expected = [[3, 2.5], [4, 3], np.array([29 / 3, 31 / 3]) + slopes * (2 - 4 / 3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_in_a_table_with_combinations_each_has_its_own_row(tmp_path):
    (tmp_path / 'v.csv').write_text('ctrl,g,h,h+g\n0,1,2,5\n')
    found = answers(tmp_path / 'v.csv', [('b', 'CRISPRi_g+CRISPRi_h')])
    e, x = np.array([0, 1, 5]) - 2, np.array([10, 10, 9])
    np.testing.assert_allclose(found[0, 0], 29 / 3 + e @ x / (14 + 2) * 3, rtol=1e-5)
    (tmp_path / 'v.csv').write_text('ctrl,g,g+g\n0,1,5\n')  # g+h has none: its parts are not summed
    found = answers(tmp_path / 'v.csv', [('b', 'CRISPRi_g+CRISPRi_h'), ('b', 'CRISPRi_g'), ('a', 'CRISPRi_h')])
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True]


def test_without_an_embedding_there_is_no_answer_and_no_training(tmp_path):
    (tmp_path / 'v.csv').write_text('g,h\n1,2\n')
    pairs = [('a', 'control'), ('a', 'CRISPRi_g'), ('a', 'CRISPRi_h')]
    found = answers(tmp_path / 'v.csv', pairs)
    # Control has none; of y only h trains.
    np.testing.assert_allclose(found, [[np.nan] * 2, [2.8, 3], [3.2, 3]], rtol=1e-5)
    no_training = (jnp.asarray([False] * 3 + [True] * 3),)
    assert np.isnan(answers(tmp_path / 'v.csv', pairs, training=no_training)).all()


def test_wide_embeddings_and_two_masks_in_one_vmap(tmp_path, dtype):
    """More dimensions than profiles, far from 0 and of uneven size, against numpy; two masks are two fits."""
    rng = np.random.default_rng(2)
    names, vectors = (
        ['control', *(f'g{i}' for i in range(11))],
        100 + rng.normal(size=(12, 40)) * np.logspace(-2, 1, 40),
    )
    values = rng.normal(size=(12, 5))
    compendium = assemble(
        [measurements([('k', *row) for row in zip(names, values)], list('vwxyz'), dtype=dtype)], ['log1p']
    )
    model = decoded(table_file(tmp_path, vectors, names), alpha=0.5)
    screen = compendium.screens[0]
    place = [names.index(name) for name in compendium.vocabulary.perturbation_names(screen.perturbation)]
    masks = np.arange(12) % np.array([[4], [3]]) > 0
    both = jax.vmap(model.fit, in_axes=(None, 0))(compendium, (jnp.asarray(masks),))
    for i, mask in enumerate(masks):
        e, y = vectors[place], np.asarray(screen.values, float)
        centred = e[mask] - e[mask].mean(axis=0)
        weights = np.linalg.solve(centred.T @ centred + 0.5 * np.eye(40), centred.T @ (y[mask] - y[mask].mean(axis=0)))
        expected = y[mask].mean(axis=0) + (e - e[mask].mean(axis=0)) @ weights
        found = model.predict(jax.tree.map(lambda leaf, i=i: leaf[i], both), query_of(screen))
        np.testing.assert_allclose(found, expected, rtol=0, atol={np.float64: 1e-9, np.float32: 2e-3}[dtype])


# Names, and what is refused


def test_names_are_found_with_and_without_types():
    vocabulary = Vocabulary(('k',), ('control', 'CRISPRa_g', 'CRISPRi_g', 'CRISPRi_h'), ('x',))
    names, vectors = ['g', 'CRISPRi_g', 'h', 'other', 'h+g'], np.arange(5.0)[:, None]
    table = condition_table(names, vectors, vocabulary, 'v.csv', np.dtype(np.float32))
    asked = ['CRISPRa_g', 'CRISPRi_g', 'CRISPRi_h', 'CRISPRa_g+CRISPRi_h', 'CRISPRi_g+CRISPRi_h', 'CRISPRa_g+CRISPRi_g']
    found = embed(table, jnp.asarray(vocabulary.perturbation_ids(asked)))
    np.testing.assert_array_equal(found[:, 0], [0, 1, 2, 4, 4, np.nan])


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('q,r\n1,2\n', r"none of its conditions \('q', 'r'\) is one of the screen \('control', 'CRISPRi_g'"),
        ('g,g+ctrl\n1,2\n', r"the rows 'g' and 'g\+ctrl' are one condition; keep one of them"),
        ('g+h,h+g\n1,2\n', r"the rows 'g\+h' and 'h\+g' are one condition"),
        ('name,x\ng,1\ng,2\n', r"names stand twice: 'g'"),
        ('name,x\ng,1\nh,\n', r"the vectors of 'h' are not complete"),
    ],
)
def test_bad_tables_are_refused_in_a_sentence(tmp_path, text, sentence):
    path = tmp_path / 'v.csv'
    path.write_text(text)
    with pytest.raises(InputError, match=f'^{re.escape(str(path))}: .*{sentence}'):
        answers(path, [('a', 'control')])


@pytest.mark.parametrize(
    ('obsm', 'fields', 'sentence'),
    [
        ('X_uce', {}, r"there is no 'X_uce' in obsm; keys there are 'X_gap', 'X_one', 'X_table'\."),
        ('X_table', {}, r"obsm\['X_table'\] is not an array of numbers, a row for each of 3 cells\."),
        ('X_gap', {}, r"obsm\['X_gap'\]: cells of 'g' have values that are no finite numbers; .* by fields\.where\."),
        ('X_one', {'perturbation': 'gene_id'}, r"models\.mine\.fields\.perturbation: .*'gene_id'"),
        ('X_one', {'perturbations': 'gene'}, r"models\.mine\.fields: no such setting 'perturbations'"),
        ('', {'perturbation': 'gene'}, r'models\.mine\.fields: they name columns of cells, so give obsm'),
    ],
)
def test_bad_cells_are_refused_in_a_sentence(tmp_path, obsm, fields, sentence):
    obs = pd.DataFrame({'gene': ['control', 'g', 'g']}, index=list('123'))
    embedded = {
        'X_one': np.ones((3, 2)),
        'X_gap': np.array([[0, 0], [1, 1], [1, np.nan]]),
        'X_table': pd.DataFrame({'x': [1.0, 2, 3]}, index=obs.index),
    }
    path = tmp_path / 'cells.h5ad'
    anndata.AnnData(obs=obs, obsm=embedded).write_h5ad(path)
    given = {'model': 'decoded', 'embedding': str(path), 'obsm': obsm, 'fields': fields or {'perturbation': 'gene'}}
    with pytest.raises(InputError, match=sentence):
        make_models({'mine': given})


def test_the_penalty_is_positive(tmp_path):
    with pytest.raises(InputError, match=r'models\.decoded\.alpha: 0 must be above 0'):
        decoded(str(tmp_path / 'v.csv'), alpha=0)
