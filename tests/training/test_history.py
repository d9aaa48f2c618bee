import json
import math

import numpy as np

from perturbjax.training.history import History
from perturbjax.training.settings import TrainingSettings

SETTINGS = TrainingSettings(epochs=9, patience=2)


def test_each_member_has_its_own_best_and_patience():
    history, active = History.start(2), np.array([True, True])
    errors = [(3.0, 5.0), (2.0, 5.0), (2.5, 5.5), (1.0, 4.0)]
    for pair in errors[:3]:
        history, better = history.after(np.array(pair), active)
    assert (history.epoch, history.best, history.best_epoch) == (3, [2.0, 5.0], [2, 1])
    assert not better.any()
    active = history.active(SETTINGS)
    assert active.tolist() == [True, False]
    history, better = history.after(np.array(errors[3]), active)
    assert better.tolist() == [True, False]
    assert history.best == [1.0, 5.0]  # a member that stopped does not come back


def test_epochs_end_training_and_without_validation_nothing_else_does():
    history = History.start(1)
    for _ in range(9):
        assert history.active(SETTINGS).all()
        history, better = history.after(None, np.array([True]))
        assert better.all()
    assert not history.active(SETTINGS).any()


def test_what_is_saved_when():
    every = SETTINGS._replace(checkpoint_every=4, patience=0)
    histories = [History(epoch, [1.0], [1]) for epoch in range(1, 10)]
    assert [each.epoch for each in histories if each.is_to_be_saved(every)] == [4, 8, 9]


def test_the_settings_with_the_lowest_mean_error_are_chosen():
    settings = SETTINGS._replace(seeds=2, sweep={'learning_rate': [1, 2, 3]})
    assert History(1, [5.0, 1.0, 2.0, 2.0, 1.5, 4.0], [1] * 6).chosen(settings.seeds) == slice(2, 4)


def test_to_json_and_back():
    history = History(1, [math.inf, 0.5], [0, 1])
    assert History.from_json(json.loads(json.dumps(history.to_json(), allow_nan=False))) == history


def test_errors_of_another_kind_are_not_compared_with_those_before():
    """An earlier version chose by validation; its errors are of another size."""
    active = np.array([True, True])
    history, _ = History.start(2).after(np.array([0.9, 0.8]), active, 'validation_rmse')
    history, better = history.after(np.array([4.0, 4.0]), active, 'out_of_fold_l2')
    assert better.all()
    assert (history.best, history.best_epoch, history.judged_by) == ([4.0, 4.0], [2, 2], 'out_of_fold_l2')
    saved = history.to_json()
    assert History.from_json(saved) == history
    assert History.from_json({name: each for name, each in saved.items() if name != 'judged_by'}).judged_by == (
        'validation_rmse'
    )
