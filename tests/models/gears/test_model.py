"""GEARS end to end on simulated cells whose unseen perturbations the graph tells."""

import dataclasses
import json

import anndata
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
from perturbjax.models.cells import make_keys
from perturbjax.models.gears.cells import strongest_readouts
from perturbjax.models.paired_cells import choose_cells, nodes_of, pair_cells
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium

GENES, MODULES, EACH = 24, 4, 5
FIELDS = {'context_name': 'k562', 'perturbation': 'condition', 'control': ('ctrl',)}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Cells of 20 perturbations in 4 modules, each of which changes genes of its own; the modules are the terms."""
    folder, rng = tmp_path_factory.mktemp('gears'), np.random.default_rng(0)
    names = [f'p{i:02d}' for i in range(MODULES * EACH)]
    level = rng.uniform(0.5, 2, GENES)
    effects = np.kron(np.eye(MODULES), np.ones(GENES // MODULES)) * rng.choice([-0.5, 1.0], GENES)
    conditions = ['ctrl'] * 120 + [name for name in names for _ in range(12)] + ['outsider'] * 12
    values = np.stack(
        [level + (effects[int(name[1:]) // EACH] if name in names else 0) for name in conditions]
    ) + rng.normal(0, 0.1, (len(conditions), GENES))
    var = pd.DataFrame(index=[f'g{i}' for i in range(GENES)])
    obs = pd.DataFrame({'condition': conditions}, index=[f'c{i}' for i in range(len(conditions))])
    anndata.AnnData(scipy.sparse.csr_matrix(np.maximum(values, 0).astype(np.float32)), obs, var).write_h5ad(
        folder / 'cells.h5ad'
    )
    terms = [(name, f'module{i // EACH}') for i, name in enumerate(names)]
    pd.DataFrame(terms, columns=['gene', 'term']).to_csv(folder / 'terms.csv', index=False)
    return folder


def data_of(files, **settings):
    return {'source': 'h5ad', 'path': str(files / 'cells.h5ad'), 'scale': 'log1p', 'fields': FIELDS, **settings}


def model_of(files, **settings):
    return make_models({'gears': {'graph': str(files / 'terms.csv'), 'width': 8, **settings}})['gears']


def masks_of(compendium, held_out, validation=()):
    names = np.array(compendium.vocabulary.perturbation_names(compendium.screens[0].perturbation))
    tests, validates = np.isin(names, held_out), np.isin(names, validation)
    return (~tests & ~validates,), (validates,), names


@pytest.fixture(scope='module')
def compendium(files):
    return load(data_of(files, keep_cells=True))


def test_kept_cells_have_the_profiles_as_means(compendium):
    (screen,) = compendium.screens
    for row in range(len(screen.context)):
        own = screen.kept.values[screen.kept.of(np.arange(len(screen.context)) == row)].toarray()
        assert len(own) == screen.cells[row]
        np.testing.assert_allclose(own.mean(axis=0), screen.values[row], atol=1e-5)


def test_unseen_perturbations_are_told_by_the_graph_and_training_is_repeatable(files, compendium):
    held_out, validation = ['p04', 'p09', 'p14'], ['p19']
    model = model_of(files, epochs=30, learning_rate=0.01, lr_decay=0.95)
    training, validates, names = masks_of(compendium, held_out, validation)
    params = train_on_cells(model, compendium, training, validates, 3)
    asked = query(
        compendium, [('k562', name) for name in [*held_out, 'control', 'outsider']], compendium.vocabulary.readouts
    )
    found = np.asarray(model.predict(params, asked))
    truth = np.stack([compendium.screens[0].values[list(names).index(name)] for name in held_out])
    perturbed = training[0] & (names != 'control')
    mean = compendium.screens[0].values[perturbed].mean(axis=0)
    error, of_mean = (np.linalg.norm(each - truth, axis=1).mean() for each in (found[:3], mean))
    assert error < 0.4 * of_mean  # it is 0.16 times
    assert np.isfinite(found[3]).all()
    assert np.isnan(found[4]).all()
    again = np.asarray(model.predict(train_on_cells(model, compendium, training, validates, 3), asked))
    np.testing.assert_array_equal(again, found)


def test_held_out_cells_are_never_looked_at(files, compendium):
    """Other values in held-out cells change nothing."""
    (screen,) = compendium.screens
    training, validates, _ = masks_of(compendium, ['p04', 'p09'], ['p19'])
    held_out = ~training[0] & ~validates[0]
    values = screen.kept.values.copy()
    scale = np.where(held_out[screen.kept.profile], 100, 1)
    changed = screen.kept._replace(values=scipy.sparse.csr_matrix(values.multiply(scale[:, None])))
    other = Compendium((dataclasses.replace(screen, kept=changed),), compendium.vocabulary)
    model = model_of(files, epochs=1)
    one, two = (train_on_cells(model, each, training, validates, 0) for each in (compendium, other))
    asked = query(compendium, [('k562', 'p04')], compendium.vocabulary.readouts)
    np.testing.assert_array_equal(model.predict(one, asked), model.predict(two, asked))


def test_each_cell_has_a_control_of_its_own(compendium):
    (screen,) = compendium.screens
    training, validates, _ = masks_of(compendium, ['p04'], ['p19'])
    node = np.arange(len(compendium.vocabulary.perturbations), dtype=np.int32) - 1
    parts = nodes_of(screen, node)
    chosen = choose_cells(screen, parts, training, validates)
    _, cells, places = pair_cells(screen, parts, chosen, make_keys(0).pairs)
    is_control = screen.is_control[cells.condition]
    assert is_control[cells.partner].all()
    np.testing.assert_array_equal(cells.partner[is_control], np.flatnonzero(is_control))
    assert len(np.unique(cells.partner[~is_control])) > 60  # of 120
    assert not np.isin(cells.condition[places.training], np.flatnonzero(~training[0])).any()
    _, again, _ = pair_cells(screen, parts, chosen, make_keys(1).pairs)
    assert (again.partner != cells.partner).mean() > 0.5


def test_strongest_readouts_by_hand():
    """t = difference / sqrt(sum of variance / number): 1 / 0.1, 0 without error, 0.5 / 0.5."""
    control = np.array([[0.0, 1, 0], [0, 1, 1]])
    cells = np.array([[1.0, 5, 0.5], [1.2, 5, 1.5]])
    assert strongest_readouts(cells, control, 2).tolist() == [0, 2]


def test_an_experiment_scores_it_beside_the_rules(files, tmp_path):
    config = ml_collections.ConfigDict(
        {
            'seed': 0,
            'data': data_of(files, keep_cells=True),
            'split': {'name': 'unseen_single', 'seeds': (0,), 'validation': 0.2},
            'models': {'gears': {'graph': str(files / 'terms.csv'), 'width': 8, 'epochs': 1}},
            'evaluation': {'bootstrap_samples': 50},
        }
    )
    results = perturbjax.run(config, str(tmp_path))
    assert {'gears', 'mean', 'no_change'} <= set(results.summary['model'])


@pytest.mark.parametrize(
    ('data', 'sentence'),
    [({}, 'set data.keep_cells = True'), ({'keep_cells': True, 'scale': 'z-score'}, 'on the scale log1p')],
)
def test_data_without_cells_are_refused(files, data, sentence):
    with pytest.raises(InputError, match=sentence):
        model_of(files).check(load(data_of(files, **data)))


def test_a_graph_of_other_genes_is_refused(files, compendium, tmp_path, caplog):
    model_of(files).check(compendium)
    assert (
        "has 20 of 21 perturbations; models.gears neither learns from nor predicts the others: 'outsider'"
        in caplog.text
    )
    path = tmp_path / 'other.csv'
    path.write_text('gene,term\nx,1\n')
    with pytest.raises(InputError, match='none of the 21 perturbations'):
        make_models({'gears': {'graph': str(path)}})['gears'].check(compendium)


def test_wrong_settings_are_refused(files):
    for settings, sentence in (
        ({'graph_on': 'every'}, 'graph_on'),
        ({'epochs': 0}, 'epochs'),
        ({'learning_rate': 0.0}, 'learning_rate'),
    ):
        with pytest.raises(InputError, match=f'models.gears.{sentence}'):
            model_of(files, **settings)


def test_cells_and_harmonised_names_are_refused(files):
    with pytest.raises(InputError, match=r'data\.keep_cells: genes of cells cannot be renamed by data\.harmonise'):
        load(data_of(files, keep_cells=True, harmonise={'genes': 'symbol'}))


def test_strongest_readouts_are_those_of_scanpy(golden):
    numbers = json.loads((golden / 'gears.json').read_text())
    cells, condition = np.array(numbers['cells']), np.array(numbers['cell_condition'])
    for name, theirs in numbers['de20'].items():
        ours = strongest_readouts(cells[condition == name], cells[condition == 'ctrl'])
        assert set(ours.tolist()) == set(theirs)
