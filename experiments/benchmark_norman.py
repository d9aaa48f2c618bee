"""Norman 2019: pairs of genes activated in K562, their expression as GEARS processed it.

    perturbjax --config=benchmark_norman --workdir=/tmp/norman \
        --config.data.path=norman/perturb_processed.h5ad

As in Ahlmann-Eltze et al. 2025, all singles train, and a random half of the 124 pairs, five times;
the other half is tested. With `benchmark_norman:simulation` genes are unseen too, by GEARS' split,
twice.

The report sets the published scores of GEARS, CPA, scGPT and others beside those of the same pairs.

Not run at full size, so there are no numbers to expect; tested on small files of the same form.
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

SPLITS = {
    'doubles': {'name': 'unseen_double', 'test': 0.5, 'seeds': (1, 2, 3, 4, 5)},
    'simulation': {'name': 'gears_simulation', 'seeds': (1, 2)},
}


def get_config(split: str = 'doubles') -> ml_collections.ConfigDict:
    """The config for one of `SPLITS`."""
    if split not in SPLITS:
        raise InputError(f'benchmark_norman.py: no such split {split!r}; {did_you_mean(split, SPLITS)}')
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {'source': 'h5ad', 'path': '', 'preset': 'gears', 'fields': {'perturbation_type': 'CRISPRa'}}
    config.split = SPLITS[split]
    config.models = {'additive': {}, 'linear': {'rank': 10, 'ridge': 0.1}}
    if split == 'doubles':
        config.evaluation = {'published': 'norman'}
    return config
