"""The linear baseline on Papalexi 2021: a CRISPR screen in THP-1, from raw counts of 20,729 cells.

    python -m perturbjax.main --config=experiments/linear_papalexi.py --workdir=/tmp/papalexi \
        --config.data.path=../shared/data/papalexi_2021.h5ad

25 targets x 299 genes; a fifth of the targets is unseen, five times. 15 seconds on 2 CPU cores.
L2: mean 2.59, no_change 2.62, linear_random 3.51; linear 4.90 on the 44% it can answer.
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
    config.models = {
        'linear': {'rank': 10, 'ridge': 0.1},
        'linear_random': {'model': 'linear', 'rank': 10, 'ridge': 0.1, 'perturbation_embedding': 'random'},
    }
    return config
