"""Adds the predictions of other tools as one more layer, which is scored and reported like any model."""

import pathlib
from collections.abc import Mapping
from typing import Any

import anndata
import numpy as np
import pandas as pd
from absl import logging

from perturbjax.errors import InputError, listed
from perturbjax.interop.ahlmann_eltze import GENES, PREDICTIONS, read_ahlmann_eltze
from perturbjax.interop.cell_eval import read_cell_eval
from perturbjax.interop.foreign import Foreign, canonical_condition, match
from perturbjax.interop.table import TABLES, read_table
from perturbjax.models import check_label
from perturbjax.paths import absolute
from perturbjax.readers.naming.columns import find_column, matches
from perturbjax.screens.vocabulary import CONTROL


def read_predictions(path: str) -> Foreign:
    """Reads another tool's predictions; no code in the file is run.

    Args:
      path: a folder with all_predictions.json and gene_names.json (Ahlmann-Eltze), an .h5ad file with obs
        `target` (cell-eval), or a table with a row per condition and a column per readout.

    Raises:
      InputError: it is none of these, or it is damaged.
    """
    file = pathlib.Path(absolute(path, 'evaluation.predictions'))
    if not file.exists():
        raise InputError(f'{path}: there is no such file or folder.')
    if file.is_dir() or file.name in (PREDICTIONS, GENES):
        return read_ahlmann_eltze(str(file if file.is_dir() else file.parent))
    if file.suffix.lower() == '.h5ad':
        return read_cell_eval(path)
    if file.name.lower().removesuffix('.gz').endswith(TABLES):
        return read_table(path)
    raise InputError(
        f'{path}: by its name this is no file of predictions; give a folder with {PREDICTIONS} and {GENES}, '
        f'an .h5ad, or a table that ends in {listed(TABLES)}.'
    )


def add_foreign(
    predictions: anndata.AnnData, foreign: Foreign, label: str, path: str, only: Mapping[str, Any] | None = None
) -> None:
    """Adds another tool's predictions to ours: the layer `label`, and the label in `uns['models']`.

    Conditions are matched within their context by `match`, readouts by name. Values that the tool does not
    predict are NaN and lower its coverage. Conditions and readouts that are not held out are left out, with a
    warning. Rows that mean the same profile are averaged.

    Args:
      predictions: as `prediction.file.stack` returns them; changed in place.
      foreign: the predictions, on the scale of the screens.
      label: of the model in tables. An existing layer of this label is filled in, for other profiles.
      path: of the file, for messages.
      only: which profiles the predictions are for, by columns of obs, such as
        `{'split': 13, 'context': 'K562'}`.

    Raises:
      InputError: no condition, readout or value matches, the axes are swapped, or a context is needed.
    """
    rows = _rows(predictions, only or {}, path)
    layer = _layer(predictions, label, rows)
    obs, readouts = predictions.obs[['context', 'perturbation']][rows].astype(str), predictions.var_names
    contexts = _contexts(foreign, obs, path)
    meanings = _meanings(foreign, contexts, obs)
    _check_axes(foreign, meanings, obs, readouts, path)
    names = _names(foreign, contexts, meanings, obs, path)
    shared = _shared(foreign, readouts, _measured(predictions, rows), path)
    chosen = names != ''
    values = pd.DataFrame(foreign.values[chosen], columns=foreign.readouts)[shared]
    values = values.groupby([contexts[chosen], names[chosen]]).mean()
    _check_gaps(values, path)
    layer[rows] = values.reindex(index=pd.MultiIndex.from_frame(obs), columns=readouts)
    predictions.layers[label] = layer
    predictions.uns['models'] = list(dict.fromkeys([*map(str, predictions.uns['models']), label]))


def add_configured(predictions: anndata.AnnData, models: Mapping[str, Any]) -> None:
    """Adds the models of a config's `evaluation.predictions`.

    Args:
      predictions: as `prediction.file.stack` returns them; changed in place.
      models: by label a path, or a list of files such as `{'path': ..., 'split': 13, 'context': 'K562'}`, each
        for these profiles only.
    """
    for label, files in models.items():
        check_label(label)
        for file in [{'path': files}] if isinstance(files, str) else files:
            only = dict(file)
            path = only.pop('path', '')
            add_foreign(predictions, read_predictions(path), label, path, only)


def _rows(predictions: anndata.AnnData, only: Mapping[str, Any], path: str) -> np.ndarray:
    """Which profiles `only` chooses, bool `[N]`."""
    rows = np.ones(predictions.n_obs, bool)
    for name, value in only.items():
        rows &= matches(find_column(predictions.obs, name, path, 'only'), [value])
    if not rows.any():
        raise InputError(f'{path}: only={dict(only)} chooses none of the {len(rows)} held-out profiles.')
    splits = predictions.obs['split'][rows].nunique()
    if splits > 1:
        logging.warning(
            "%s: is used for all %d splits; if it was trained on one of them, give only={'split': ...}.",
            path, splits,
        )  # fmt: skip
    return rows


def _layer(predictions: anndata.AnnData, label: str, rows: np.ndarray) -> np.ndarray:
    """The layer to fill in, float32 `[N, M]`; all NaN if it is new."""
    if label not in predictions.layers:
        return np.full(predictions.shape, np.nan, np.float32)
    layer = np.array(predictions.layers[label], np.float32)
    if label not in list(predictions.uns['models']) or not np.isnan(layer[rows]).all():
        raise InputError(f'predictions: there is a layer {label!r} already; give the model another label.')
    return layer


def _contexts(foreign: Foreign, obs: pd.DataFrame, path: str) -> np.ndarray:
    """The context of each condition, `[Q]`."""
    ours = obs['context'].unique()
    if foreign.contexts is None and len(ours) > 1:
        raise InputError(
            f'{path}: names no context, but the held-out profiles have {listed(ours)}; '
            "add a column of contexts, or choose one by only={'context': ...}."
        )
    contexts = np.array(foreign.contexts or [ours[0]] * len(foreign.conditions), object)
    if not set(contexts) & set(ours):
        raise InputError(
            f'{path}: its contexts are {listed(dict.fromkeys(contexts))}, but held out are {listed(ours)}; '
            'rename them there.'
        )
    return contexts


def _meanings(foreign: Foreign, contexts: np.ndarray, obs: pd.DataFrame) -> list[list[str]]:
    """The held-out perturbations that each condition can mean in its context, `[Q]`."""
    conditions, meanings = np.array(foreign.conditions, object), np.empty(len(contexts), object)
    for context in set(contexts):
        here = np.flatnonzero(contexts == context)
        found = match(conditions[here], obs['perturbation'][obs['context'] == context])
        for row, names in zip(here, found):
            meanings[row] = names
    return list(meanings)


def _check_axes(foreign: Foreign, meanings: list[list[str]], obs: pd.DataFrame, readouts: pd.Index, path: str) -> None:
    """Raises if more names would match with swapped axes; a few always do, as genes are perturbed and read out."""
    conditions, columns = sum(map(bool, meanings)), len(set(foreign.readouts) & set(readouts))
    as_readouts = len(set(foreign.conditions) & set(readouts))
    as_conditions = sum(map(bool, match(map(canonical_condition, foreign.readouts), obs['perturbation'])))
    if as_readouts > columns and as_readouts * as_conditions > columns * conditions:
        raise InputError(
            f'{path}: the axes look swapped: of its {len(foreign.conditions)} conditions {as_readouts} are readouts '
            f'here, of its {len(foreign.readouts)} readouts {as_conditions} are held-out perturbations; transpose it.'
        )


def _names(
    foreign: Foreign, contexts: np.ndarray, meanings: list[list[str]], obs: pd.DataFrame, path: str
) -> np.ndarray:
    """The held-out perturbation that each condition means, `[Q]`; `''` if it means none or several."""
    shown = [name if foreign.contexts is None else f'{name} in {at}' for name, at in zip(foreign.conditions, contexts)]
    stated = list(zip(shown, foreign.conditions, meanings))
    ambiguous = [f'{name} ({" or ".join(found)})' for name, _, found in stated if len(found) > 1]
    unknown = [name for name, condition, found in stated if not found and condition != CONTROL]
    names = np.array([found[0] if len(found) == 1 else '' for found in meanings], object)
    if not names.any():
        raise InputError(
            f'{path}: none of its {len(shown)} conditions is one held-out perturbation; it has '
            f'{listed(ambiguous + unknown)}, held out are {listed(obs["perturbation"].unique())}.'
        )
    if ambiguous:
        logging.warning('%s: %d conditions are ambiguous and left out: %s.', path, len(ambiguous), listed(ambiguous))
    if unknown:
        found = f'{len(unknown)} of {len(shown)} conditions are not held out'
        logging.warning('%s: %s and left out: %s.', path, found, listed(unknown))
    return names


def _measured(predictions: anndata.AnnData, rows: np.ndarray) -> pd.Index:
    """The readouts that the screens of the profiles measure; all readouts if there is no truth."""
    if 'truth' not in predictions.layers:
        return predictions.var_names
    measured = ~np.isnan(predictions.layers['truth'][rows]).all(axis=0)
    return predictions.var_names[measured | ~measured.any()]


def _shared(foreign: Foreign, readouts: pd.Index, measured: pd.Index, path: str) -> list[str]:
    """The readouts that both sides have; a warning names the measured readouts that the tool lacks."""
    theirs = set(foreign.readouts)
    lacking, other = [name for name in measured if name not in theirs], sorted(theirs - set(readouts))
    found = f'{len(measured) - len(lacking)} of the {len(measured)} readouts here are among its {len(theirs)}'
    if len(lacking) == len(measured):
        raise InputError(f'{path}: {found}; it has {listed(other)}, here are {listed(lacking)}; name them as here.')
    if lacking:
        logging.warning('%s: %s; it lacks %s, and has beside them %s.', path, found, listed(lacking), listed(other))
    return list(pd.Index(foreign.readouts).intersection(readouts, sort=False))


def _check_gaps(values: pd.DataFrame, path: str) -> None:
    """Warns of missing values among those that match; raises InputError if all of them are missing."""
    missing = values.isna()
    total = int(missing.to_numpy().sum())
    if total == values.size:
        raise InputError(f'{path}: all {total} values of held-out profiles are missing (NaN), so it predicts nothing.')
    if total:
        names = [perturbation for _, perturbation in values.index[missing.any(axis=1)]]
        logging.warning(
            '%s: %d of %d values are missing (NaN) and count as not predicted, in %s.',
            path, total, values.size, listed(names),
        )  # fmt: skip
