"""Writes predictions as a tidy table with one value per line, for R, pandas, polars and Excel."""

from collections.abc import Iterator

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.errors import InputError
from perturbjax.interop.long import long_pieces, write_long

KEYS = ('split', 'screen', 'context', 'perturbation')
# Written next to each prediction, if the predictions have them.
REFERENCES = ('truth', 'control')


def write_tidy(predictions: anndata.AnnData, path: epath.PathLike) -> None:
    """Writes the held-out predictions of every model as one long table.

    Columns: split, screen, context, perturbation, readout, model, value, truth, control, scale. `value` is empty
    if the model has no prediction. Readouts that the screen of a profile does not measure have no line.

    Args:
      predictions: as `prediction.file.stack` returns them; without truth, those columns are left out.
      path: see `long.write_long`; .parquet and .csv.gz are best for other programs.

    Raises:
      InputError: there are no predictions, or `write_long` cannot write the path.
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
        for piece in long_pieces(rows, list(predictions.var_names), values):
            piece['model'] = pd.Categorical([model] * len(piece), categories=models)
            if 'truth' in references:
                piece = piece[piece['value'].notna() | piece['truth'].notna()]
            yield piece[[*KEYS, 'readout', 'model', *values, 'scale']]
