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
from models_for_tests import train_on_cells
from screens_for_tests import query

import perturbjax
from perturbjax.errors import InputError
from perturbjax.models import make_models
from perturbjax.models.cells import deal
from perturbjax.models.cpa.cells import check_counts, label_cells, recovered_counts
from perturbjax.models.cpa.fitting import mixing_of
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium
from perturbjax.training import cell_epoch

GENES, NAMES = 24, ('p0', 'p1', 'p2', 'p3', 'p4', 'p5')
DOUBLES = [f'{one}+{two}' for i, one in enumerate(NAMES) for two in NAMES[i + 1 :]]
HELD_OUT = ['p0+p1', 'p2+p3', 'p4+p5']
TRAINED = [name for name in DOUBLES if name not in HELD_OUT]
FIELDS = {'context_name': 'k562', 'perturbation': 'condition', 'control': ('ctrl',)}
# Sizes, rates and a penalty at which few cells and epochs are enough.
SMALL = {
    'latent': 8,
    'width': 24,
    'adversary_width': 12,
    'adversary_dropout': 0.0,
    'batch_size': 128,
    'learning_rate': 0.003,
    'adversary_rate': 0.01,
    'penalty': 1.0,
    'pretraining': 2,
    'warmup': 10,
    'epochs': 100,
}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Counts of cells: control, six perturbations of four genes each, and their pairs."""
    folder, rng = tmp_path_factory.mktemp('cpa'), np.random.default_rng(0)
    level = rng.uniform(1, 2.5, GENES)
    effects = np.kron(np.eye(len(NAMES)), np.ones(GENES // len(NAMES))) * rng.choice([-1.0, 1.0], GENES)
    conditions = ['ctrl'] * 80 + [name for name in [*NAMES, *DOUBLES] for _ in range(30)] + ['outsider'] * 5
    changes = np.stack([sum(effects[i] for i, each in enumerate(NAMES) if each in name) + level for name in conditions])
    counts = rng.poisson(np.exp(changes)).astype(np.float32)
    var = pd.DataFrame(index=[f'g{i}' for i in range(GENES)])
    line = ['a', 'b'] * (len(conditions) // 2) + ['a'] * (len(conditions) % 2)
    obs = pd.DataFrame({'condition': conditions, 'line': line}, index=[f'c{i}' for i in range(len(conditions))])
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


def predicted(compendium, model, params, names):
    asked = query(compendium, [('k562', name) for name in names], compendium.vocabulary.readouts)
    return np.asarray(model.predict(params, asked))


def test_unseen_combinations_are_told_and_training_is_repeatable(compendium):
    """The pairs that are held out are nearer than control, and than the mean of all perturbations."""
    model, changes = (model_of(profile=profile) for profile in ('released', 'change'))
    training, validates, names = masks_of(compendium)
    params = train_on_cells(model, compendium, training, validates, 0)
    values = dict(zip(names, compendium.screens[0].values, strict=True))
    truth, mean = np.stack([values[name] for name in HELD_OUT]), np.mean([values[n] for n in (*NAMES, *TRAINED)], 0)

    def error(answer):
        return np.linalg.norm(answer - truth, axis=1).mean()

    found, changed = (predicted(compendium, each, params, HELD_OUT) for each in (model, changes))
    assert error(found) < 0.65 * error(values['control'])  # it is 0.55 times
    assert error(found) < 0.8 * error(mean)
    assert error(changed) < 0.65 * error(values['control'])
    control = predicted(compendium, changes, params, ['control'])[0]
    np.testing.assert_allclose(control, values['control'], atol=1e-5)
    again = train_on_cells(model, compendium, training, validates, 0)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), params, again))


def test_a_part_without_training_cells_has_a_random_embedding_or_no_answer(compendium):
    training, validates, _ = masks_of(compendium)
    found = []
    for untrained in ('released', 'none'):
        model = model_of(epochs=1, untrained=untrained)
        params = train_on_cells(model, compendium, training, validates, 0)
        found.append(predicted(compendium, model, params, ['outsider', 'p0+outsider', 'p0', 'control']))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1][:2]).all()
    np.testing.assert_array_equal(found[1][2:], found[0][2:])


def test_held_out_cells_are_never_looked_at(compendium):
    """Other values in held-out cells change nothing."""
    (screen,) = compendium.screens
    training, validates, _ = masks_of(compendium, validation=['p1+p2'])
    held_out = ~training[0] & ~validates[0]
    scale = np.where(held_out[screen.kept.profile], 3, 1)
    changed = screen.kept._replace(values=scipy.sparse.csr_matrix(screen.kept.values.multiply(scale[:, None])))
    other = Compendium((dataclasses.replace(screen, kept=changed),), compendium.vocabulary)
    model = model_of(epochs=1)
    one, two = (train_on_cells(model, each, training, validates, 0) for each in (compendium, other))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), one, two))


def test_the_best_epoch_is_kept_and_training_stops(compendium, monkeypatch):
    """Looks after epochs 5, 10, 15 and 20: that after 10 is the best, and two worse ones are enough."""
    training, validates, _ = masks_of(compendium, validation=['p1+p2'])
    looks = []

    def metric():
        looks.append([1.0, 3.0, 2.0, 3.0][len(looks)])
        return looks[-1]

    monkeypatch.setattr(cell_epoch, '_error', lambda *_: -metric())
    long = train_on_cells(model_of(epochs=40, patience=2), compendium, training, validates, 0)
    assert len(looks) == 4
    looks.clear()
    short = train_on_cells(model_of(epochs=10), compendium, training, validates, 0)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b, equal_nan=True), short, long))


@pytest.mark.parametrize('settings', [{'mixup': 0.3}, {'likelihood': 'gauss', 'doser': 'logsigm'}])
def test_other_settings_learn(compendium, settings):
    training, validates, names = masks_of(compendium)
    model = model_of(**settings)
    params = train_on_cells(model, compendium, training, validates, 0)
    found = predicted(compendium, model, params, names)
    assert np.isfinite(found).all()
    control = compendium.screens[0].values[list(names).index('control')]
    trained = training[0] & (names != 'control')
    truth = compendium.screens[0].values[trained]
    errors = (np.linalg.norm(each - truth, axis=1).mean() for each in (found[trained], control))
    assert next(errors) < 0.9 * next(errors)


def test_contexts_have_embeddings_and_controls_of_their_own(files):
    """Without control in training, a context has no answer; the adversary guesses both contexts."""
    fields = {'context': 'line', **{name: value for name, value in FIELDS.items() if name != 'context_name'}}
    compendium = load(data_of(files, fields=fields))
    (screen,) = compendium.screens
    model = model_of(epochs=2, pretraining=0, contexts=True)
    training = ~(screen.is_control & (screen.context == 1))
    params = train_on_cells(model, compendium, (training,), (np.zeros_like(training),), 0)
    assert params['weights']['context'].shape == (2, SMALL['latent'])
    asked = query(compendium, [('a', 'p0'), ('b', 'p0')], compendium.vocabulary.readouts)
    found = np.asarray(model.predict(params, asked))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    moved = {**params, 'embedded': 1 - params['embedded']}
    assert np.abs(np.asarray(model.predict(moved, asked))[0] - found[0]).max() > 1e-3


def test_counts_are_recovered_by_hand():
    counts = np.array([[1, 0, 3, 2], [0, 0, 0, 0], [0, 7, 1, 0]])
    values = np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    found = recovered_counts(scipy.sparse.csr_matrix(values)).toarray()
    np.testing.assert_allclose(found, counts, atol=1e-4)


def test_conditions_are_weighed_by_their_cells(compendium):
    """Of 80 + 18 x 30 cells: control 620 / 80 - 1, others 620 / 30 - 1, what is held out 0."""
    training, validates, names = masks_of(compendium)
    _, cells, chosen = label_cells(compendium.screens[0], training, validates, 'nb')
    of_name = dict(zip(names, cells.weights[0][cells.condition], strict=True))
    assert of_name['control'] == pytest.approx(620 / 80 - 1)
    assert of_name['p0'] == of_name['p0+p2'] == pytest.approx(620 / 30 - 1)
    assert of_name['p0+p1'] == of_name['outsider'] == 0
    assert len(chosen.training) == 620
    assert len(chosen.control) == 80


def test_batches_are_filled_up():
    dealt = deal(np.arange(10), 4, 3)
    assert dealt.numbers.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]  # two cells are too few
    dealt = deal(np.arange(11), 4, 3)
    assert dealt.numbers[2, :3].tolist() == [8, 9, 10]
    assert dealt.weight.tolist() == [[1] * 4, [1] * 4, [1, 1, 1, 0]]
    assert deal(np.arange(2), 4, 3) is None


def test_pairs_to_mix_leave_out_what_fills_up():
    weight = jnp.array([1.0, 1, 1, 1, 0, 0])
    mixing = mixing_of(jnp.float32(0.5), weight, jax.random.key(0))
    assert sorted(mixing.order[:4].tolist()) == [0, 1, 2, 3]
    assert 0 <= mixing.share <= 1
    assert mixing_of(jnp.float32(0), weight, jax.random.key(0)).share == 1


def test_an_experiment_scores_it_beside_the_rules(files, tmp_path):
    config = ml_collections.ConfigDict(
        {
            'seed': 0,
            'data': data_of(files),
            'split': {'name': 'unseen_double', 'seeds': (0,), 'validation': 0.2},
            'models': {'cpa': {**SMALL, 'epochs': 1}},
            'evaluation': {'bootstrap_samples': 50},
        }
    )
    results = perturbjax.run(config, str(tmp_path))
    assert {'cpa', 'mean', 'no_change'} <= set(results.summary['model'])


def test_values_that_were_no_counts_are_refused(compendium):
    (screen,) = compendium.screens
    noise = np.random.default_rng(0).uniform(0.5, 3, screen.kept.values.shape).astype(np.float32)
    changed = screen.kept._replace(values=scipy.sparse.csr_matrix(noise))
    other = Compendium((dataclasses.replace(screen, kept=changed),), compendium.vocabulary)
    with pytest.raises(InputError, match=r'models\.cpa\.likelihood: nb needs counts, and the cells of .* are not ln'):
        model_of().check(other)
    model_of(likelihood='gauss').check(other)
    check_counts(screen)


@pytest.mark.parametrize(
    ('data', 'sentence'),
    [
        ({'keep_cells': False}, 'set data.keep_cells = True'),
        ({'counts': False, 'scale': 'z-score'}, 'on the scale log1p'),
    ],
)
def test_data_that_it_cannot_learn_from_are_refused(files, data, sentence):
    with pytest.raises(InputError, match=sentence):
        model_of().check(load(data_of(files, **data)))


def test_too_few_training_cells_are_refused(compendium):
    (screen,) = compendium.screens
    few = np.flatnonzero(np.isin(screen.kept.profile, np.flatnonzero(screen.order <= 1)))
    names = np.array(compendium.vocabulary.perturbation_names(screen.perturbation))[screen.kept.profile]
    some = np.sort([few[names[few] == 'control'][0], few[names[few] == 'p0'][0]])
    kept = screen.kept._replace(values=screen.kept.values[some], profile=screen.kept.profile[some])
    other = Compendium((dataclasses.replace(screen, kept=kept),), compendium.vocabulary)
    training, validates, _ = masks_of(other)
    with pytest.raises(InputError, match='2 cells train, and a batch norm needs 3'):
        train_on_cells(model_of(), other, training, validates, 0)


def test_training_without_control_or_with_control_alone_is_refused(compendium):
    *_, names = masks_of(compendium)
    for held_out, sentence in (([n for n in names if n != 'control'], 'hold out less'), (['control'], 'no control')):
        training, validates, _ = masks_of(compendium, held_out)
        with pytest.raises(InputError, match=sentence):
            train_on_cells(model_of(), compendium, training, validates, 0)


@pytest.mark.parametrize(
    'settings',
    [
        {'likelihood': 'zinb'},
        {'doser': 'log'},
        {'mixup': 'on'},
        {'mixup': -1.0},
        {'schedule': 'cosine'},
        {'profile': 'counts'},
        {'untrained': 'mean'},
        {'epochs': 0},
        {'batch_size': 2},
        {'dropout': 1.0},
        {'learning_rate': 0.0},
        {'penalty': -1.0},
    ],
)
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(InputError, match=rf'models\.cpa\.{name}: '):
        model_of(**settings)
