"""Settings that do nothing are told."""

import numpy as np
import pytest

from perturbjax.config import parse
from perturbjax.idle_settings import idle_settings
from perturbjax.models import Model, lpm_released, no_change
from perturbjax.models.cell_learner import CellLearner
from perturbjax.screens.splits import TEST, TRAIN, VALIDATION, Split

CLOSED = no_change()
LEARNED = lpm_released(2, (2,))
OF_CELLS = Model(None, CLOSED.predict, cell_learner=CellLearner(lambda *_: None, 1))
ROLES = [TRAIN, TRAIN, TEST, VALIDATION]


def told(
    models=(LEARNED,), roles=(ROLES,), training=None, settings=None, readouts=12, evaluation=None, weights=None, **data
):
    config = {
        'seed': 0,
        'data': {'source': 'h5ad', **data},
        'split': {'name': 'unseen_single', 'seeds': list(range(len(roles)))},
        'models': settings or {},
        'training': training or {},
        'evaluation': evaluation or {},
        'weights': weights or {},
    }
    splits = [Split('unseen_single', seed, (np.array(each, np.int8),)) for seed, each in enumerate(roles)]
    return idle_settings(parse(config), splits, dict(zip('abc', models)), {'small': readouts})


def test_settings_that_act_are_not_told():
    training = {'patience': 5, 'sweep': {'weight_decay': [0.1, 1.0]}}
    fields = {'dose': 'dose', 'perturbation_type': 'Compound'}
    assert told((LEARNED, CLOSED), (ROLES, ROLES[::-1]), training, counts=True, target_sum=1e5, fields=fields) == []
    assert told((CLOSED,)) == []
    assert told((OF_CELLS,), training={'data_chunks': 2, 'checkpoint_every': 5}) == []
    assert told(settings={'linear': {'rank': 10}}) == []
    assert told(settings={'linear': {'readout_embedding': 'identity'}}, readouts=3) == []


@pytest.mark.parametrize(
    ('given', 'sentence'),
    [
        (
            {'training': {'epochs': 3}, 'models': (CLOSED,)},
            "training: 'epochs' do nothing; none of the models is trained step by step.",
        ),
        (
            {'training': {'epochs': 3, 'data_chunks': 2}, 'models': (OF_CELLS,)},
            "training: 'epochs' do nothing; models that learn from cells have settings of their own.",
        ),
        (
            {'training': {'patience': 3}, 'roles': ([TRAIN, TEST],)},
            'training.patience: it does nothing, because the split unseen_single holds out no profiles for validation',
        ),
        (
            {'training': {'sweep': {'weight_decay': [0.1, 1.0]}}, 'roles': ([TRAIN, TEST],)},
            'training.sweep: the first of its values is taken, because',
        ),
        (
            {
                'models': (LEARNED, OF_CELLS),
                'settings': {'b': {'model': 'cpa', 'training': {'epochs': 3, 'wandb': 'x'}}},
            },
            "models.b.training: 'epochs' do nothing; models that learn from cells have settings of their own.",
        ),
        ({'roles': (ROLES, ROLES[::-1], ROLES)}, 'split.seeds: the seeds [0, 2] hold out the same profiles'),
        ({'target_sum': 1e5}, 'data.target_sum: it does nothing, because data.counts is not set.'),
        ({'response': 'AUC'}, 'data.response: it does nothing, because data.readouts_are is not set.'),
        (
            {'settings': {'pca': {'model': 'linear', 'rank': 4}}, 'readouts': 5},
            'models.pca.rank: 4 components leave nothing out of the 5 readouts of small; compare it with readout_emb',
        ),
        ({'settings': {'linear': {}}, 'readouts': 11}, 'models.linear.rank: 10 components leave nothing out of the 11'),
        (
            {'screens': {'one': {'fields': {'dose': 'd', 'perturbation_type': 'CRISPRi'}}}},
            'data.screens.one.fields.dose: it does nothing, because names of the type CRISPRi take no dose.',
        ),
    ],
)
def test_settings_that_do_nothing_are_told(given, sentence):
    (found,) = told(**given)
    assert found.startswith(sentence)


def test_models_that_weights_do_not_reach_are_told():
    models = {
        'two_way': {},
        'close': {'model': 'nearest', 'embedding': 'random'},
        'linear_transfer': {'reference': 'a'},
    }
    sweep = {'linear_sweep': {'ranks': [2], 'ridges': [0.1]}}
    sentences = told(settings=models, evaluation=sweep, weights={'fitting': 'cells'})
    assert [sentence.split(':')[0] for sentence in sentences] == [
        'models.close', 'models.linear_transfer', 'evaluation.linear_sweep'
    ]  # fmt: skip
    assert sentences[0] == (
        'models.close: weights.fitting does nothing there, because neighbours count by their angles alone.'
    )
    assert told(settings=models, evaluation=sweep, weights={'scores': 'cells'}) == []
