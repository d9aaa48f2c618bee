import json

import numpy as np
import pytest
from etils import epath

from perturbjax.training.metric_writer import MetricWriter, read_curves


@pytest.fixture
def path(tmp_path):
    return epath.Path(tmp_path) / 'metrics.jsonl'


def test_only_ones_own_later_lines_are_forgotten(path):
    for model, split, epoch in [('a', 1, 1), ('a', 1, 2), ('a', 2, 2), ('b', 1, 2), ('a', 1, 3)]:
        MetricWriter(path, model, split).write({'epoch': epoch, 'training_rmse': 1.0})
    MetricWriter(path, 'a', 1).forget_from(2)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line['model'], line['split'], line['epoch']) for line in kept] == [('a', 1, 1), ('a', 2, 2), ('b', 1, 2)]


def test_curves_are_averaged_over_splits(path):
    assert read_curves(path) is None
    for split, error in ((1, 2.0), (2, 4.0)):
        MetricWriter(path, 'a', split).write({'epoch': 1, 'training_rmse': error, 'validation_rmse': error + 1})
    MetricWriter(path, 'b', 1).write({'epoch': 1, 'training_rmse': 7.0})
    table = read_curves(path)
    np.testing.assert_array_equal(
        table.loc[1, ['a, training RMSE', 'a, validation RMSE', 'b, training RMSE']], [3, 4, 7]
    )


def test_curves_of_swept_settings_stand_apart_and_seeds_are_averaged(path):
    lines = [
        {'epoch': 1, 'member': member, 'dropout': dropout, 'training_rmse': member + 10 * dropout}
        for dropout in (0.0, 0.5)
        for member in (0, 1)
    ]
    MetricWriter(path, 'a', 1).write(*lines)
    assert path.read_text().count('\n') == 4
    assert read_curves(path).loc[1].to_dict() == {
        'a, dropout 0, training RMSE': 0.5,
        'a, dropout 0.5, training RMSE': 5.5,
    }
