"""The smallest run of everything, for tests.

    perturbjax --config=tiny --workdir=/tmp/tiny

Half a minute on 2 CPU cores, most of it start-up and compiling. Expect an RMSE of 0.484 from
perturbation_mean, 0.718 from context_mean, 0.728 from no_change and 0.891 from mean. LPM has trained
for 3 epochs only and is far from done: 6.36.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'simulation',
        'contexts': 3,
        'targets': 10,
        'compounds': 4,
        'doubles': 4,
        'readouts': 24,
        'programs': 3,
        'cells': 6,
    }
    config.split = {'name': 'unseen_in_context', 'context': 'context1', 'seeds': (13, 14)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
        'additive': {},
        'linear': {'rank': 3, 'ridge': 0.1},
        'lpm': {'model': 'lpm_released', 'embedding_dim': 4, 'hidden_dims': (8, 8), 'dropout': 0.1},
    }
    config.training = {'batch_size': 200, 'epochs': 3}
    config.evaluation = {'bootstrap_samples': 100}
    return config
