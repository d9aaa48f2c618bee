"""Norman 2019: growth of K562 with pairs of 113 genes activated, one number each.

    perturbjax --config=benchmark_norman_fitness --workdir=/tmp/norman_fitness \
        --config.data.path=../shared/data/norman_2019_fitness/double_fitness.csv \
        --config.data.singles=../shared/data/norman_2019_fitness/single_fitness.csv

All 113 single genes train, and a random half of the 6,328 pairs, five times; the other half is
tested. With both embeddings `identity` the linear model is a ridge regression on which genes were
activated.

4 minutes on 2 CPU cores, which were busy. Expect these L2s: lpm 0.0238, low_rank 0.0246, two_way 0.0399,
linear 0.0436, lpm_released 0.0615, additive 0.0675, mean 0.147, no_change 0.335. All metrics: docs/benchmarks.md.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'matrix',
        'path': '',
        'singles': '',
        'single': 'average_fitness',
        'readout': 'fitness',
        'scale': 'fitness',
        'fields': {'context_name': 'K562', 'perturbation_type': 'CRISPRa'},
    }
    config.split = {'name': 'unseen_double', 'test': 0.5, 'seeds': (0, 1, 2, 3, 4)}
    config.models = {
        'additive': {},
        'linear': {'ridge': 0.1, 'readout_embedding': 'identity', 'perturbation_embedding': 'identity'},
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
                'batch_size': 160,
                'epochs': 100,
                'checkpoint_every': 100,
            },
        },
    }
    return config
