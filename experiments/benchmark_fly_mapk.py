"""Horn 2011: pairs of 93 Drosophila genes, each knocked down with two reagents, one readout of the cells.

    perturbjax --config=benchmark_fly_mapk --workdir=/tmp/fly_mapk \
        --config.data.path=../shared/data/fly_mapk_2011.h5ad

Or `benchmark_fly_mapk:nuclear_area`: the readouts have units of their own, so each one is a run.
All 93 single genes train, and a random half of the 4,278 pairs, five times; the other half is
tested. Wells are replicates: 16 of a pair, 8 of a single gene, 2 of control. With both embeddings
`identity` the linear model is a ridge regression on which genes were knocked down.

Values are as measured and contain the effects of 192 plates. They are not centred by plate: a plate
holds the pairs of two reagents with all others, so centring it would also remove what those two
reagents do. The additive rule, A + B - control, is safe from plate effects: half of a pair's wells
lie on the plates of one gene and half on those of the other, and half of a single gene's wells lie on
its own plates and half on control's, so that the effects cancel.

3 minutes on 2 CPU cores. Expect these L2s for the cell number: lpm 0.0309, low_rank 0.0329, two_way 0.0491,
additive 0.0551, linear 0.0654, lpm_released 0.0963, mean 0.392, no_change 0.456; for the nuclear area: additive
0.696, linear 0.701, lpm_released 0.731, mean 3.10. All metrics: docs/benchmarks.md.
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

# The scale of each.
READOUTS = {'log2_cell_number': 'log2', 'nuclear_area': 'as-measured'}


def get_config(readout: str = 'log2_cell_number') -> ml_collections.ConfigDict:
    """The config for one of `READOUTS`."""
    if readout not in READOUTS:
        raise InputError(f'benchmark_fly_mapk.py: no such readout {readout!r}; {did_you_mean(readout, READOUTS)}')
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {
        'source': 'h5ad',
        'path': '',
        'scale': READOUTS[readout],
        'fields': {'context_name': 'S2', 'perturbation_type': 'RNAi', 'readout_where': {'index': readout}},
    }
    config.split = {'name': 'unseen_double', 'test': 0.5, 'seeds': (0, 1, 2, 3, 4)}
    # No dropout: the values' level is 10 to 30 times their spread, and dropout would be noise on the level.
    config.models = {
        'additive': {},
        'linear': {'ridge': 0.1, 'readout_embedding': 'identity', 'perturbation_embedding': 'identity'},
        'two_way': {},
        'low_rank': {},
        'lpm': {},
        'lpm_released': {
            'embedding_dim': 32,
            'hidden_dims': (128, 128),
            'dropout': 0.0,
            'training': {
                'learning_rate': 0.002,
                'lr_decay': 0.98,
                'batch_size': 100,
                'epochs': 100,
                'checkpoint_every': 100,
            },
        },
    }
    return config
