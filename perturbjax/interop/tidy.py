"""Predictions as a tidy table, one value to a line: what R, pandas, polars and Excel take as it is."""

from collections.abc import Iterator

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.errors import InputError
from perturbjax.interop.long import grid, write_long

KEYS = ('split', 'screen', 'context', 'perturbation')
# Beside each prediction, where the predictions have them.
REFERENCES = ('truth', 'control')


def write_tidy(predictions: anndata.AnnData, path: epath.PathLike) -> None:
    """Writes every model's held-out predictions as one long table.

    Columns: split, screen, context, perturbation, readout, model, value, truth, control, scale. `value`
    is empty where the model has no prediction; what the profile's screen does not measure has no line.

    Args:
      predictions: as `predictions.stack` makes them; without truth, those columns are left out.
      path: see `long.write_long`; a table for other programs is best as .parquet or .csv.gz.

    Raises InputError where there is no value at all, and as `write_long`.
    """
    if not len(predictions.uns['models']) or not predictions.n_obs or not predictions.n_vars:
        raise InputError(f'{path}: there are no predictions, so there is nothing to write.')
    write_long(_pieces(predictions), path)


def _pieces(predictions: anndata.AnnData) -> Iterator[pd.DataFrame]:
    models = list(map(str, predictions.uns['models']))
    references = {name: np.asarray(predictions.layers[name]) for name in REFERENCES if name in predictions.layers}
    rows = predictions.obs[list(KEYS)].reset_index(drop=True)
    scales = {str(screen): str(scale) for screen, scale in dict(predictions.uns['scale']).items()}
    rows = rows.assign(scale=[scales.get(screen, '') for screen in rows['screen'].astype(str)])
    for model in models:
        values = {'value': np.asarray(predictions.layers[model]), **references}
        for piece in grid(rows, list(predictions.var_names), values):
            piece['model'] = pd.Categorical([model] * len(piece), categories=models)
            if 'truth' in references:
                piece = piece[piece['value'].notna() | piece['truth'].notna()]
            yield piece[[*KEYS, 'readout', 'model', *values, 'scale']]
