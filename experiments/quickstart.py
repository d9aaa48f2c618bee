"""Every model on simulated screens: 14 pairs of perturbation and context that training has not seen.

    perturbjax --config=quickstart --workdir=/tmp/quickstart

4 minutes on 2 CPU cores that are busy with other things, half of it compiling. Expect these RMSEs: lpm 0.159,
low_rank 0.196, lpm_released 0.209 to 0.227, two_way 0.226, perturbation_mean 0.270, context_mean 0.479, no_change
0.488, mean 0.690 (each predicts everything); linear_transfer 0.195 on 79% of the values.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {'source': 'simulation', 'seed': 0, 'contexts': 12}
    config.split = {'name': 'unseen_in_context', 'context': 'context01', 'seeds': (13,)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
        'additive': {},
        'linear': {'rank': 10, 'ridge': 0.1},
        'linear_transfer': {'reference': 'context02'},
        'two_way': {},
        'low_rank': {},
        'lpm': {},
        'lpm_released': {
            'embedding_dim': 16,
            'hidden_dims': (128, 128),
            'training': {
                'learning_rate': 0.005,
                'lr_decay': 0.96,
                'weight_decay': 0.1,
                'batch_size': 500,
                'epochs': 100,
                'patience': 20,
                'checkpoint_every': 5,
            },
        },
    }
    config.evaluation = {'bootstrap_samples': 2000}
    return config
