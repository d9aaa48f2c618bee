"""Horn 2011: pairs of 93 Drosophila genes, each knocked down with two reagents, one readout of the cells.

    python -m perturbjax.main --config=experiments/benchmark_fly_mapk.py --workdir=/tmp/fly_mapk \
        --config.data.path=../shared/data/fly_mapk_2011.h5ad

Or `benchmark_fly_mapk.py:nuclear_area`: the readouts have units of their own, so each is a run.
All 93 single genes train, and a random half of the 4,278 pairs, five times; the other half is
tested. Wells are replicates: 16 of a pair, 8 of a single gene, 2 of control. With both embeddings
`identity` the linear model is a ridge regression on which genes were knocked down.

Values are as measured, with the effects of 192 plates in them. A plate holds the pairs of two
reagents with all others, so centring plates would take out what those two do; and a pair's wells
lie half on the plates of either gene, a single gene's half on its own and half on control's. So in
the additive rule, A + B - control, plate effects cancel. Numbers: docs/benchmarks.md.
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
        'fields': {'context_name': 'S2', 'kind': 'RNAi', 'readout_where': {'index': readout}},
    }
    config.split = {'name': 'unseen_double', 'test': 0.5, 'seeds': (0, 1, 2, 3, 4)}
    # No dropout: the values' level is 10 to 30 times their spread, and dropout would be noise on the level.
    config.models = {
        'additive': {},
        'linear': {'ridge': 0.1, 'readout_embedding': 'identity', 'perturbation_embedding': 'identity'},
        'lpm': {'embedding': 32, 'hidden': (128, 128), 'dropout': 0.0},
    }
    config.training = {'learning_rate': 0.002, 'decay': 0.98, 'batch': 100, 'epochs': 100, 'checkpoint_every': 100}
    return config
