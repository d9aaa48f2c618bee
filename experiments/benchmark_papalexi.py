"""Papalexi 2021: unseen knock-outs in THP-1, from raw counts of 20,729 cells.

    python -m perturbjax.main --config=experiments/benchmark_papalexi.py --workdir=/tmp/papalexi \
        --config.data.path=../shared/data/papalexi_2021.h5ad

25 targets x 299 genes; a fifth of the targets is unseen, five times. The linear model with several
embeddings: P from training answers only for targets that are among the genes; with a one for each
target (`identity`) an unseen one has the mean effect. The report shows the error by rank and ridge,
so that nobody need think the baseline badly chosen. Numbers: docs/benchmarks.md.
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
        'fields': {'context': 'cell_line', 'control': ('non-targeting',), 'kind': 'CRISPR-KO'},
    }
    config.split = {'name': 'unseen_single', 'test': 0.2, 'seeds': (0, 1, 2, 3, 4)}
    linear = {'model': 'linear', 'rank': 10, 'ridge': 0.1}
    config.models = {
        'linear': linear,
        'linear_random_readouts': {**linear, 'readout_embedding': 'random'},
        'linear_random': {**linear, 'perturbation_embedding': 'random'},
        'linear_identity': {**linear, 'perturbation_embedding': 'identity'},
    }
    config.evaluation = {'linear_grid': {'ranks': (2, 5, 10, 15), 'ridges': (0.01, 0.1, 1.0, 10.0)}}
    return config
