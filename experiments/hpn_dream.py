"""HPN-DREAM 2013: stimuli and inhibitors, alone and together, on four breast cancer lines; 48 phosphoproteins.

    perturbjax --config=hpn_dream --workdir=/tmp/hpn_dream \
        --config.data.path=../shared/data/hpn_dream_2013_4lines.h5ad

A combination is a stimulus and an inhibitor; the file says each in a column of its own, and a template joins
them. PBS and DMSO are control. Each line at each time is a context, 24 in all; time 0 is left out, because
the file repeats one well there under all stimuli. GSK690693&GSK1120212, two inhibitors that were only given
together, count as one. Values are levels, so log2 of them is taken.

All stimuli and inhibitors alone train, and a random half of the 21 combinations, five times; the other half is
tested in every context. No perturbation is a readout, so `identity` is the only embedding of the linear model
that can be used here. There are no replicates.

1 minute on 2 CPU cores. Expect these L2s: lpm 1.74, linear 1.98, low_rank and two_way 1.99,
additive 2.06 (on 91% of the values),
context_mean 3.02, no_change 4.04, mean 7.22.
"""

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'h5ad',
        'path': '',
        'log2': True,
        'scale': 'log2',
        'fields': {
            'context': '{cell_line}_{minutes}min',
            'perturbation': '{stimulus}+{inhibitor}',
            'control': ('PBS', 'DMSO'),
            'where': {'minutes': {'above': 0}},
        },
    }
    config.split = {'name': 'unseen_double', 'test': 0.5, 'seeds': (0, 1, 2, 3, 4)}
    config.models = {
        'additive': {},
        'context_mean': {},
        'two_way': {},
        'low_rank': {},
        'lpm': {},
        'linear': {'rank': 10, 'ridge': 0.1, 'perturbation_embedding': 'identity'},
    }
    return config
