"""Papalexi 2021: unseen knock-outs in THP-1, from raw counts of 20,729 cells.

    perturbjax --config=benchmark_papalexi --workdir=/tmp/papalexi \
        --config.data.path=../shared/data/papalexi_2021.h5ad

25 targets x 299 genes; a fifth of the targets is unseen, five times. The linear model takes part with
several embeddings. With P from training it answers only for targets that are among the genes; with
one vector for each target (`identity`) it predicts the mean effect for an unseen one. The report
shows the error by rank and ridge, so that the baseline cannot be suspected of poor settings.

1 minute on 2 CPU cores. Expect these L2s: lpm 2.50, own_readout 2.52, two_way 2.54, linear_identity 2.57,
mean 2.59, no_change 2.62, linear_random 3.51; on 44% of the values linear_random_readouts 3.10 and linear
4.90. All metrics: docs/benchmarks.md.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'h5ad',
        'path': '',
        'scale': 'log1p',
        'counts': True,
        'fields': {'context': 'cell_line', 'control': ('non-targeting',), 'perturbation_type': 'CRISPR-KO'},
    }
    config.split = {'name': 'unseen_single', 'test': 0.2, 'seeds': (0, 1, 2, 3, 4)}
    linear = {'model': 'linear', 'rank': 10, 'ridge': 0.1}
    config.models = {
        'own_readout': {},
        'two_way': {},
        'lpm': {},
        'linear': linear,
        'linear_random_readouts': {**linear, 'readout_embedding': 'random'},
        'linear_random': {**linear, 'perturbation_embedding': 'random'},
        'linear_identity': {**linear, 'perturbation_embedding': 'identity'},
    }
    config.evaluation = {'linear_sweep': {'ranks': (2, 5, 10, 15), 'ridges': (0.01, 0.1, 1.0, 10.0)}}
    return config
