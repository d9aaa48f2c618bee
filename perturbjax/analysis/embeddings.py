"""The embedding tables of checkpoints as AnnData: names on every axis, ready for scanpy."""

import os
from collections.abc import Mapping, Sequence

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.errors import InputError, did_you_mean
from perturbjax.screens.vocabulary import perturbation_type, target_gene
from perturbjax.training.checkpoints import Checkpoint, param_names, read

AXES = {'context': 'contexts', 'perturbation': 'perturbations', 'readout': 'readouts'}

# What is read of a checkpoint's params; the shapes are the checkpoint's own.
_TABLES = {
    'weights': {name: np.zeros(0) for axis in AXES for name in (axis, f'{axis}_projection')},
    'constants': {f'{axis}_counts': np.zeros(0) for axis in AXES} | {'features': dict.fromkeys(AXES, np.zeros(0))},
}


def read_embeddings(folders: str | os.PathLike | Sequence[str | os.PathLike]) -> anndata.AnnData:
    """The three tables of an LPM checkpoint, or of several (one per seed), one row per name.

    `X` is `[C + P + M, D]` for each checkpoint, one below the other. `axis_table` takes one axis out
    of it, or out of a workdir's `embeddings.h5ad`. `obs` has the columns axis, name, perturbation type,
    target (the name without its type), the number of training profiles of the name (0: its embedding is
    untrained, or follows from features alone), model and split seed. The members of an ensemble have seeds of
    their own: `13/0`, `13/1`. Where an axis is narrower than the widest one, its missing columns are NaN.

    Args:
      folders: `WORKDIR/checkpoints/MODEL/SPLIT_SEED`, or several of them.

    Raises:
      InputError: there is no checkpoint, it cannot be read, or it has no embedding tables.
    """
    if isinstance(folders, str | os.PathLike):
        folders = [folders]
    if not folders:
        raise InputError('embeddings: no checkpoint is named; give WORKDIR/checkpoints/MODEL/SPLIT_SEED.')
    found = anndata.concat([_one_checkpoint(folder) for folder in folders], join='outer', fill_value=np.nan)
    if found.obs['split'].dtype == object:  # members beside single models
        found.obs['split'] = found.obs['split'].astype(str)
    return found


def has_tables(folder: str | os.PathLike) -> bool:
    """Whether the folder holds a checkpoint with an embedding table for each axis, as LPM's."""
    weights = param_names(folder).get('weights', {})
    return isinstance(weights, Mapping) and {*AXES} <= set(weights)


def axis_table(embeddings: anndata.AnnData, axis: str = 'perturbation', untrained: bool = False) -> anndata.AnnData:
    """The rows of one axis, without the columns that only wider axes have.

    Args:
      embeddings: as `read_embeddings` gives them.
      axis: context, perturbation or readout.
      untrained: keep the names that no training profile had; their vectors are as they were drawn.

    Raises:
      InputError: there is no such axis, or no row of it.
    """
    if axis not in AXES:
        raise InputError(f'embeddings: there is no axis {axis!r}; {did_you_mean(axis, AXES)}')
    missing = sorted({'axis', 'name', 'type', 'target', 'training_profiles'} - set(embeddings.obs))
    if missing:
        raise InputError(f'embeddings: obs has no column {missing[0]!r}; take them from read_embeddings.')
    chosen = (embeddings.obs['axis'] == axis) & (untrained | (embeddings.obs['training_profiles'] > 0))
    if not chosen.any():
        raise InputError(f'embeddings: no {axis} had training profiles.')
    rows = embeddings[chosen.to_numpy()]
    return rows[:, ~np.isnan(rows.X).all(axis=0)].copy()


def _one_checkpoint(folder: str | os.PathLike) -> anndata.AnnData:
    checkpoint, label = read(folder, _TABLES, part=True), epath.Path(folder).absolute().parent.name
    seed = checkpoint.about.split['seed']
    params = checkpoint.params if isinstance(checkpoint.params, dict) else {}
    weights, constants = params.get('weights', {}), params.get('constants', {})
    if not {*AXES} <= set(weights) or not {f'{axis}_counts' for axis in AXES} <= set(constants):
        raise InputError(f'{folder}: this model has no embedding tables; only checkpoints of LPM have them.')
    features = constants.get('features', {})
    members = [{axis: _embedded(axis, weights, features, i) for axis in AXES} for i in range(len(weights['context']))]
    seeds = [seed] if len(members) == 1 else [f'{seed}/{i}' for i in range(len(members))]
    each = [_one_member(own, checkpoint, label, name, folder) for own, name in zip(members, seeds, strict=True)]
    return anndata.concat(each)


def _embedded(
    axis: str, weights: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray], member: int
) -> np.ndarray:
    """The embeddings of a member: rows of a table, and what a projection of features adds, where there are some."""
    if axis not in features:
        return weights[axis][member]
    return weights[axis][member] + features[axis] @ weights[f'{axis}_projection'][member]


def _one_member(
    weights: Mapping[str, np.ndarray], checkpoint: Checkpoint, label: str, seed: int | str, folder: str | os.PathLike
) -> anndata.AnnData:
    tables = [_table(axis, weights[axis], checkpoint, folder) for axis in AXES]
    joined = anndata.concat(tables, join='outer', fill_value=np.nan)
    joined.obs = joined.obs.assign(model=label, split=seed)
    joined.obs_names = pd.Index([f'{label}/{seed}/{row.axis}/{row.name}' for row in joined.obs.itertuples()])
    return joined


def _table(axis: str, table: np.ndarray, checkpoint: Checkpoint, folder: str | os.PathLike) -> anndata.AnnData:
    counts = checkpoint.params['constants'][f'{axis}_counts']
    names = getattr(checkpoint.about.vocabulary, AXES[axis])
    if not len(names) == len(table) == len(counts):
        raise InputError(
            f'{folder}: the vocabulary names {len(names)} {AXES[axis]} and the table has {len(table)} rows; '
            'the checkpoint was put together from two, so train again.'
        )
    columns = pd.DataFrame(index=pd.Index([str(i) for i in range(table.shape[1])], dtype=object))
    return anndata.AnnData(np.asarray(table, np.float32), named_rows(axis, names, counts), columns)


def named_rows(axis: str, names: Sequence[str], training_profiles: np.ndarray) -> pd.DataFrame:
    """The rows of `obs` for the names on an axis; only perturbations have a type, other names are their own target."""
    typed = axis == 'perturbation'
    obs = {
        'axis': axis,
        'name': list(names),
        'type': [perturbation_type(name) if typed else '' for name in names],
        'target': [target_gene(name) if typed else name for name in names],
        'training_profiles': training_profiles,
    }
    return pd.DataFrame(obs, index=pd.Index([f'{axis}/{name}' for name in names], dtype=object))
