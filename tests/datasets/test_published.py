"""The published scores against the table that they are from, and what the catalogue says of them."""

import pathlib

import pandas as pd
import pytest

from perturbjax.datasets import catalogue
from perturbjax.datasets.published import SCORES, published_scores
from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import combine

# The means that the paper's figures show: methods by data set.
MEANS = {
    'norman': {
        'additive_model': 2.77, 'geneformer': 3.48, 'gears': 4.10, 'uce': 4.28, 'scbert': 4.28, 'scgpt': 4.62,
        'scfoundation': 4.72, 'no_change': 5.62, 'cpa': 12.2,
    },
    'replogle_k562': {
        'gears': 4.08, 'mean': 4.19, 'scbert': 4.19, 'uce': 4.20, 'geneformer': 4.24, 'scgpt': 4.44, 'cpa': 15.8,
    },
}  # fmt: skip
SOURCES = {
    'norman': 'norman_from_scfoundation',
    'adamson': 'adamson',
    'replogle_k562': 'replogle_k562_essential',
    'replogle_rpe1': 'replogle_rpe1_essential',
}


@pytest.mark.parametrize('dataset', MEANS)
def test_the_means_are_the_published_ones(dataset):
    scores = published_scores(dataset)
    scores = scores[scores['split'] != 'train']
    found = scores.groupby('method')['l2'].mean()
    for method, value in MEANS[dataset].items():
        assert found[method] == pytest.approx(value, abs=0.055 if value > 10 else 0.0051), method


@pytest.mark.parametrize('dataset', SCORES)
def test_every_row_stands_once(dataset):
    scores = published_scores(dataset)
    assert list(scores) == ['seed', 'method', 'perturbation', 'split', 'pearson_delta', 'l2']
    assert not scores.duplicated(['seed', 'method', 'perturbation']).any()
    assert set(scores['split']) == ({'test', 'val'} if dataset == 'norman' else {'test', 'val', 'train'})
    assert SCORES[dataset].rule in set(scores['method'])
    assert not scores['perturbation'].str.contains('ctrl').any()


def test_it_is_the_whole_table(shared):
    path = shared.parent / 'golden' / 'systems' / 'published_scores.csv'
    if not path.exists():
        pytest.skip(f'needs {path}, which is not there')
    given = pd.read_csv(path)
    given['perturbation'] = [combine(name.split('+')) for name in given['perturbation'].str.replace('ctrl', 'control')]
    keys, rows = ['seed', 'method', 'perturbation', 'split'], 0
    for dataset, source in SOURCES.items():
        found = published_scores(dataset).set_index(keys).sort_index()
        expected = given[given['dataset_name'] == source].set_index(keys).sort_index()
        pd.testing.assert_frame_equal(found, expected[['pearson_delta', 'l2']], check_exact=True)
        rows += len(found)
    assert rows == len(given) == 26_789


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match=r"no published scores of 'norman_gears'; did you mean 'norman'\?"):
        published_scores('norman_gears')


def test_the_catalogue_tells_source_and_licence(capsys):
    assert catalogue.main(['list', 'published_scores']) == 0
    told = capsys.readouterr().out
    for fact in ('Nature Methods 22:1657', 'MIT, (c) 2024 Constantin Ahlmann-Eltze', 'published_scores(NAME)', *SCORES):
        assert fact in told
    assert catalogue.main(['fetch', 'published_scores']) == 2
    assert 'is no screen and comes with the package' in capsys.readouterr().err


def test_the_licence_lies_beside_the_table():
    folder = pathlib.Path(catalogue.__file__).parent
    assert 'Copyright (c) 2024 Constantin Ahlmann-Eltze' in (folder / 'published_scores.LICENSE').read_text()
    assert (folder / 'published_scores.csv.gz').stat().st_size < 400_000
