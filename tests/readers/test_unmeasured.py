"""Perturbations that no file measures: they are in the vocabulary, and a model with features predicts them."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from models_for_tests import train_lpm

from perturbjax.errors import InputError
from perturbjax.models import context_mean
from perturbjax.models.lpm import lpm
from perturbjax.models.model import Query
from perturbjax.readers.loading import load
from perturbjax.screens import store
from perturbjax.screens.splits import TRAIN, make_split

FIELDS = {'context': 'cell', 'perturbation': 'gene', 'perturbation_type': 'CRISPRi'}
NAMES = [f'G{i:02}' for i in range(30)]


@pytest.fixture(scope='module')
def vectors():
    return np.random.default_rng(0).normal(size=(31, 2))


@pytest.fixture(scope='module')
def effects(vectors):
    return vectors @ np.random.default_rng(1).normal(size=(2, 5))


@pytest.fixture(scope='module')
def data(effects, tmp_path_factory):
    """The last gene is not measured."""
    path = tmp_path_factory.mktemp('data') / 'screen.csv'
    rng = np.random.default_rng(2)
    rows = [('K562', 'control', *np.zeros(5))]
    rows += [('K562', name, *(effects[i] + 0.05 * rng.normal(size=5))) for i, name in enumerate(NAMES)]
    pd.DataFrame(rows, columns=['cell', 'gene', *'abcde']).to_csv(path, index=False)
    return {'source': 'wide', 'path': str(path), 'scale': 'log2', 'fields': FIELDS}


@pytest.mark.parametrize('as_file', [False, True])
def test_they_are_in_the_vocabulary_with_the_type_of_the_others(data, tmp_path, as_file):
    given = ['KLF1', 'CRISPRa_KLF1', 'G03']
    if as_file:
        (tmp_path / 'genes.txt').write_text('KLF1\n\n CRISPRa_KLF1 \nG03\n')
        given = str(tmp_path / 'genes.txt')
    found = load({**data, 'unmeasured': given})
    singles = found.vocabulary.perturbations
    assert singles == ('control', 'CRISPRa_KLF1', *(f'CRISPRi_{name}' for name in NAMES), 'CRISPRi_KLF1')
    plain = load(data)
    names = [each.vocabulary.perturbation_names(each.screens[0].perturbation) for each in (plain, found)]
    assert names[0] == names[1]
    np.testing.assert_array_equal(plain.screens[0].values, found.screens[0].values)


def test_a_model_with_features_predicts_them(data, vectors, effects, tmp_path):
    path = tmp_path / 'features.csv'
    pd.DataFrame(vectors.T, columns=[*NAMES, 'NEW']).to_csv(path, index=False)
    compendium = load({**data, 'unmeasured': ['NEW']})
    split = make_split(compendium, 'unseen_single', 0, test=0.2, validation=0.0)
    settings = {
        'embedding_dim': 4, 'hidden_dims': (16,), 'folds': 2, 'mix': (), 'features': {'perturbation': str(path)},
    }  # fmt: skip
    recipe = {'epochs': 6, 'epoch_steps': 60, 'batch_profiles': 16, 'learning_rate': 0.01, 'shards': 4}
    params = train_lpm(settings, recipe, compendium, split, tmp_path)
    asked = compendium.vocabulary.perturbation_ids(['CRISPRi_NEW'])
    query = Query(jnp.zeros(1, jnp.int32), jnp.asarray(asked), jnp.arange(5))
    found = np.asarray(lpm(**settings).predict(params, query))[0]
    rule = context_mean()
    expected = np.asarray(rule.predict(rule.fit(compendium, split.mask(TRAIN)), query))[0]
    assert np.linalg.norm(found - effects[-1]) < 0.5 * np.linalg.norm(expected - effects[-1])


def test_prepared_data_have_their_names_already(data, tmp_path):
    compendium = load({**data, 'unmeasured': ['KLF1']})
    store.write(compendium, tmp_path / 'prepared')
    prepared = {'source': 'prepared', 'path': str(tmp_path / 'prepared')}
    assert load(prepared).vocabulary == compendium.vocabulary
    with pytest.raises(InputError, match=r'data\.unmeasured: prepared data have their names already'):
        load({**prepared, 'unmeasured': ['MYC']})


@pytest.mark.parametrize(
    ('given', 'told'),
    [
        (['A+B'], r"data\.unmeasured: 'A\+B' must be single perturbations"),
        (['control'], "'control' must be single"),
        ([' '], 'names no perturbation'),
        (3, 'must be names of perturbations'),
        ('no_such_file.txt', 'no_such_file.txt'),
    ],
)
def test_bad_names_are_told(data, given, told):
    with pytest.raises(InputError, match=told):
        load({**data, 'unmeasured': given})


def test_a_name_without_type_is_told_where_there_are_several(data):
    activated = {**data, 'fields': {**FIELDS, 'perturbation_type': 'CRISPRa'}}
    with pytest.raises(InputError, match="'KLF1' has no type, .* name it such as 'CRISPRi_KLF1'"):
        load({'screens': {'one': data, 'two': activated}, 'unmeasured': ['KLF1']})
