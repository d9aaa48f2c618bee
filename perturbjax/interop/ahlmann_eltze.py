"""Reads and writes the result folders of Ahlmann-Eltze et al. 2025: all_predictions.json and gene_names.json.

Source of the format: `run_*.py` and `collect_perturbation_predictions.R` of
const-ae/linear_perturbation_prediction-Paper.
"""

import json
import pathlib
from typing import Any

import anndata
import numpy as np
import pandas as pd
from absl import logging
from etils import epath

from perturbjax import workdir
from perturbjax.errors import InputError, listed
from perturbjax.interop.foreign import Foreign, canonical_condition, cut, plain_names
from perturbjax.readers.naming.columns import text
from perturbjax.readers.table import finite
from perturbjax.screens.vocabulary import parts

PREDICTIONS, GENES = 'all_predictions.json', 'gene_names.json'
# R's rjson writes missing values like this, because a JSON number cannot be missing.
_MISSING = 'NA'


def read_ahlmann_eltze(folder: str) -> Foreign:
    """Reads the predictions `{condition: [a value per gene]}` of a folder; infinite values count as missing.

    Genes that share a name cannot be told apart; they are left out, with a warning.

    Raises:
      InputError: a file is missing or is no JSON, or a list does not have one value per gene.
    """
    predictions, genes = _read_json(folder, PREDICTIONS, dict), list(map(text, _read_json(folder, GENES, list)))
    path = str(pathlib.Path(folder) / PREDICTIONS)
    if not predictions or not genes:
        raise InputError(f'{path}: no predictions; it has {len(predictions)} conditions and {len(genes)} genes.')
    rows = [_numbers(path, name, values) for name, values in predictions.items()]
    _check_lengths(path, dict(zip(predictions, rows)), genes)
    once = ~pd.Index(genes).duplicated(keep=False)
    if not once.all():
        shared = sorted({gene for gene, alone in zip(genes, once) if not alone})
        logging.warning(
            '%s: genes share the names %s; they cannot be told apart and are left out.', path, listed(shared)
        )
    readouts = [gene for gene, alone in zip(genes, once) if alone]
    return Foreign(list(map(canonical_condition, predictions)), None, readouts, finite(np.stack(rows)[:, once], path))


def write_ahlmann_eltze(predictions: anndata.AnnData, model: str, folder: epath.PathLike) -> None:
    """Writes the held-out predictions of a model as such a folder.

    Conditions have names as in GEARS, `A+ctrl` and `A+B`, without types unless two names would be the same. A
    missing value is `"NA"`.

    Args:
      predictions: as `prediction.file.stack` returns them.
      model: one of the models in it.
      folder: local or `gs://`. If there are several splits, screens or contexts, each has a folder of its own
        in it, `SPLIT/SCREEN/CONTEXT`.

    Raises:
      InputError: the model predicts nothing.
    """
    for part, block in cut(predictions, model, folder, by=('split', 'screen', 'context')):
        names = plain_names(list(block.obs['perturbation']))
        conditions = [name if len(parts(name)) > 1 else f'{name}+ctrl' for name in names]
        values = np.where(np.isfinite(block.layers[model]), block.layers[model].astype(object), _MISSING)
        workdir.write_text(part / GENES, json.dumps(list(block.var_names), indent=1))
        workdir.write_text(part / PREDICTIONS, json.dumps(dict(zip(conditions, values.tolist()))))


def _read_json(folder: str, name: str, kind: type) -> Any:
    path = pathlib.Path(folder) / name
    if not path.is_file():
        there = listed(sorted(file.name for file in path.parent.iterdir()))
        raise InputError(
            f'{folder}: the folder has no {name}, it has {there}; predictions need {PREDICTIONS} and {GENES}.'
        )
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f'{path}: cannot be read as JSON ({error}).') from error
    if not isinstance(content, kind):
        form = '{condition: [values]}' if kind is dict else '[names]'
        raise InputError(f'{path}: the file must have the form {form}.')
    return content


def _numbers(path: str, condition: str, values: Any) -> np.ndarray:
    """The values of a condition, float64 `[M]`; raises InputError unless they are a list of numbers."""
    try:
        numbers = np.array([np.nan if value == _MISSING else value for value in values], np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array(np.nan)
    if not isinstance(values, list) or numbers.ndim != 1:
        raise InputError(f'{path}: {condition!r} is no list of numbers; write one number per gene.')
    return numbers


def _check_lengths(path: str, rows: dict[str, np.ndarray], genes: list[str]) -> None:
    wrong = [name for name, row in rows.items() if len(row) != len(genes)]
    if not wrong:
        return
    mend = 'write one value per gene for every condition.'
    if len(rows) == len(genes):
        mend = 'the axes look swapped: write a list per condition with a value per gene, not the other way round.'
    raise InputError(
        f'{path}: {len(wrong)} of {len(rows)} lists do not have the {len(genes)} values that {GENES} names, '
        f'such as {wrong[0]!r} with {len(rows[wrong[0]])}; {mend}'
    )
