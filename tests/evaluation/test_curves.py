"""Curves by number of readouts: the metrics on explicitly chosen readouts."""

import numpy as np
import pytest
from predictions_for_tests import make_predictions

from perturbjax.evaluation.curves import readout_curves
from perturbjax.screens.scales import find_scale

SIZES = [1, 2, 5, 10, 12]


@pytest.fixture(scope='module')
def predictions():
    predictions = make_predictions()
    predictions.layers['lpm'] = (predictions.layers['truth'] + predictions.layers['perturbed_mean']) / 2
    return predictions


@pytest.fixture(scope='module')
def curves(predictions):
    return readout_curves(predictions)


def by_hand(predictions, model, ranking, n):
    """Mean L2 and Pearson-delta over the n readouts that rank highest."""
    names = ('truth', 'control', model)
    distances, correlations = [], []
    for i, screen in enumerate(predictions.obs['screen']):
        truth, control, prediction = (predictions.layers[name][i].astype(float) for name in names)
        key = np.abs(truth - control) if ranking == 'delta' else control
        if ranking == 'control' and not find_scale(predictions.uns['scale'][screen]).control_has_level:
            continue
        known = np.flatnonzero(~np.isnan(truth + key))
        chosen = known[np.argsort(-key[known], kind='stable')][:n]
        y, c, p = truth[chosen], control[chosen], prediction[chosen]
        distances.append(np.sqrt(np.nansum((y - p) ** 2)))
        change, predicted = y - c, p - c
        constant = len(y) < 2 or np.ptp(predicted) < 1e-5
        correlations.append(np.nan if constant else np.corrcoef(change, predicted)[0, 1])
    return np.mean(distances), np.nan if np.isnan(correlations).all() else np.nanmean(correlations)


def test_curves_are_the_metrics_on_the_readouts_that_rank_highest(predictions, curves):
    assert list(curves) == ['model', 'metric', 'ranking', 'n', 'value']
    by = curves.set_index(['model', 'ranking', 'n', 'metric'])['value']
    for model in ('no_change', 'lpm'):
        for ranking in ('control', 'delta'):
            for n in SIZES:
                distance, correlation = by_hand(predictions, model, ranking, n)
                assert by[model, ranking, n, 'l2'] == pytest.approx(distance, abs=1e-4)
                assert by[model, ranking, n, 'pearson_delta'] == pytest.approx(correlation, abs=1e-4, nan_ok=True)
    assert by['lpm'].notna().sum() == 2 * 5 + 2 * 4  # of one readout there is no correlation


def test_models_with_gaps_are_left_out(curves):
    assert list(curves['model'].unique()) == ['no_change', 'lpm']
    assert list(curves['n'].unique()) == SIZES


def test_without_levels_only_the_change_ranks(predictions):
    flat = predictions.copy()
    flat.uns['scale'] = dict.fromkeys(predictions.uns['scale'], 'z-score')
    assert list(readout_curves(flat)['ranking'].unique()) == ['delta']


def test_without_models_there_are_no_curves(predictions):
    silent = predictions.copy()
    silent.uns['models'] = ['silent']
    found = readout_curves(silent)
    assert found.empty
    assert list(found) == ['model', 'metric', 'ranking', 'n', 'value']
