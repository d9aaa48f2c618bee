"""Reads and writes the pair of h5ad files that cell-eval compares: one true, one predicted, with the same names.

Source of the format: `PerturbationAnndataPair` of ArcInstitute/cell-eval.
"""

from collections.abc import Sequence

import anndata
import h5py
import numpy as np
import pandas as pd
from absl import logging
from etils import epath

from perturbjax import workdir
from perturbjax.errors import InputError, listed
from perturbjax.interop.foreign import CONTEXTS, CONTROLS, Foreign, cut, plain_names
from perturbjax.readers.h5ad import read_h5ad_screen
from perturbjax.readers.hdf5 import open_hdf5
from perturbjax.readers.naming.fields import Fields
from perturbjax.screens.aggregation import average

CONTROL = 'non-targeting'
# The column of targets. cell-eval's default was the first and is now the second, so our files have both.
TARGETS = ('target', 'target_gene')
# The layer with the values as they are, in files whose X was lifted above 0.
UNSHIFTED = 'unshifted'
_NOTE = (
    'pseudobulk: one mean profile per target and celltype, no cells; '
    'only metrics of means apply (--profile anndata --celltype-col celltype), no differential expression'
)


def read_cell_eval(path: str) -> Foreign:
    """Reads the predictions of an h5ad file with obs `target` or `target_gene`, and optionally `celltype`.

    The rows (cells) of one target and celltype are averaged.

    Raises:
      InputError: the file is no h5ad, or has no column of targets.
    """
    with open_hdf5(path, 'h5ad') as file:
        obs, var = (_columns(file, table) for table in ('obs', 'var'))
        layer = UNSHIFTED if f'layers/{UNSHIFTED}' in file else ''
    target = next((name for name in TARGETS if name in obs), None)
    context = next((name for name in CONTEXTS if name in obs), '')
    if target is None:
        mend = 'it needs one of them for the conditions'
        if set(TARGETS) & set(var):
            mend = 'var has it, so the axes are swapped: transpose the file, for its rows must be conditions'
        raise InputError(f'{path}: obs has no column {" or ".join(map(repr, TARGETS))}, it has {listed(obs)}; {mend}.')
    fields = Fields(context=context, context_name='' if context else 'any', perturbation=target, control=CONTROLS)
    profiles = average(read_h5ad_screen(path, fields, layer=layer))
    contexts = list(profiles.context) if context else None
    return Foreign(list(profiles.perturbation), contexts, list(profiles.readout), np.asarray(profiles.values))


def write_cell_eval(predictions: anndata.AnnData, model: str, folder: epath.PathLike) -> None:
    """Writes `real.h5ad` and `pred.h5ad`: held-out profiles and the control of each context, true and predicted.

    obs has `target` and `target_gene` (`non-targeting` for control) and `celltype`, the context. uns has model,
    split, screen and scale, and says that rows are pseudobulks. cell-eval allows no gaps: profiles that the
    model does not predict, and readouts that are missing anywhere, are left out of both files, with a warning.
    cell-eval refuses negative values: where there are any, the lowest is subtracted from all values of both files,
    which changes no difference between them. `uns['shift']` then says what was added, and the layer `unshifted` holds
    the values as they are.

    Args:
      predictions: as `prediction.file.stack` returns them, with truth.
      model: one of the models in it.
      folder: local or `gs://`. If there are several splits or screens, each has a folder of its own in it.

    Raises:
      InputError: there is no truth, or no readout is left.
    """
    missing = [layer for layer in ('truth', 'control') if layer not in predictions.layers]
    if missing:
        raise InputError(f'predictions: cell-eval compares with the {listed(missing)} layer, which is not there.')
    blocks = cut(predictions, model, folder, by=('split', 'screen'))
    for part, block in [(part, _complete(block, model)) for part, block in blocks]:
        part.mkdir(parents=True, exist_ok=True)
        files = {'real.h5ad': _with_control(block, 'truth', model), 'pred.h5ad': _with_control(block, model, model)}
        _lift(list(files.values()), part)
        for name, data in files.items():
            workdir.write_anndata(part / name, data)


def _lift(pair: Sequence[anndata.AnnData], path: epath.Path) -> None:
    """Adds one number to all values of both, so that none is negative."""
    lowest = min(float(data.X.min()) for data in pair)
    if lowest < 0:
        for data in pair:
            data.layers[UNSHIFTED] = data.X
            data.X, data.uns['shift'] = data.X - np.float32(lowest), -lowest
        logging.warning(
            "%s: cell-eval refuses negative values, so %.3g was added to all values of both files (uns['shift']); "
            'pass --input-type lognorm.',
            path, -lowest,
        )  # fmt: skip


def _columns(file: h5py.File, table: str) -> list[str]:
    return list(file[table]) if isinstance(file.get(table), h5py.Group) else []


def _complete(block: anndata.AnnData, model: str) -> anndata.AnnData:
    """The block with the readouts that have all values: in the truth, the control and the prediction."""
    whole = np.all([np.isfinite(block.layers[layer]).all(axis=0) for layer in ('truth', 'control', model)], axis=0)
    if not whole.any():
        raise InputError(
            f'predictions: cell-eval needs readouts without gaps, but {model!r}, the truth and the control '
            f'together have none over {block.n_obs} profiles; choose fewer profiles, or evaluate here.'
        )
    if not whole.all():
        gaps = block.var_names[~whole]
        logging.warning('%s: %d readouts have gaps and are left out for cell-eval: %s.', model, len(gaps), listed(gaps))
    return block[:, whole]


def _with_control(block: anndata.AnnData, layer: str, model: str) -> anndata.AnnData:
    """The layer as X, followed by the control of each context."""
    control = block[~block.obs['context'].duplicated().to_numpy()]
    names = [*plain_names(list(block.obs['perturbation'])), *[CONTROL] * control.n_obs]
    contexts = [*block.obs['context'], *control.obs['context']]
    obs = pd.DataFrame(
        dict.fromkeys(TARGETS, names) | {'celltype': contexts},
        index=[*block.obs_names, *(f'{context}/{CONTROL}' for context in control.obs['context'])],
    )
    values = np.concatenate([block.layers[layer], control.layers['control']])
    split, screen = (str(block.obs[name].iloc[0]) for name in ('split', 'screen'))
    about = {'model': model, 'split': split, 'screen': screen, 'scale': block.uns['scale'][screen], 'note': _NOTE}
    return anndata.AnnData(values, obs=obs, var=pd.DataFrame(index=block.var_names), uns=about)
