"""LPM on Replogle 2022, CRISPRi of essential genes: unseen perturbations of K562, seen in RPE1.

    perturbjax --config=lpm_replogle_k562 --workdir=/tmp/replogle_k562 \
        --config.data.screens.k562.path=K562_essential_normalized_bulk_01.h5ad \
        --config.data.screens.rpe1.path=rpe1_normalized_bulk_01.h5ad

The recipe is the released one (Miladinovic et al. 2025): gem-group z-normalised bulk, seed 13,
15% of the target's perturbations validate and 15% are tested.

Not run at full size, so there are no numbers to expect; tested on small files of the same form.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'screens': {
            'k562': {'source': 'h5ad', 'path': '', 'preset': 'replogle_bulk', 'fields': {'context_name': 'K562'}},
            'rpe1': {'source': 'h5ad', 'path': '', 'preset': 'replogle_bulk', 'fields': {'context_name': 'RPE1'}},
        }
    }
    config.split = {'name': 'unseen_in_context', 'context': 'K562', 'seeds': (13,)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
        'linear_transfer': {'reference': 'RPE1'},
        'lpm_released': {'embedding_dim': 32, 'hidden_dims': (512, 512), 'dropout': 0.0},
    }
    config.training = {'learning_rate': 0.002, 'lr_decay': 0.99, 'batch_size': 5000, 'epochs': 50}
    return config
