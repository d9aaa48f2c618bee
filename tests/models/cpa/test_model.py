"""CPA end to end on simulated counts, whose unseen combinations its embeddings add up."""

import dataclasses

import anndata
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from screens_for_tests import query

import perturbjax
from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.models.cpa.cells import check_counts, label_cells, recovered_counts
from perturbjax.models.cpa.fitting import deal, mixing_of
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium

GENES, NAMES = 24, ('p0', 'p1', 'p2', 'p3')
DOUBLES = [f'{one}+{two}' for i, one in enumerate(NAMES) for two in NAMES[i + 1 :]]
HELD_OUT = ['p0+p1', 'p2+p3']
FIELDS = {'context_name': 'k562', 'perturbation': 'condition', 'control': ('ctrl',)}
SMALL = {'latent': 8, 'width': 24, 'adversary_width': 12, 'batch_size': 128}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Counts of cells: control, four perturbations of six genes each, and their pairs."""
    folder, rng = tmp_path_factory.mktemp('cpa'), np.random.default_rng(0)
    level = rng.uniform(1, 2.5, GENES)
    effects = np.kron(np.eye(4), np.ones(GENES // 4)) * rng.choice([-1.0, 1.0], GENES)
    conditions = ['ctrl'] * 80 + [name for name in [*NAMES, *DOUBLES] for _ in range(40)] + ['outsider'] * 5
    changes = np.stack([sum(effects[i] for i, each in enumerate(NAMES) if each in name) + level for name in conditions])
    counts = rng.poisson(np.exp(changes)).astype(np.float32)
    var = pd.DataFrame(index=[f'g{i}' for i in range(GENES)])
    obs = pd.DataFrame({'condition': conditions}, index=[f'c{i}' for i in range(len(conditions))])
    anndata.AnnData(scipy.sparse.csr_matrix(counts), obs, var).write_h5ad(folder / 'cells.h5ad')
    return folder


def data_of(files, **settings):
    common = {'source': 'h5ad', 'path': str(files / 'cells.h5ad'), 'scale': 'log1p', 'fields': FIELDS}
    return {**common, 'keep_cells': True, 'counts': True, **settings}


def model_of(**settings):
    return make_models({'cpa': {**SMALL, **settings}})['cpa']


def masks_of(compendium, held_out=(*HELD_OUT, 'outsider'), validation=()):
    names = np.array(compendium.vocabulary.perturbation_names(compendium.screens[0].perturbation))
    tests, validates = np.isin(names, held_out), np.isin(names, validation)
    return (~tests & ~validates,), (validates,), names


@pytest.fixture(scope='module')
def compendium(files):
    return load(data_of(files))


def errors_of(compendium, model, params, names):
    """The L2 of the prediction of each held-out pair, and that of control."""
    (screen,) = compendium.screens
    asked = query(compendium, [('k562', name) for name in HELD_OUT], compendium.vocabulary.readouts)
    found = np.asarray(model.predict(params, asked))
    truth, control = (np.stack([screen.values[list(names).index(n)] for n in some]) for some in (HELD_OUT, ['control']))
    return np.linalg.norm(found - truth, axis=1).mean(), np.linalg.norm(control - truth, axis=1).mean()


def test_unseen_combinations_are_told_and_training_is_repeatable(compendium):
    model = model_of(epochs=60, learning_rate=0.01, adversary_rate=0.001)
    training, validates, names = masks_of(compendium, validation=['p1+p2'])
    params = model.train(compendium, training, validates, 3)
    error, of_control = errors_of(compendium, model, params, names)
    print(error, of_control)
    assert error < 0.5 * of_control
    again = model.train(compendium, training, validates, 3)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), params, again))
