"""Unseen single genes in K562 and RPE1, expression as GEARS processed it: the linear model and its embeddings.

    perturbjax --config=benchmark_singles:adamson --workdir=/tmp/adamson \
        --config.data.screens.adamson.path=adamson/perturb_processed.h5ad
    perturbjax --config=benchmark_singles:replogle_k562 --workdir=/tmp/k562 \
        --config.data.screens.replogle_k562.path=replogle_k562.h5ad \
        --config.data.screens.replogle_rpe1.path=replogle_rpe1.h5ad

As in Ahlmann-Eltze et al. 2025: GEARS' split, twice; 10 components, ridge 0.1. With `:replogle_k562`
or `:replogle_rpe1` the whole of the other screen is in training, and `linear_transfer` learns from it.
The report sets the published scores of other methods beside those of the same perturbations.
Two files of the same name must be renamed, since a screen is named after its file.

Not run at full size, so there are no numbers to expect; tested on small files of the same form.
"""

import ml_collections

from perturbjax.errors import InputError, did_you_mean

# The screen that is tested, and the one that the transfer model learns from.
REFERENCES = {'adamson': '', 'replogle_k562': 'replogle_rpe1', 'replogle_rpe1': 'replogle_k562'}


def get_config(screen: str = 'adamson') -> ml_collections.ConfigDict:
    """The config for one of `REFERENCES`."""
    if screen not in REFERENCES:
        raise InputError(f'benchmark_singles.py: no such screen {screen!r}; {did_you_mean(screen, REFERENCES)}')
    reference = REFERENCES[screen]
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.data = {'screens': {name: _source(name) for name in (screen, reference) if name}}
    config.split = {'name': 'gears_simulation', 'context': screen, 'seeds': (1, 2)}
    linear = {'model': 'linear', 'rank': 10, 'ridge': 0.1}
    config.models = {
        'linear': linear,
        'linear_random_readouts': {**linear, 'readout_embedding': 'random'},
        'linear_random': {**linear, 'perturbation_embedding': 'random'},
        'linear_identity_readouts': {**linear, 'readout_embedding': 'identity'},
        'linear_identity': {**linear, 'perturbation_embedding': 'identity'},
    }
    config.evaluation = {
        'linear_sweep': {'ranks': (2, 5, 10, 20, 50), 'ridges': (0.01, 0.1, 1.0, 10.0)},
        'published': screen,
    }
    if reference:
        config.models.linear_transfer = {'reference': reference}
    return config


def _source(name: str) -> dict:
    # The screen's name is its context: whatever the file calls its cells.
    fields = {'context': '', 'context_name': name, 'perturbation_type': 'CRISPRi'}
    return {'source': 'h5ad', 'path': '', 'preset': 'gears', 'fields': fields}
