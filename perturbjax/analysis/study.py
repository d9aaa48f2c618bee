"""Every claim about a run's embeddings that a config asks for, as tables: each beside its null and the raw profiles."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.analysis.alignment import align
from perturbjax.analysis.annotation import read_labels, read_pairs, read_sets
from perturbjax.analysis.closeness import pair_closeness
from perturbjax.analysis.deltas import mean_deltas
from perturbjax.analysis.embeddings import axis_table, named_rows, read_embeddings
from perturbjax.analysis.mechanisms import mechanism_agreement
from perturbjax.analysis.probe import probe_sets
from perturbjax.analysis.targets import target_recall
from perturbjax.analysis.whatif import what_if
from perturbjax.screens.screen import Compendium

PROFILES = 'profiles'


class Study(NamedTuple):
    """What is asked of embeddings.

    Attributes:
      targets, mechanisms: a table of compounds with the column `targets`, or `mechanism`.
      pairs, sets: tables or .gmt files of gene pairs and of gene sets, by a name for the results; or
        `{'path': ..., 'axis': 'readout'}`, for genes that were read out and not perturbed.
      what_if: questions `{'context': ..., 'readout': ...}`.
    """

    targets: str = ''
    mechanisms: str = ''
    pairs: Mapping[str, Any] = {}
    sets: Mapping[str, Any] = {}
    what_if: Sequence[Mapping[str, Any]] = ()


def study(
    models: Mapping[str, Sequence[epath.Path]], compendium: Compendium, training: Sequence[np.ndarray], asked: Study
) -> dict[str, pd.DataFrame]:
    """The tables that were asked for, by name; seeds of a model are aligned to one table first.

    Args:
      models: checkpoints of learned models by label, one per seed.
      compendium: what they were trained on.
      training: the profiles that the raw profiles stand for, one bool `[N]` per screen.
      asked: what is asked.

    Raises:
      InputError: a checkpoint or file cannot be read, or shares no name with the embeddings.
    """
    found: dict[str, pd.DataFrame] = {}
    embeddings = {label: read_embeddings(folders) for label, folders in models.items()}
    tables = {axis: _tables(embeddings, axis, found) for axis in ('perturbation', 'readout')}
    profiles = mean_deltas(compendium, training)
    tables['perturbation'][PROFILES], tables['readout'][PROFILES] = profiles, _of_readouts(profiles)
    perturbations = tables['perturbation']
    if asked.targets:
        recall = target_recall(perturbations, read_labels(asked.targets, 'targets'))
        found |= {'targets': recall.overall, 'targets_by_gene': recall.by_target}
    if asked.mechanisms:
        agreement = mechanism_agreement(perturbations, read_labels(asked.mechanisms, 'mechanism'))
        found |= {'mechanisms': agreement.overall, 'mechanisms_by_class': agreement.by_mechanism}
    for name, (path, axis) in _files(asked.pairs).items():
        found[f'pairs_{name}'] = pair_closeness(tables[axis], read_pairs(path))
    for name, (path, axis) in _files(asked.sets).items():
        probe = probe_sets(tables[axis], read_sets(path))
        found |= {f'sets_{name}': probe.overall, f'sets_{name}_by_set': probe.sets}
    questions = [(label, folders, question) for label, folders in models.items() for question in asked.what_if]
    answers = [
        what_if(folders, compendium=compendium, **each).assign(model=label) for label, folders, each in questions
    ]
    return found | ({'what_if': pd.concat(answers)} if answers else {})


def _tables(
    embeddings: Mapping[str, anndata.AnnData], axis: str, found: dict[str, pd.DataFrame]
) -> dict[str, anndata.AnnData]:
    """Each model's table of one axis; how well its seeds agree goes to `found`."""
    tables = {}
    for label, of_model in embeddings.items():
        tables[label] = axis_table(of_model, axis)
        if of_model.obs['split'].nunique() > 1:
            aligned = align(tables[label])
            tables[label] = aligned.table
            found[f'agreement_{label}_{axis}'] = aligned.agreement
    return tables


def _of_readouts(profiles: anndata.AnnData) -> anndata.AnnData:
    """The same profiles with a row for each readout."""
    names = profiles.var_names.to_numpy(object)
    measured = (~np.isnan(profiles.X)).sum(axis=0)
    return anndata.AnnData(profiles.X.T.copy(), named_rows('readout', names, measured))


def _files(asked: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Path and axis by name."""
    full = {name: {'path': each} if isinstance(each, str) else each for name, each in asked.items()}
    return {name: (each['path'], each.get('axis', 'perturbation')) for name, each in full.items()}
