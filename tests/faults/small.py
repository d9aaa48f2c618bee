"""A config for whole launches: one small model and one rule, and as many epochs as a test asks for."""

import ml_collections

from experiments import tiny


def get_config(epochs: str = '3') -> ml_collections.ConfigDict:
    """The config; its argument is the number of epochs."""
    config = tiny.get_config()
    config.split.seeds = (13,)
    config.models = {
        'mean': {},
        'lpm': {'model': 'lpm_released', 'embedding_dim': 2, 'hidden_dims': (4,), 'dropout': 0.1},
    }
    config.training.epochs = int(epochs)
    config.evaluation.bootstrap_samples = 5
    return config
