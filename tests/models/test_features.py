"""LPM with features of perturbations: what they are, and that unseen perturbations are predicted from them."""

import pathlib

import anndata
import jax
import numpy as np
import pandas as pd
import pytest
from etils import epath
from models_for_tests import train_lpm
from screens_for_tests import measurements, query, query_of

from perturbjax.analysis.completion import read_model
from perturbjax.analysis.embeddings import axis_table, read_embeddings
from perturbjax.errors import InputError
from perturbjax.models import context_mean, make_models, two_way
from perturbjax.models.features import _warn_once, feature_reader, joined
from perturbjax.models.lpm import lpm
from perturbjax.prediction.file import add_layer, held_out
from perturbjax.prediction.full_grid import write_grid
from perturbjax.prediction.layers import layers_of
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

NAMES = [f'g{i:02}' for i in range(40)]
SMALL = {'embedding_dim': 4, 'hidden_dims': (16,), 'folds': 2, 'mix': ()}
SHORT = {'epochs': 6, 'epoch_steps': 60, 'batch_profiles': 32, 'learning_rate': 0.01, 'shards': 4}


@pytest.fixture(scope='module')
def vectors():
    return np.random.default_rng(1).normal(size=(len(NAMES), 3))


@pytest.fixture(scope='module')
def file(vectors, tmp_path_factory):
    """The last perturbation is not in it."""
    path = tmp_path_factory.mktemp('features') / 'genes.tsv'
    pd.DataFrame(vectors[:-1].T, columns=NAMES[:-1]).to_csv(path, sep='\t', index=False)
    return str(path)


@pytest.fixture(scope='module')
def compendium(vectors):
    """Two contexts in which an effect is a linear function of the vector; two perturbations aim at readouts."""
    rng = np.random.default_rng(0)
    effects, level = vectors @ rng.normal(size=(3, 8)), rng.normal(size=(2, 8))
    rows = [(c, 'control', level[i]) for i, c in enumerate('ab')]
    rows += [
        (c, name, level[i] + effects[p] + 0.1 * rng.normal(size=8))
        for i, c in enumerate('ab')
        for p, name in enumerate(NAMES)
    ]
    return assemble([measurements(rows, ['g03', 'g07', *(f'r{i}' for i in range(6))])], ['log1p'])


@pytest.fixture(scope='module')
def split(compendium):
    return make_split(compendium, 'unseen_single', 3, test=0.25, validation=0.0)


@pytest.fixture(scope='module')
def whole(compendium, split, file, tmp_path_factory):
    settings, folder = {**SMALL, 'features': {'perturbation': [file]}}, tmp_path_factory.mktemp('whole')
    return lpm(**settings), train_lpm(settings, SHORT, compendium, split, folder), folder


def l2(model, params, compendium, tested):
    (screen,) = compendium.screens
    error = np.asarray(model.predict(params, query_of(screen))) - screen.values
    return np.sqrt((error[tested] ** 2).sum(axis=1))


def unseen(compendium, split):
    """The ids of the perturbations that no training profile has."""
    (screen,), (tested,) = compendium.screens, split.mask(TEST)
    return np.unique(screen.perturbation[tested, 0])


def test_unseen_perturbations_are_predicted_from_features(compendium, split, whole):
    model, params, _ = whole
    tested, rule = split.mask(TEST)[0], context_mean()
    expected = l2(rule, rule.fit(compendium, split.mask(TRAIN)), compendium, tested)
    assert l2(model, params, compendium, tested).mean() < 0.5 * expected.mean()
    assert float(params.constants['amplitude']) > 0.8


def test_without_features_they_get_the_mean(compendium, split, tmp_path):
    params, rule = train_lpm(SMALL, {**SHORT, 'epochs': 1}, compendium, split, tmp_path), context_mean()
    tested = split.mask(TEST)[0]
    expected = l2(rule, rule.fit(compendium, split.mask(TRAIN)), compendium, tested)
    np.testing.assert_allclose(l2(lpm(**SMALL), params, compendium, tested), expected, rtol=1e-5)


def test_a_row_of_the_table_of_an_unseen_name_stays_0(compendium, split, whole):
    ids, (_, params, _) = unseen(compendium, split), whole
    table = params.weights['perturbation']
    assert (table[:, ids] == 0).all()
    trained = np.setdiff1d(np.arange(len(NAMES) + 1), ids)
    assert (np.abs(table[:, trained]).max(axis=(0, 2)) > 0).all()


def test_a_checkpoint_alone_predicts_and_its_embeddings_hold_the_projection(compendium, split, whole):
    model, params, folder = whole
    query = query_of(compendium.screens[0])
    read = read_model(folder / 'lpm' / '0')
    np.testing.assert_allclose(read.predict(jax.device_get(query)), model.predict(params, query), rtol=1e-5)
    table = axis_table(read_embeddings(folder / 'lpm' / '0'), 'perturbation', untrained=True)
    first = table[table.obs['split'].astype(str) == '3/0']
    one = unseen(compendium, split)[0]
    expected = params.constants['features']['perturbation'][one] @ params.weights['perturbation_projection'][0]
    name = compendium.vocabulary.perturbations[one]
    np.testing.assert_allclose(first[first.obs['name'] == name].X[0], expected, rtol=1e-5)
    assert np.abs(expected).max() > 0


def test_without_features_the_first_rule_has_the_share_of_the_networks(compendium, split, vectors, tmp_path):
    one = compendium.vocabulary.perturbations[unseen(compendium, split)[0]]
    path = tmp_path / 'all_but_one.tsv'
    columns = [name for name in NAMES if name != one]
    pd.DataFrame(vectors[[NAMES.index(name) for name in columns]].T, columns=columns).to_csv(
        path, sep='\t', index=False
    )
    settings = {**SMALL, 'mix': ('two_way', 'context_mean'), 'features': {'perturbation': str(path)}}
    params = train_lpm(settings, SHORT, compendium, split, tmp_path)
    mixture, asked = params.constants['mixture'], query(compendium, [('a', one)], ['r0', 'r1'])
    assert mixture.weight[-1] > 0.5
    first, second = (
        rule.predict(each, asked) for rule, each in zip((two_way(), context_mean()), mixture.rules, strict=True)
    )
    expected = (1 - mixture.weight[1]) * first + mixture.weight[1] * second
    np.testing.assert_allclose(lpm(**settings).predict(params, asked), expected, rtol=1e-5)


def test_files_say_which_predictions_rest_on_features_alone(compendium, split, whole, tmp_path):
    model, params, _ = whole
    blocks = held_out(compendium, split)
    for layer in layers_of('lpm', model, lambda: params):
        add_layer(blocks, layer)
    write_grid(epath.Path(tmp_path / 'grid.h5ad'), compendium.vocabulary, {'lpm': (model, lambda: params)}, {})
    names = {compendium.vocabulary.perturbations[i] for i in unseen(compendium, split)}
    for data in (blocks[0].data, anndata.read_h5ad(tmp_path / 'grid.h5ad')):
        assert list(data.obs.columns).count('lpm_by_features') == 1
        marked = data.obs['perturbation'][data.obs['lpm_by_features'].to_numpy()]
        assert set(marked) == names - {'g39'}
        assert len(marked) == 2 * len(names - {'g39'})


def test_stopped_and_resumed_is_bit_for_bit_the_same(compendium, split, whole, file, tmp_path):
    settings = {**SMALL, 'features': {'perturbation': [file]}}
    train_lpm(settings, {**SHORT, 'epochs': 2}, compendium, split, tmp_path)
    again = train_lpm(settings, SHORT, compendium, split, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, whole[1])


def test_tables_are_standardised_on_trained_names_and_share_the_squares():
    """Names 0 and 1 train. The first table is 1 and 3 there, and does not vary in its second column."""
    first = np.array([[1.0, 5.0], [3.0, 5.0], [9.0, 6.0], [np.nan, np.nan]])
    second = np.array([[0.0], [np.nan], [0.0], [np.nan]])
    found = joined([first, second], np.array([True, True, False, False]))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found.values, [[-half, 0, 0], [half, 0, 0], [7 * half, 0, 0], [0, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(found.known, [True, True, True, False])


def test_main_axes_keep_their_sizes_beside_each_other():
    """Names 0 and 1 train: spreads of 1, 2 and 0, so the unit of the columns that vary is the root of 1 + 4."""
    table = np.array([[1.0, -2.0, 5.0], [3.0, 2.0, 5.0], [2.0, 1.0, 7.0]])
    found = joined([table], np.array([True, True, False]), [True])
    np.testing.assert_allclose(found.values * np.sqrt(5), [[-1, -2, 0], [1, 2, 0], [0, 1, 0]], rtol=1e-6, atol=1e-7)


def test_the_loadings_of_a_readout_are_those_of_a_pca_without_its_own_profiles(compendium):
    (screen,) = compendium.screens
    constants = feature_reader({'perturbation': 'readouts'})(compendium, (np.ones(len(screen.context), bool),))
    used = ~screen.is_control
    means = {c: screen.values[used & (screen.context == c)].mean(axis=0) for c in (0, 1)}
    change = screen.values[used] - [means[c] for c in screen.context[used]]
    places = np.linalg.svd(change, full_matrices=False)[0][:, :7]  # svds gives one axis fewer than there are readouts
    names, readouts = compendium.vocabulary.perturbations, compendium.vocabulary.readouts
    known = np.flatnonzero(constants['has_features']['perturbation'])
    assert [names[i] for i in known] == ['g03', 'g07']
    loadings = []
    for number in known:
        others = screen.perturbation[used][:, 0] != number
        loadings.append(change[others, readouts.index(names[number])] @ places[others])
    expected = (np.array(loadings) - np.mean(loadings, axis=0)) / np.std(loadings, axis=0) / np.sqrt(7)
    np.testing.assert_allclose(np.abs(constants['features']['perturbation'][known]), np.abs(expected), rtol=1e-3)


@pytest.mark.parametrize('perturbations', [1, 2, 32])
def test_loadings_of_few_profiles_of_many_readouts(perturbations):
    """The rows add up to 0, so that a start of ones would be orthogonal to all axes."""
    rng = np.random.default_rng(0)
    rows = [('a', 'control', np.zeros(200)), *(('a', f'r{i}', rng.normal(size=200)) for i in range(perturbations))]
    screens = assemble([measurements(rows, [f'r{i}' for i in range(200)])], ['log1p'])
    constants = feature_reader({'perturbation': ['readouts']})(screens, (np.ones(perturbations + 1, bool),))
    assert np.isfinite(constants['features']['perturbation']).all()
    assert constants['has_features']['perturbation'][1:].all()


def test_names_without_features_are_told_once(compendium, split, file, caplog):
    _warn_once.cache_clear()
    constants = feature_reader({'perturbation': [file]})(compendium, split.mask(TRAIN))
    feature_reader({'perturbation': [file]})(compendium, split.mask(TRAIN))
    assert caplog.text.count("features: 1 of 41 perturbations have none ('g39')") == 1
    assert not constants['has_features']['perturbation'][compendium.vocabulary.perturbations.index('g39')]


@pytest.mark.parametrize(
    ('features', 'told'),
    [
        ({'perturbations': ['x.tsv']}, "features: no such axis 'perturbations'; did you mean 'perturbation'"),
        ({'perturbation': ['no_such_file.tsv']}, 'no_such_file.tsv'),
        ({'perturbation': 3}, 'features.perturbation: 3 must be'),
        ({'perturbation': ['random']}, 'random'),
    ],
)
def test_bad_features_are_told(features, told):
    with pytest.raises(InputError, match=told):
        make_models({'mine': {'model': 'lpm', 'features': features}})


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        ('a\tb\n1\t2\n', r"none of its names \('a', 'b'\) is one of the screen"),
        ('g00\tg01\n1\tnan\n', "the vectors of 'g01' are not complete"),
        ('g00\tg01\tg00\n1\t2\t3\n', 'g00'),
    ],
    ids=['other names', 'missing', 'twice'],
)
def test_bad_files_are_told(compendium, split, tmp_path, content, told):
    path = pathlib.Path(tmp_path) / 'f.tsv'
    path.write_text(content)
    with pytest.raises(InputError, match=told):
        feature_reader({'perturbation': [str(path)]})(compendium, split.mask(TRAIN))


def test_too_many_numbers_for_each_name_are_told(compendium, split, tmp_path):
    path = tmp_path / 'wide.tsv'
    path.write_text('g00\tg01\n' + '1\t2\n' * 20_001)
    with pytest.raises(InputError, match=r'features.perturbation: .*wide.tsv has 20,001 numbers for each name'):
        feature_reader({'perturbation': [str(path)]})(compendium, split.mask(TRAIN))


def test_features_that_do_not_vary_do_no_harm(compendium, split, tmp_path):
    path = tmp_path / 'constant.tsv'
    pd.DataFrame(np.ones((2, len(NAMES))), columns=NAMES).to_csv(path, sep='\t', index=False)
    constants = feature_reader({'perturbation': [str(path)]})(compendium, split.mask(TRAIN))
    assert not constants['features']['perturbation'].any()
