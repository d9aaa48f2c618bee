"""Which layer of a file of predictions is its X."""

import numpy as np
import pytest
from predictions_for_tests import make_cells, predict, screen_of

from perturbjax.prediction.layers import choose_x


@pytest.mark.parametrize(
    ('has_gaps', 'chosen'),
    [
        ({'mean': False, 'linear': True, 'lpm': False}, 'lpm'),
        ({'mean': False, 'lpm': False, 'linear': True}, 'lpm'),
        ({'linear': True, 'silent': True}, 'silent'),
    ],
)
def test_the_last_model_that_predicts_everything(has_gaps, chosen):
    assert choose_x(has_gaps) == chosen


def test_predictions_have_an_x():
    predictions = predict(screen_of(make_cells(1.0)), ['p0', 'p1', 'p2'])
    assert predictions.uns['X_layer'] == 'near'
    np.testing.assert_array_equal(predictions.X, predictions.layers['near'])
