"""A dose that nobody measured is predicted from the others of its compound, by the numbers in names."""

import numpy as np
from models_for_tests import train_lpm
from screens_for_tests import measurements, query_of

from perturbjax.models import context_mean
from perturbjax.models.lpm import lpm
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import TEST, TRAIN, make_split

SETTINGS = {'embedding_dim': 8, 'hidden_dims': (32,), 'folds': 2, 'mix': ()}
TRAINING = {'epochs': 10, 'epoch_steps': 60, 'batch_profiles': 32, 'learning_rate': 0.01, 'shards': 4}
DOSES = (0.1, 0.3, 1, 3, 10, 30)


def curves():
    """Twelve compounds, each with a direction of its own and a dose response that is a sigmoid of the log dose."""
    rng = np.random.default_rng(0)
    level, direction = rng.normal(size=(2, 6)), 3 * rng.normal(size=(12, 6))
    rows = [(c, 'control', level[i]) for i, c in enumerate('ab')]
    for i, c in enumerate('ab'):
        for number in range(12):
            for dose in DOSES:
                change = direction[number] / (1 + (2 / dose) ** 2) + 0.1 * rng.normal(size=6)
                rows.append((c, f'Compound_x{number:02}-{dose:g}uM', level[i] + change))
    compendium = assemble([measurements(rows, [f'r{i}' for i in range(6)])], ['log1p'])
    return compendium, make_split(compendium, 'unseen_single', 1, test=0.25, validation=0.0)


def test_a_dose_between_measured_ones_shares_their_strength(tmp_path):
    compendium, split = curves()
    (screen,), tested = compendium.screens, split.mask(TEST)[0]

    def l2(model, params):
        error = np.asarray(model.predict(params, query_of(screen))) - screen.values
        return np.sqrt((error[tested] ** 2).sum(axis=1)).mean()

    with_features = SETTINGS | {'features': {'perturbation': ['numbers', 'rests']}}
    found = l2(lpm(**with_features), train_lpm(with_features, TRAINING, compendium, split, tmp_path))
    rule = context_mean()
    expected = l2(rule, rule.fit(compendium, split.mask(TRAIN)))
    assert found < 0.8 * expected
