"""What a completed screen adds to a gene network, tested on single cells that no model was trained on."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

from perturbjax.analysis.completion import complete, measured_changes, read_model
from perturbjax.analysis.networks import Rows, compare_networks, is_single_gene, rows_of
from perturbjax.errors import InputError, check_range, listed
from perturbjax.models import Model
from perturbjax.models.model import Masks
from perturbjax.readers.h5ad import read_h5ad_screen
from perturbjax.readers.naming.fields import Fields
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import target_gene

MEASURED = 'measured'


def completed_networks(
    folders: Mapping[str, Sequence[str | os.PathLike]],
    compendium: Compendium,
    training: Masks | None,
    context: str,
    path: str,
    fields: dict[str, Any],
    layer: str = '',
    counts: bool = False,
    target_sum: float = 1e4,
    top: int = 1000,
    pairs: int = 1000,
    seed: int = 0,
    models: Mapping[str, Model] | None = None,
) -> pd.DataFrame:
    """Compares the network of the measured changes of a context with those of the changes completed by models.

    A completed network uses the measured change if the screens measured it in the training profiles, and the
    model's prediction (the mean over its checkpoints) if they did not. All networks are scored by
    `networks.compare_networks`, beside random edges.

    The cells come from an h5ad file. For an honest comparison they are cells that are in no training profile:
    another file, or another batch of the same file, chosen by `fields: {'where': {'batch': 'held out'}}`.

    Args:
      folders: checkpoints of models by label, one per seed.
      compendium: the screens that the models were trained on.
      training: the profiles that were trained on, one bool `[N]` per screen; all if None.
      context: the name of the context, both in the screens and in the file of cells.
      path: the h5ad file of single cells (or wells).
      fields: which column of the file says what; settings of `Fields`, as in `data.fields`.
      layer: which values of the file to read, as `data.layer`; X if empty.
      counts: the values are raw counts: each row is scaled to `target_sum`, then ln(1 + x).
      target_sum: the total of a row after scaling.
      top: number of edges of each network.
      pairs: number of random pairs outside the network to test.
      seed: seed of the random edges and pairs, and of the bootstrap.
      models: models of your own by label, as they were given to `run`; see `read_model`.

    Returns:
      The table of `compare_networks`. Its networks are the labels of the models, `measured` and `random`.

    Raises:
      InputError: the file cannot be read, has averages instead of cells, or shares no gene or no readout with
        the screens.
    """
    check_range('analysis.networks', 1, top=top, pairs=pairs)
    rows = _read_rows(path, context, fields, layer, target_sum if counts else None)
    perturbations, readouts = _testable(compendium, rows, path)
    measured = measured_changes(compendium, context, training)
    changes = {}
    for label, of_model in folders.items():
        fitted = [read_model(folder, compendium, models) for folder in of_model]
        predicted = pd.concat([complete(each, context, perturbations, readouts) for each in fitted])
        changes[label] = measured.combine_first(predicted.groupby(level=0, sort=False).mean())
    return compare_networks({**changes, MEASURED: measured}, rows, top, pairs, seed)


def _read_rows(path: str, context: str, fields: Mapping[str, Any], layer: str, target_sum: float | None) -> Rows:
    rows = rows_of(read_h5ad_screen(path, Fields(**fields), layer), context)
    if target_sum is None:
        return rows
    perturbed = {gene: _log_normalised(block, target_sum, path) for gene, block in rows.perturbed.items()}
    return rows._replace(control=_log_normalised(rows.control, target_sum, path), perturbed=perturbed)


def _log_normalised(counts: Any, target_sum: float, path: str) -> scipy.sparse.csr_matrix:
    """ln(1 + target_sum * count / total of the row), `[N, M]`, as profiles are normalised before averaging."""
    counts = scipy.sparse.csr_matrix(counts, dtype=np.float64)
    if not ((counts.data >= 0) & (counts.data == np.floor(counts.data))).all():
        raise InputError(f'{path}: counts is set, but some values are negative or fractions; give the raw counts.')
    total = np.maximum(np.asarray(counts.sum(axis=1)), 1)
    return scipy.sparse.csr_matrix(counts.multiply(target_sum / total)).log1p()


def _testable(compendium: Compendium, rows: Rows, path: str) -> tuple[list[str], list[str]]:
    """The perturbations and readouts of the screens that the rows can test."""
    names = compendium.vocabulary
    genes = [name for name in names.perturbations[1:] if is_single_gene(name)]
    perturbations = [name for name in genes if target_gene(name) in rows.perturbed]
    readouts = [name for name in names.readouts if name in set(rows.readouts)]
    for axis, shared, theirs, ours in (
        ('perturbed gene', perturbations, rows.perturbed, map(target_gene, genes)),
        ('readout', readouts, rows.readouts, names.readouts),
    ):
        if not shared:
            raise InputError(
                f'{path}: no {axis} of the file is in the screens (the file has {listed(theirs, 3)}, the screens '
                f'have {listed(ours, 3)}); name the right column in analysis.networks fields.'
            )
    return perturbations, readouts
