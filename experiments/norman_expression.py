"""Norman 2019: pairs of genes activated in K562, their expression: a part of the cells, or all pairs as centroids.

    perturbjax --config=norman_expression:subset --workdir=/tmp/norman_subset \
        --config.data.path=../shared/data/norman_2019_expression/norman19_subset_k562.h5ad
    perturbjax --config=norman_expression:geometry --workdir=/tmp/norman_geometry \
        --config.data.path=../shared/data/norman_2019_expression/norman_2019_geometry_237.h5ad

`subset` is 3,375 cells x 500 genes: control, 18 single genes and 15 pairs, of which 5 have both genes alone.
`geometry` is all 105 single genes and 131 pairs as centroids in 50 axes, found up to rotation from the
published distances between perturbations; the axes are no genes, control is at 0, and there are no replicates.
Both train on all single genes and on a random half of the pairs, five times; the other half is tested. Few or
none of the genes are readouts, so `identity` is the embedding of perturbations.

2 minutes on 2 CPU cores. Expect these L2s for the geometry: lpm 0.432, two_way 0.472, linear 0.583,
additive 0.699, mean 0.866, no_change 1.24; for the subset: linear 1.37, two_way 1.62, lpm 1.65, mean 1.98, no_change
2.05, additive 0.452 (on the third of the values that it predicts).
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

# The scale of the values of each, and its column of cell lines.
SCREENS = {'subset': ('log1p', 'cell_type'), 'geometry': ('as-measured', 'context')}


def get_config(screen: str = 'subset') -> ml_collections.ConfigDict:
    """The config for one of `SCREENS`."""
    if screen not in SCREENS:
        raise InputError(f'norman_expression.py: no such screen {screen!r}; {did_you_mean(screen, SCREENS)}')
    config = ml_collections.ConfigDict()
    config.seed = 0
    scale, context = SCREENS[screen]
    fields = {'context': context, 'perturbation': 'condition', 'control': ('ctrl',), 'perturbation_type': 'CRISPRa'}
    config.data = {'source': 'h5ad', 'path': '', 'scale': scale, 'fields': fields}
    config.split = {'name': 'unseen_double', 'test': 0.5, 'seeds': (0, 1, 2, 3, 4)}
    config.models = {
        'additive': {},
        'two_way': {},
        'low_rank': {},
        'lpm': {},
        'linear': {'rank': 10, 'ridge': 0.1, 'perturbation_embedding': 'identity'},
    }
    return config
