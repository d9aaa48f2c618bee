"""LINCS P100 and GCP: 31 drugs in six cell lines, 96 phosphosites and 60 histone marks.

    perturbjax --config=benchmark_p100_gcp --workdir=/tmp/p100_gcp \
        --config.data.path=../shared/data/lincs_p100_gcp

There are nine plates and eight contexts (MCF7 at 24 h has both panels). 15% of the drugs validate and
15% are tested in MCF7, at every time and on both panels; five seeds.

6 minutes on 2 CPU cores, which were busy. Expect these L2s: lpm 4.58, low_rank 4.74, two_way 4.80,
context_mean 4.91, lpm_released 6.04, no_change 7.31, mean 7.91, perturbation_mean 10.9 (on
96% of the values). Of the drugs that share a mechanism with another, 0.24
have such a one as their nearest, by the published LPM's embeddings and by the raw profiles alike. More:
docs/benchmarks.md and docs/embeddings.md.
"""

import pathlib

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'gct',
        'path': '',
        'scale': 'log2-ratio',
        'missing_values': (-13.2877,),
        'fields': {
            'context': '{cell_id}_{pert_time}h',
            'perturbation': '{pert_iname}-{pert_dose}{pert_dose_unit}',
            'separator': '',
            'control': ('ctrl_vehicle',),
            'control_column': 'pert_type',
            'perturbation_type': 'Compound',
        },
    }
    config.split = {'name': 'unseen_in_context', 'context': 'MCF7*', 'seeds': (13, 14, 15, 16, 17)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
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
                'weight_decay': 0.01,
                'batch_size': 1000,
                'epochs': 100,
                'patience': 20,
                'checkpoint_every': 1,
            },
        },
    }
    config.analysis = {'mechanisms': str(pathlib.Path(__file__).with_name('p100_gcp_mechanisms.csv'))}
    return config
