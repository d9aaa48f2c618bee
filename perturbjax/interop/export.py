"""Writes predictions in every format that other tools read."""

import importlib.util

import anndata
import numpy as np
from absl import logging
from etils import epath

from perturbjax.interop.ahlmann_eltze import write_ahlmann_eltze
from perturbjax.interop.cell_eval import write_cell_eval
from perturbjax.interop.perturblib_table import write_perturblib
from perturbjax.interop.tidy import write_tidy


def export(predictions: anndata.AnnData, folder: epath.Path) -> None:
    """Writes `predictions.csv.gz`, one long table, and a folder for each model that predicts anything.

    The folder of a model has `ahlmann_eltze`, `cell_eval` and, if pyarrow is installed, `perturblib`.

    Args:
      predictions: as `prediction.file.stack` returns them.
      folder: local or `gs://`.
    """
    write_tidy(predictions, folder / 'predictions.csv.gz')
    for model in map(str, predictions.uns['models']):
        if np.isnan(predictions.layers[model]).all():
            logging.warning('%s predicts nothing, so nothing is exported of it.', model)
            continue
        write_ahlmann_eltze(predictions, model, folder / model / 'ahlmann_eltze')
        write_cell_eval(predictions, model, folder / model / 'cell_eval')
        if importlib.util.find_spec('pyarrow'):
            write_perturblib(predictions, model, folder / model / 'perturblib')
