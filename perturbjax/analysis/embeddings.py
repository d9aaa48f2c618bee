"""Embedding tables of a checkpoint as AnnData: names on every axis, ready for scanpy."""

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.errors import InputError
from perturbjax.screens.vocabulary import perturbation_type
from perturbjax.training.checkpoints import Checkpoint, read

AXES = {'context': 'contexts', 'perturbation': 'perturbations', 'readout': 'readouts'}


def read_embeddings(folder: str) -> anndata.AnnData:
    """The three tables of the LPM checkpoint in `WORKDIR/checkpoints/MODEL/SPLIT_SEED`, one row per name.

    `X` is `[C + P + M, D]`.

    `obs` says axis, name, perturbation type, how many training profiles the name had (0: its
    embedding is untrained), model and split seed. Where an axis is narrower than the widest,
    its missing columns are NaN.

    Raises InputError where there is no checkpoint, or one without embedding tables.
    """
    checkpoint, label = read(folder), epath.Path(folder).parent.name
    seed = checkpoint.about.split['seed']
    weights = checkpoint.params.get('weights') if isinstance(checkpoint.params, dict) else None
    if weights is None or not set(AXES) <= set(weights):
        raise InputError(f'{folder}: this checkpoint has no embedding tables; only LPM has them.')
    tables = [_table(axis, weights[axis], checkpoint) for axis in AXES]
    joined = anndata.concat(tables, join='outer', fill_value=np.nan)
    joined.obs = joined.obs.assign(model=label, split=seed)
    joined.obs_names = pd.Index([f'{label}/{seed}/{row.axis}/{row.name}' for row in joined.obs.itertuples()])
    return joined


def _table(axis: str, table: np.ndarray, checkpoint: Checkpoint) -> anndata.AnnData:
    names = getattr(checkpoint.about.vocabulary, AXES[axis])
    kinds = [perturbation_type(name) if axis == 'perturbation' else '' for name in names]
    obs = pd.DataFrame(
        {
            'axis': axis,
            'name': list(names),
            'type': kinds,
            'training_profiles': checkpoint.params[AXES[axis]],
        },
        index=pd.Index([f'{axis}/{name}' for name in names], dtype=object),
    )
    columns = pd.DataFrame(index=pd.Index([str(i) for i in range(table.shape[1])], dtype=object))
    return anndata.AnnData(np.asarray(table, np.float32), obs=obs, var=columns)
