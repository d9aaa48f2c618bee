import numpy as np
import pytest

from perturbjax.errors import InputError
from perturbjax.training.settings import TrainingSettings, check_training, members


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'batch_size': 5000, 'block': [10, 0]}, r'training.block: \[10, 0\] must be two whole numbers'),
        ({'batch_size': 5000, 'block': [10]}, r'training.block: \[10\] must be two whole numbers'),
        ({'batch_size': 150, 'block': [10, 10]}, r'10 x 10 does not divide training.batch_size 150; make that 100'),
        ({'batch_size': 50, 'block': [10, 10]}, 'make that 100'),
        ({'shards': 0}, 'training.shards: 0 must be at least 1'),
        ({'sweep': {'learning_rat': [1]}}, "training.sweep: no such setting 'learning_rat'; did you mean"),
        ({'sweep': {'learning_rate': [0.1, 0]}}, 'learning_rate: 0 must be above 0'),
        ({'sweep': {'dropout': [0.1, 1.0]}}, 'training.sweep.dropout: 1.0 must be below 1'),
        ({'sweep': {'dropout': 0.1}}, 'training.sweep.dropout: 0.1 must be numbers to try'),
        ({'sweep': {'dropout': []}}, r'training.sweep.dropout: \[\] must be numbers to try'),
    ],
)
def test_bad_settings_are_told(settings, message):
    with pytest.raises(InputError, match=message):
        check_training(TrainingSettings(**settings))


def test_members_are_every_combination_with_every_seed():
    settings = TrainingSettings(seeds=2, sweep={'learning_rate': [0.1, 0.2], 'dropout': [0.0, 0.5]}, weight_decay=0.3)
    every = members(settings, 7, 0.25)
    np.testing.assert_array_equal(every.seed, [7, 8] * 4)
    np.testing.assert_allclose(every.learning_rate, [0.1] * 4 + [0.2] * 4)
    np.testing.assert_allclose(every.dropout, [0, 0, 0.5, 0.5] * 2)
    np.testing.assert_allclose(every.weight_decay, [0.3] * 8)
    assert (every.seed.dtype, every.dropout.dtype) == (np.uint32, np.float32)


def test_a_single_member_has_what_the_config_says():
    every = members(TrainingSettings(lr_decay=0.9), 3, 0.25)
    assert [float(each[0]) for each in every] == pytest.approx([3, 0.002, 0.9, 0.01, 0.25, -1])
