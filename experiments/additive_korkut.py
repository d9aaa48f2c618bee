"""The additive model on Korkut 2015: drugs alone and in pairs on SK-MEL-133, 87 proteins and phenotypes.

    python -m perturbjax.main --config=experiments/additive_korkut.py --workdir=/tmp/korkut \
        --config.data.path=../shared/data/korkut_2015_skmel133.h5ad

All 23 singles train; all 66 pairs are tested. 10 seconds. Mean L2 over the 87 readouts: additive
2.01, mean 3.38, no_change 4.36.
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
        'fields': {'context': 'cell_line', 'perturbation': 'condition', 'kind': 'Compound'},
    }
    config.split = {'name': 'unseen_double', 'test': 1.0, 'seeds': (0,)}
    config.models = {'additive': {}}
    return config
