"""scGPT end to end on simulated knock-outs, from weights that are random."""

import dataclasses

import anndata
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from models_for_tests import train_on_cells
from screens_for_tests import query

import perturbjax
from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.models.cell_learner import Drawn
from perturbjax.models.cells import SparseRows
from perturbjax.models.paired_cells import PairedCells
from perturbjax.models.scgpt import model as module
from perturbjax.models.scgpt.fitting import Tables, batch_of, flags_of
from perturbjax.models.scgpt.network import Network
from perturbjax.models.scgpt.pretrained import Pretrained
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium
from perturbjax.training import cell_epoch

GENES, PERTURBED = 16, 12
READOUTS = [f'G{i:02d}' for i in range(GENES)]
FIELDS = {'context_name': 'k562', 'perturbation': 'condition', 'control': ('ctrl',)}
# All readouts but the last are in the vocabulary, in another order, with names between them.
VOCABULARY = {name: 2 * i for i, name in enumerate(reversed(READOUTS[:-1]))} | {'<pad>': 1}
SMALL = {'epochs': 30, 'batch_size': 32, 'genes': 14, 'learning_rate': 0.01, 'lr_decay': 0.95}


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    """Cells in which the gene that is knocked out is 0, and all else is as in control."""
    path, rng = tmp_path_factory.mktemp('scgpt') / 'cells.h5ad', np.random.default_rng(0)
    conditions = ['ctrl'] * 64 + [name for name in READOUTS[:PERTURBED] for _ in range(16)] + ['outsider'] * 8
    conditions += ['G00+G01'] * 8
    values = rng.uniform(1, 3, GENES) + rng.normal(0, 0.1, (len(conditions), GENES))
    for row, name in enumerate(conditions):
        values[row, np.isin(READOUTS, name.split('+'))] = 0
    obs = pd.DataFrame({'condition': conditions}, index=[f'c{i}' for i in range(len(conditions))])
    cells = scipy.sparse.csr_matrix(values.astype(np.float32))
    anndata.AnnData(cells, obs, pd.DataFrame(index=READOUTS)).write_h5ad(path)
    return path


@pytest.fixture(scope='module')
def pretrained():
    network = Network(2 * GENES, 1, width=16, heads=2, hidden=16, blocks=2, dropout=0.0)
    ids = jnp.zeros((1, 1), jnp.int32)
    weights = jax.jit(network.init)(jax.random.key(5), ids[0], jnp.zeros((1, 1)), ids)['params']
    return Pretrained(network, {name: weights[name] for name in ('gene', 'gene_norm', 'value', 'encoder')}, VOCABULARY)


@pytest.fixture
def make(monkeypatch, pretrained):
    """Makes the model, as if a folder with these weights were there."""
    monkeypatch.setattr(module, 'read_pretrained', lambda _: pretrained)
    return lambda **settings: make_models({'scgpt': {'weights': 'folder', **SMALL, **settings}})['scgpt']


def data_of(path, **settings):
    return {'source': 'h5ad', 'path': str(path), 'scale': 'log1p', 'fields': FIELDS, **settings}


@pytest.fixture(scope='module')
def compendium(path):
    return load(data_of(path, keep_cells=True))


def masks_of(compendium, held_out, validation=()):
    names = np.array(compendium.vocabulary.perturbation_names(compendium.screens[0].perturbation))
    tests, validates = np.isin(names, held_out), np.isin(names, validation)
    return (~tests & ~validates,), (validates,), names


def test_unseen_knock_outs_are_learnt_by_the_flag(compendium, make):
    held_out = ['G03', 'G07', 'G00+G01']
    training, validates, names = masks_of(compendium, held_out, ['G10'])
    model = make()
    params = train_on_cells(model, compendium, training, validates, 3)
    asked = query(
        compendium, [('k562', name) for name in [*held_out, 'control', 'outsider']], compendium.vocabulary.readouts
    )
    found = np.asarray(model.predict(params, asked))
    values = compendium.screens[0].values
    truth = np.stack([values[list(names).index(name)] for name in held_out])
    mean = values[training[0] & (names != 'control')].mean(axis=0)
    error, of_mean = (np.linalg.norm(each - truth, axis=1).mean() for each in (found[:3], mean))
    assert error < 0.2 * of_mean  # it is 0.07 times
    assert np.isfinite(found[3]).all()
    assert np.isnan(found[4]).all()
    again = np.asarray(model.predict(train_on_cells(model, compendium, training, validates, 3), asked))
    np.testing.assert_array_equal(again, found)


def test_held_out_cells_are_never_looked_at(compendium, make):
    """Other values in held-out cells change nothing."""
    (screen,) = compendium.screens
    training, validates, _ = masks_of(compendium, ['G03', 'G07'], ['G10'])
    held_out = ~training[0] & ~validates[0]
    scale = np.where(held_out[screen.kept.profile], 100, 1)
    changed = screen.kept._replace(values=scipy.sparse.csr_matrix(screen.kept.values.multiply(scale[:, None])))
    other = Compendium((dataclasses.replace(screen, kept=changed),), compendium.vocabulary)
    model = make(epochs=1)
    one, two = (train_on_cells(model, each, training, validates, 0) for each in (compendium, other))
    asked = query(compendium, [('k562', 'G03')], compendium.vocabulary.readouts)
    np.testing.assert_array_equal(model.predict(one, asked), model.predict(two, asked))


def test_without_validation_the_last_epoch_is_kept(compendium, make):
    training, none, _ = masks_of(compendium, ['G03'])
    one, two = (train_on_cells(make(epochs=n, lr_decay=1.0), compendium, training, none, 0)['weights'] for n in (1, 2))
    assert np.abs(one['flag']['table'] - two['flag']['table'])[1].max() > 1e-3
    np.testing.assert_array_equal(two['flag']['table'][2], 0)


def test_the_epoch_with_the_lowest_validation_error_is_kept(compendium, make, monkeypatch):
    """The second of four, after which two were worse in a row; a fifth is not trained."""
    training, validates, _ = masks_of(compendium, ['G03'], ['G10'])

    def trained(errors, epochs):
        left = list(errors)
        monkeypatch.setattr(cell_epoch, '_error', lambda *_: left.pop(0))
        weights = train_on_cells(make(epochs=epochs, patience=2), compendium, training, validates, 0)['weights']
        assert not left
        return weights['factor']['linear_1']['kernel']

    best = trained([3.0, 2.0, 2.5, 2.0], 9)
    np.testing.assert_array_equal(best, trained([3.0, 2.0], 2))
    assert np.abs(best - trained([3.0, 2.0, 1.0], 3)).max() > 1e-3


def test_a_prediction_is_the_mean_over_control_cells(compendium, make):
    training, none, _ = masks_of(compendium, ['G03'])
    model = make(epochs=1)
    params = train_on_cells(model, compendium, training, none, 0)
    names = [compendium.vocabulary.readouts[i] for i in compendium.screens[0].readout]
    cells = params['controls'][0]
    assert cells.shape == (module.NUM_CONTROLS, GENES)
    flags = np.broadcast_to(np.isin(names, ['G00', 'G01']).astype(np.int32), cells.shape)
    network = Network(GENES + 1, GENES, width=16, heads=2, hidden=16, blocks=2)
    expected = network.apply({'params': params['weights']}, params['tokens'], cells, flags).mean(axis=0)
    asked = query(compendium, [('k562', 'G00+G01')], names)
    np.testing.assert_allclose(model.predict(params, asked)[0], expected, atol=2e-6)


def test_a_panel_of_its_own_gives_the_same_states(pretrained):
    """The vectors of three genes, one of which has the token of padding."""
    tokens = pretrained.tokens(['G02', 'G15', 'G00'])
    assert tokens.tolist() == [24, 1, 28]
    own = pretrained.of_panel(tokens)
    wide, narrow = (jnp.asarray(each.weights['gene']['table']) for each in (pretrained, own))
    np.testing.assert_array_equal(narrow, wide[jnp.array([24, 1, 28, 1])])
    assert (own.network.num_tokens, own.network.padding) == (4, 3)


def test_a_batch_by_hand():
    """Cells (1 0 2) and (0 3 0), of which the first is control; the second lacks gene 1, of a panel of three."""
    rows = SparseRows(np.array([[0, 2], [1, 3]]), np.array([[1, 2], [3, 0]], np.float32))
    parts = np.array([[-1, -1], [1, -1]])
    nothing = np.zeros(0, np.int32)
    cells = PairedCells(np.array([0, 0]), np.array([0, 1]), parts, np.ones((2, 3), bool), nothing, nothing)
    tables = Tables(cells, np.array([7, 8, 9], np.int32), {})
    drawn = Drawn(rows, np.array([1, 0]), np.ones(2))
    batch = batch_of(tables, drawn, 3, jax.random.key(0))
    np.testing.assert_array_equal(batch.x, [[1, 0, 2], [1, 0, 2]])
    np.testing.assert_array_equal(batch.y, [[0, 3, 0], [1, 0, 2]])
    np.testing.assert_array_equal(batch.flags, [[0, 1, 0], [0, 0, 0]])
    few = [batch_of(tables, drawn, 2, jax.random.key(seed)) for seed in range(6)]
    assert {tuple(sorted(each.tokens.tolist())) for each in few} == {(7, 8), (7, 9), (8, 9)}
    for each in few:
        np.testing.assert_array_equal(each.y, batch.y[:, each.tokens - 7])
        np.testing.assert_array_equal(each.flags, batch.flags[:, each.tokens - 7])
    np.testing.assert_array_equal(flags_of(np.array([[4, 0]]), np.array([0, 1, 4])), [[1, 0, 1]])


def test_an_experiment_scores_it_beside_the_rules(path, make, tmp_path):
    config = ml_collections.ConfigDict(
        {
            'seed': 0,
            'data': data_of(path, keep_cells=True),
            'split': {'name': 'unseen_single', 'seeds': (0,), 'validation': 0.2},
            'models': {'scgpt': {'weights': 'folder', **SMALL, 'epochs': 1}},
            'evaluation': {'bootstrap_samples': 50},
        }
    )
    results = perturbjax.run(config, str(tmp_path))
    assert {'scgpt', 'mean', 'no_change'} <= set(results.summary['model'])


def test_what_it_lacks_is_told(path, compendium, make, caplog):
    make().check(compendium)
    assert "1 of 13 perturbed genes are no readouts; it neither learns from nor predicts them: 'outs" in caplog.text
    assert "has 15 of 16 genes; the others get the token of padding, as released: 'G15'" in caplog.text
    with pytest.raises(InputError, match='models.scgpt: it learns from cells; set data.keep_cells'):
        make().check(load(data_of(path)))
    training, none, _ = masks_of(compendium, ['G03'])
    with pytest.raises(InputError, match='models.scgpt.batch_size: 1000 is more than the 248 training cells'):
        train_on_cells(make(batch_size=1000), compendium, training, none, 0)


def test_without_weights_it_says_where_they_are():
    with pytest.raises(InputError, match=r"models\.scgpt\.weights: name a folder with 'best_model\.pt', .*whole-human"):
        make_models({'scgpt': {}})


@pytest.mark.parametrize('setting', [{'genes': 0}, {'epochs': 0}, {'patience': 0}, {'learning_rate': 0.0}])
def test_wrong_settings_are_refused(make, setting):
    with pytest.raises(InputError, match=f'models.scgpt.{next(iter(setting))}'):
        make(**setting)
