"""LINCS P100 and GCP: 31 drugs in six cell lines, 96 phosphosites and 60 histone marks.

    python -m perturbjax.main --config=experiments/benchmark_p100_gcp.py --workdir=/tmp/p100_gcp \
        --config.data.path=../shared/data/lincs_p100_gcp

Nine plates, eight contexts (MCF7 at 24 h has both panels). 15% of the drugs validate and 15% are
tested in MCF7, at every time and on both panels; five seeds. Numbers: docs/benchmarks.md.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'gct',
        'path': '',
        'scale': 'log2-ratio',
        'missing': (-13.2877,),
        'fields': {
            'context': '{cell_id}_{pert_time}h',
            'perturbation': '{pert_iname}-{pert_dose}{pert_dose_unit}',
            'separator': '',
            'control': ('ctrl_vehicle',),
            'control_column': 'pert_type',
            'kind': 'Compound',
        },
    }
    config.split = {'name': 'unseen_in_context', 'target': 'MCF7*', 'seeds': (13, 14, 15, 16, 17)}
    config.models = {
        'context_mean': {},
        'perturbation_mean': {},
        'lpm': {'embedding': 32, 'hidden': (128, 128), 'dropout': 0.1},
    }
    config.analysis = {'mechanisms': 'experiments/p100_gcp_mechanisms.csv'}
    config.training = {
        'learning_rate': 0.002,
        'decay': 0.98,
        'weight_decay': 0.01,
        'batch': 1000,
        'epochs': 100,
        'patience': 20,
        'checkpoint_every': 1,
    }
    return config
