"""The smallest run of everything, for tests: seconds.

python -m perturbjax.main --config=experiments/tiny.py --workdir=/tmp/tiny
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
    config.split = {'name': 'unseen_in_context', 'target': 'context1', 'seeds': (13, 14)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
        'additive': {},
        'linear': {'rank': 3, 'ridge': 0.1},
        'lpm': {'embedding': 4, 'hidden': (8, 8), 'dropout': 0.1},
    }
    config.training = {'batch': 200, 'epochs': 3}
    config.evaluation = {'replicates': 100}
    return config
