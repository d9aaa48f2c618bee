"""The full grid: every perturbation in every context, predicted into a file that is written as it is computed."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
from etils import epath
from jaxtyping import Int

from perturbjax.errors import InputError
from perturbjax.models.model import Model, Params, Query
from perturbjax.prediction.file import file_metadata
from perturbjax.prediction.layers import BY_FEATURES, X_LAYER, Layer, choose_x, layers_of
from perturbjax.prediction.stream import Rows, stream
from perturbjax.progress import bar
from perturbjax.screens.vocabulary import Vocabulary, combine, parts
from perturbjax.workdir import replacing, replacing_from_local

# Profiles by readouts. Each part of a stream has a multiple of 16 profiles, so that no chunk is written twice.
_CHUNK = (16, 1024)
# How many rows have their names in memory at once.
_ROWS = 2**16
# Bytes of a row beside its values and the letters of its name: HDF5's references, and the codes.
_ROW_BYTES = 48
# A shorter wait gets no progress bar, in seconds.
_BAR_AFTER = 3


class Grid(NamedTuple):
    """The names of C contexts, P perturbations and M readouts; row `c * P + p` is perturbation p in context c."""

    contexts: tuple[str, ...]
    perturbations: tuple[str, ...]
    readouts: tuple[str, ...]

    @property
    def rows(self) -> int:
        """C * P."""
        return len(self.contexts) * len(self.perturbations)


def write_grid(
    path: epath.Path,
    vocabulary: Vocabulary,
    models: Mapping[str, tuple[Model, Callable[[], Params]]],
    scales: Mapping[str, str],
    contexts: Sequence[str] = (),
    perturbations: Sequence[str] = (),
    readouts: Sequence[str] = (),
) -> None:
    """Writes the predictions of all models for every perturbation in every context, whole or not at all.

    Neither all values nor all rows are ever in memory. The file is an h5ad with a layer
    per model, float32, and `LABEL_spread` for an ensemble; NaN where a model has no answer; obs
    `context`, `perturbation` and, of a model with features, `LABEL_by_features` (see `file.add_layer`); `uns` as that
    of predictions. X is the layer that `layers.choose_x` chooses and `uns['X_layer']` names; it takes no room, because
    it is a link.

    Args:
      path: of the h5ad, local or in a bucket.
      vocabulary: what the models were fitted with.
      models: by label, with a function that reads the params.
      scales: the scale of each screen, by its name.
      contexts, perturbations, readouts: names, combinations too; all of the vocabulary unless given.

    Raises:
      InputError: a name outside the vocabulary; two layers of one name; too little room on the disk.
    """
    grid = _choose(vocabulary, contexts, perturbations, readouts)
    layers = [layer for label, (model, read) in models.items() for layer in layers_of(label, model, read)]
    _refuse_same_label([layer.label for layer in layers])
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as local:
        _check_room(path, os.path.dirname(local), grid, len(layers))
        marking = [layer for layer in layers if layer.by_features is not None]
        _write_names(local, grid, file_metadata(models, scales), [layer.label for layer in marking])
        with h5py.File(local, 'r+') as file:
            _write_rows(file['obs'], grid)
            for layer in marking:
                _write_marks(file['obs'], layer, grid, vocabulary)
            gaps = {layer.label: _write_layer(file['layers'], layer, grid, vocabulary) for layer in layers}
            label = choose_x({label: gaps[label] for label in models})
            file['X'] = file['layers'][label]
            anndata.io.write_elem(file['uns'], X_LAYER, label)


def _choose(
    vocabulary: Vocabulary, contexts: Sequence[str], perturbations: Sequence[str], readouts: Sequence[str]
) -> Grid:
    asked = contexts, [combine(parts(name)) for name in perturbations], readouts
    known = vocabulary.contexts, vocabulary.perturbations, vocabulary.readouts
    grid = Grid(*(tuple(dict.fromkeys(each)) or names for each, names in zip(asked, known, strict=True)))
    _ids(vocabulary, grid)  # raises on an unknown name
    return grid


def _ids(
    vocabulary: Vocabulary, grid: Grid
) -> tuple[Int[np.ndarray, ' C'], Int[np.ndarray, 'P K'], Int[np.ndarray, ' M']]:
    return (
        vocabulary.context_ids(grid.contexts),
        vocabulary.perturbation_ids(grid.perturbations),
        vocabulary.readout_ids(grid.readouts),
    )


def _refuse_same_label(labels: Sequence[str]) -> None:
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f'models: two layers of the grid would be called {label!r}; give a model another label.')


def _replacing(path: epath.Path) -> AbstractContextManager[os.PathLike]:
    """A path to write to: beside the file, so that a disk never holds it twice, or local where HDF5 cannot write."""
    return replacing_from_local(path) if '://' in str(path) else replacing(path)


def _check_room(path: epath.Path, folder: str, grid: Grid, layers: int) -> None:
    letters = np.mean([len(name.encode()) for name in grid.contexts])
    letters += np.mean([len(name.encode()) for name in grid.perturbations])
    needed = grid.rows * (4 * len(grid.readouts) * layers + letters + _ROW_BYTES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        sizes = ' x '.join(f'{len(names):,} {axis}' for axis, names in grid._asdict().items())
        raise InputError(
            f'{path}: the layers of {sizes} take {needed / 1e9:,.1f} GB, and {folder} has {free / 1e9:,.1f} GB free; '
            'name fewer contexts, perturbations or readouts, or make room.'
        )


def _write_names(path: os.PathLike, grid: Grid, uns: dict[str, Any], marking: Sequence[str]) -> None:
    """The file without a row yet: all that anndata is to write, as its version writes it."""
    obs = pd.DataFrame(
        {
            'context': pd.Categorical([], categories=_names(grid.contexts)),
            'perturbation': pd.Categorical([], categories=_names(grid.perturbations)),
            **{f'{label}{BY_FEATURES}': np.zeros(0, bool) for label in marking},
        },
        index=_names([]),
    )
    anndata.AnnData(obs=obs, var=pd.DataFrame(index=_names(grid.readouts)), uns=uns).write_h5ad(path)


def _names(names: Sequence[str]) -> pd.Index:
    return pd.Index(list(names), dtype=object)


def _write_rows(obs: h5py.Group, grid: Grid) -> None:
    contexts = np.array([f'{name}/' for name in grid.contexts], object)
    perturbations = np.array(grid.perturbations, object)
    index, context_codes, perturbation_codes = (
        _lengthened(obs, name, grid.rows) for name in ('_index', 'context/codes', 'perturbation/codes')
    )
    with bar('rows', grid.rows, unit=' profiles', delay=_BAR_AFTER) as progress:
        for first in range(0, grid.rows, _ROWS):
            rows = np.arange(first, min(first + _ROWS, grid.rows))
            where = slice(first, first + len(rows))
            context, perturbation = np.divmod(rows, len(perturbations))
            index[where] = contexts[context] + perturbations[perturbation]
            context_codes[where], perturbation_codes[where] = context, perturbation
            progress.update(len(rows))


def _write_marks(obs: h5py.Group, layer: Layer, grid: Grid, vocabulary: Vocabulary) -> None:
    """Which rows a model knows by features alone."""
    column, ids = _lengthened(obs, f'{layer.label}{BY_FEATURES}', grid.rows), _row_ids(vocabulary, grid)
    for first in range(0, grid.rows, _ROWS):
        rows = np.arange(first, min(first + _ROWS, grid.rows))
        column[rows[0] : rows[-1] + 1] = layer.marks(Query(*ids(rows), np.zeros(0, np.int32)))


def _lengthened(group: h5py.Group, name: str, rows: int) -> h5py.Dataset:
    """The empty column of that name, made anew with room for so many rows, of the same type and encoding."""
    dtype, encoding = group[name].dtype, dict(group[name].attrs)
    del group[name]
    column = group.create_dataset(name, (rows,), dtype)
    column.attrs.update(encoding)
    return column


def _row_ids(vocabulary: Vocabulary, grid: Grid) -> Rows:
    """The ids of rows by their numbers."""
    context, perturbation, _ = _ids(vocabulary, grid)
    return lambda rows: (context[rows // len(perturbation)], perturbation[rows % len(perturbation)])


def _write_layer(layers: h5py.Group, layer: Layer, grid: Grid, vocabulary: Vocabulary) -> bool:
    """Writes a layer; returns whether any value is missing."""
    readout = vocabulary.readout_ids(grid.readouts)
    shape = grid.rows, len(readout)
    values = layers.create_dataset(layer.label, shape, np.float32, chunks=tuple(map(min, _CHUNK, shape)))
    values.attrs.update({'encoding-type': 'array', 'encoding-version': '0.2.0'})
    has_gaps = False
    with bar(layer.label, grid.rows, unit=' profiles', delay=_BAR_AFTER) as progress:
        for where, part in stream(layer.predictor(), _row_ids(vocabulary, grid), grid.rows, readout):
            values[where] = part
            has_gaps = has_gaps or bool(np.isnan(part).any())
            progress.update(len(part))
    return has_gaps
