"""Models with one answer for everything, from predictions made by hand and from the decoder's golden numbers."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from predictions_for_tests import make_predictions

from perturbjax.evaluation.results import judge
from perturbjax.evaluation.sameness import nearly_one_answer, variance_share

NAN = np.nan


def predictions_of(truth, models, contexts):
    obs = pd.DataFrame({'split': 0, 'screen': 's', 'context': contexts}, index=[f'p{i}' for i in range(len(truth))])
    layers = {name: np.array(each, float) for name, each in {'truth': truth, **models}.items()}
    return anndata.AnnData(obs=obs, layers=layers, uns={'models': list(models)})


def test_the_share_by_hand():
    truth = [[0, 0], [2, 4], [100, 100], [100, NAN]]  # within a: 2 + 8; within b the one readout that both have is 0
    half = [[1, 1], [2, 3], [7, 8], [7, 9]]  # within a: 0.5 + 2
    gap = [[1, NAN], [2, NAN], [NAN, NAN], [NAN, NAN]]  # 0.5 of 2
    predictions = predictions_of(truth, {'half': half, 'gap': gap, 'none': np.full((4, 2), NAN)}, list('aabb'))
    assert variance_share(predictions, 'half') == pytest.approx(0.25)
    assert variance_share(predictions, 'gap') == pytest.approx(0.25)
    assert np.isnan(variance_share(predictions, 'none'))
    assert nearly_one_answer(predictions) == []


def test_embeddings_that_hardly_vary_are_told_with_the_share(golden):
    numbers = json.loads((golden / 'decoder.json').read_text())
    tested = ~np.array(numbers['training'])
    layers = {'decoded': 'prediction', 'flat': 'prediction_nearly_constant', 'mean': 'prediction_nearly_constant'}
    layers = {name: np.array(numbers[key])[tested] for name, key in layers.items()}
    (sentence,) = nearly_one_answer(predictions_of(np.array(numbers['profiles'])[tested], layers, list('aaaa')))
    assert sentence.startswith('flat gives nearly one answer for every perturbation: the variance of its predictions')
    assert '2e-10 times that of the truths' in sentence


def test_a_report_notes_it():
    predictions = make_predictions()
    predictions.layers['flat'] = predictions.layers['perturbed_mean'].copy()
    predictions.uns['models'] = [*predictions.uns['models'], 'flat']
    notes = judge(predictions, bootstrap_samples=20).notes
    assert [note.partition(' ')[0] for note in notes if 'nearly one answer' in note] == ['flat']
