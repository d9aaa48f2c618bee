"""Raw profiles in the form of an embedding table; every claim about embeddings is compared with them."""

from collections.abc import Sequence

import anndata
import numpy as np
import pandas as pd

from perturbjax.analysis.embeddings import named_rows
from perturbjax.models.baselines import control_sums, delta
from perturbjax.screens.screen import Compendium


def mean_deltas(compendium: Compendium, training: Sequence[np.ndarray] | None = None) -> anndata.AnnData:
    """The mean change of each single perturbation over its profiles, `[P, M]`, in the form of `axis_table`.

    A change is a profile minus the control of its context, on the scale of the screens. It is NaN where no
    profile of the perturbation measured the readout. Perturbations without a profile have no row.

    Args:
      compendium: the screens.
      training: which profiles count, one bool `[N]` per screen; all if None.
    """
    masks = training or tuple(np.ones(len(screen.context), bool) for screen in compendium.screens)
    names = compendium.vocabulary
    shape = len(names.perturbations), len(names.readouts)
    total, number, profiles = np.zeros(shape), np.zeros(shape), np.zeros(shape[0], np.int32)
    control = control_sums(compendium, tuple(masks))
    for screen, mask in zip(compendium.screens, masks, strict=True):
        single = np.asarray(mask) & (screen.order == 1)
        change, ids = np.asarray(delta(screen, control))[single], screen.perturbation[single, 0]
        block = np.ix_(ids, screen.readout)
        np.add.at(total, block, np.nan_to_num(change))
        np.add.at(number, block, ~np.isnan(change))
        np.add.at(profiles, ids, 1)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan).astype(np.float32)
    readouts = pd.DataFrame(index=pd.Index(names.readouts, dtype=object))
    rows = named_rows('perturbation', names.perturbations, profiles)
    return anndata.AnnData(mean, rows, readouts)[profiles > 0].copy()
