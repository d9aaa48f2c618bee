"""How often intervals hold the truth, by hand and on normal errors of known size."""

import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.coverage import COLUMNS, interval_coverage

NAN = np.nan


def predictions_of(truth, prediction, spread, names=None):
    """Predictions of the model `net`, each profile of another perturbation unless named."""
    names = [f'p{i}' for i in range(len(truth))] if names is None else names
    obs = pd.DataFrame({'context': 'a', 'perturbation': names}, index=[str(i) for i in range(len(truth))])
    layers = {'truth': truth, 'net': prediction, 'net_spread': spread, 'mean': prediction}
    layers = {name: np.array(values, float) for name, values in layers.items()}
    return anndata.AnnData(obs=obs, layers=layers, uns={'models': ['mean', 'net']}, shape=layers['truth'].shape)


def test_by_hand():
    # z is 0.674 for 50% and 1.645 for 90%; of the six values one has no truth, one no prediction and one no spread.
    truth = [[0.6, 1.6, 2.0], [NAN, 0, 0]]
    given = predictions_of(truth, [[0, 0, 0], [0, NAN, 0]], [[1, 1, 1], [1, 1, NAN]])
    found = interval_coverage(given, bootstrap_samples=64)
    assert list(found) == COLUMNS
    assert found[['model', 'level', 'coverage', 'values']].to_numpy().tolist() == [
        ['net', 0.5, pytest.approx(1 / 3), 3],
        ['net', 0.9, pytest.approx(2 / 3), 3],
    ]
    assert found[['low', 'high']].isna().all(axis=None)  # all values are of one perturbation


def test_the_right_spread_covers_what_it_says_and_half_of_it_less():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 25))
    right = interval_coverage(predictions_of(truth, 0 * truth, 0 * truth + 1), bootstrap_samples=200)
    np.testing.assert_allclose(right['coverage'], [0.5, 0.9], atol=0.015)
    assert (right['low'] < right['coverage']).all()
    assert (right['coverage'] < right['high']).all()
    np.testing.assert_allclose(right['high'] - right['low'], 4 * np.sqrt([0.25 / 1e4, 0.09 / 1e4]), rtol=0.4)
    half = interval_coverage(predictions_of(truth, 0 * truth, 0 * truth + 0.5), bootstrap_samples=64)
    np.testing.assert_allclose(half['coverage'], [0.264, 0.589], atol=0.015)  # normal mass within z / 2


def test_perturbations_are_drawn_together():
    # Errors are one number for each perturbation, so a hundred copies of it tell no more.
    truth = np.repeat(np.random.default_rng(0).normal(size=(20, 1)), 100, axis=1)
    wide = interval_coverage(predictions_of(truth, 0 * truth, 0 * truth + 1), bootstrap_samples=200)
    assert (wide['high'] - wide['low'])[0] > 0.25


def test_without_a_spread_there_is_no_table():
    given = predictions_of([[1.0]], [[1.0]], [[1.0]])
    del given.layers['net_spread']
    found = interval_coverage(given)
    assert found.empty
    assert list(found) == COLUMNS


def test_a_model_without_a_prediction_covers_nothing():
    found = interval_coverage(predictions_of([[1.0], [2.0]], [[NAN], [NAN]], [[1.0], [1.0]]), bootstrap_samples=64)
    assert found['coverage'].isna().all()
    assert (found['values'] == 0).all()
