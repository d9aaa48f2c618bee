"""Answers the questions that a config asks about a run's embeddings, as tables, each beside its null."""

from collections.abc import Mapping, Sequence

import anndata
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.analysis.alignment import align
from perturbjax.analysis.annotation import read_gene_pairs, read_labels, read_sets
from perturbjax.analysis.closeness import pair_closeness
from perturbjax.analysis.completed_networks import completed_networks
from perturbjax.analysis.deltas import mean_deltas
from perturbjax.analysis.embeddings import axis_table, has_tables, named_rows, read_embeddings
from perturbjax.analysis.mechanisms import mechanism_agreement
from perturbjax.analysis.probe import probe_sets
from perturbjax.analysis.settings import AXES, Study, check_study, files_of
from perturbjax.analysis.targets import target_recall
from perturbjax.analysis.whatif import what_if
from perturbjax.models import Model
from perturbjax.screens.screen import Compendium

PROFILES = 'profiles'


def study(
    folders: Mapping[str, Sequence[epath.Path]],
    compendium: Compendium,
    training: Sequence[np.ndarray],
    asked: Study,
    models: Mapping[str, Model] | None = None,
) -> dict[str, pd.DataFrame]:
    """Returns the tables that were asked for, by name; the seeds of a model are aligned to one table first.

    Args:
      folders: checkpoints of learned models by label, one per seed; those without embedding tables take part in
        what-ifs and networks.
      compendium: the screens that they were trained on.
      training: which profiles the raw profiles are averaged from, one bool `[N]` per screen.
      asked: the questions.
      models: models of your own by label, as they were given to `run`; see `completion.read_model`.

    Raises:
      InputError: a setting is unknown, a checkpoint or file cannot be read, or it shares no name with the
        embeddings.
    """
    check_study(asked)
    found: dict[str, pd.DataFrame] = {}
    embeddings = {label: read_embeddings(each) for label, each in folders.items() if has_tables(each[0])}
    tables = {axis: _tables(embeddings, axis, found) for axis in AXES}
    profiles = mean_deltas(compendium, training)
    tables['perturbation'][PROFILES], tables['readout'][PROFILES] = profiles, _of_readouts(profiles)
    found |= _of_compounds(tables['perturbation'], asked)
    for name, (path, axis) in files_of(asked.pairs).items():
        found[f'pairs_{name}'] = pair_closeness(tables[axis], read_gene_pairs(path))
    for name, (path, axis) in files_of(asked.sets).items():
        probe = probe_sets(tables[axis], read_sets(path))
        found |= {f'sets_{name}': probe.overall, f'sets_{name}_by_set': probe.sets}
    for name, settings in asked.networks.items():
        found[f'networks_{name}'] = completed_networks(folders, compendium, tuple(training), **settings, models=models)
    answers = [
        what_if(of_model, compendium=compendium, models=models, **question).assign(model=label)
        for label, of_model in folders.items()
        for question in asked.what_if
    ]
    return found | ({'what_if': pd.concat(answers)} if answers else {})


def _of_compounds(tables: Mapping[str, anndata.AnnData], asked: Study) -> dict[str, pd.DataFrame]:
    """The tables on targets and mechanisms of compounds, as far as they are asked for."""
    found: dict[str, pd.DataFrame] = {}
    if asked.targets:
        recall = target_recall(tables, read_labels(asked.targets, 'targets'))
        found |= {'targets': recall.overall, 'targets_by_gene': recall.by_target}
    if asked.mechanisms:
        agreement = mechanism_agreement(tables, read_labels(asked.mechanisms, 'mechanism'))
        found |= {'mechanisms': agreement.overall, 'mechanisms_by_class': agreement.by_mechanism}
    return found


def _tables(
    embeddings: Mapping[str, anndata.AnnData], axis: str, found: dict[str, pd.DataFrame]
) -> dict[str, anndata.AnnData]:
    """Each model's table of one axis; adds to `found` how well the model's seeds agree."""
    tables = {}
    for label, of_model in embeddings.items():
        tables[label] = axis_table(of_model, axis)
        if of_model.obs['split'].nunique() > 1:
            aligned = align(tables[label])
            tables[label] = aligned.table
            found[f'agreement_{label}_{axis}'] = aligned.agreement
    return tables


def _of_readouts(profiles: anndata.AnnData) -> anndata.AnnData:
    """The same profiles transposed: one row for each readout."""
    names = profiles.var_names.to_numpy(object)
    measured = (~np.isnan(profiles.X)).sum(axis=0)
    return anndata.AnnData(profiles.X.T.copy(), named_rows('readout', names, measured))
