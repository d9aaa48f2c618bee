"""LPM on Replogle 2022, CRISPRi of essential genes: unseen perturbations of RPE1, seen in K562.

    perturbjax --config=lpm_replogle_rpe1 --workdir=/tmp/replogle_rpe1 \
        --config.data.screens.k562.path=K562_essential_normalized_bulk_01.h5ad \
        --config.data.screens.rpe1.path=rpe1_normalized_bulk_01.h5ad

As `lpm_replogle_k562.py`, but for the target and the released learning rate.

Not run at full size, so there are no numbers to expect; tested on small files of the same form.
"""

import pathlib
import runpy

import ml_collections


def get_config(_: str = '') -> ml_collections.ConfigDict:
    """The config; it takes no argument."""
    sibling = pathlib.Path(__file__).with_name('lpm_replogle_k562.py')
    config = runpy.run_path(str(sibling))['get_config']()
    config.split.context = 'RPE1'
    config.models.linear_transfer.reference = 'K562'
    config.training.learning_rate = 0.005
    return config
