"""Korkut 2015: drugs alone and in pairs on SK-MEL-133, 87 proteins and phenotypes.

    perturbjax --config=benchmark_korkut --workdir=/tmp/korkut \
        --config.data.path=../shared/data/korkut_2015_skmel133.h5ad

All 23 single drugs train, and a random half of the 66 pairs, five times; the other half is tested.
No drug is a readout, so `identity` is the only embedding of the linear model that can be used here.
With it, the model is a ridge regression on which drugs were given.

1 minute on 2 CPU cores. Expect these L2s: lpm 1.29, low_rank and two_way 1.33, linear 1.44,
lpm_released 1.83, additive 1.93, mean 3.19, no_change 4.18. All metrics: docs/benchmarks.md.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'h5ad',
        'path': '',
        'scale': 'log-fold-change',
        'counts': False,
        'fields': {'context': 'cell_line', 'perturbation': 'condition', 'perturbation_type': 'Compound'},
    }
    config.split = {'name': 'unseen_double', 'test': 0.5, 'seeds': (0, 1, 2, 3, 4)}
    config.models = {
        'additive': {},
        'linear': {'rank': 10, 'ridge': 0.1, 'perturbation_embedding': 'identity'},
        'two_way': {},
        'low_rank': {},
        'lpm': {},
        'lpm_released': {
            'embedding_dim': 32,
            'hidden_dims': (128, 128),
            'dropout': 0.1,
            'training': {
                'learning_rate': 0.002,
                'lr_decay': 0.98,
                'batch_size': 250,
                'epochs': 100,
                'checkpoint_every': 100,
            },
        },
    }
    return config
