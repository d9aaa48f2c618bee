"""Answers the questions that a config asks about a run's embeddings, as tables, each beside its null."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
from perturbjax.analysis.targets import target_recall
from perturbjax.analysis.whatif import what_if
from perturbjax.errors import InputError, check_settings, did_you_mean
from perturbjax.models import Model
from perturbjax.readers.naming.fields import Fields
from perturbjax.screens.screen import Compendium

PROFILES = 'profiles'
_AXES = ('perturbation', 'readout')


class Study(NamedTuple):
    """The questions; the `analysis` part of a config.

    Attributes:
      targets: path of a table of compounds with the column `targets`; see `targets.target_recall`.
      mechanisms: path of a table of compounds with the column `mechanism`; see `mechanisms.mechanism_agreement`.
      pairs: tables or .gmt files of gene pairs, by a name for the results; see `closeness.pair_closeness`.
        For genes that were read out instead of perturbed, give `{'path': ..., 'axis': 'readout'}`.
      sets: tables or .gmt files of gene sets in the same form; see `probe.probe_sets`.
      networks: by a name for the results, settings of `completed_networks.completed_networks`, such as
        `{'context': 'K562', 'path': 'cells.h5ad', 'fields': {...}}`.
      what_if: a list of questions `{'context': ..., 'readout': ...}`; see `whatif.what_if`.
    """

    targets: str = ''
    mechanisms: str = ''
    pairs: Mapping[str, Any] = {}
    sets: Mapping[str, Any] = {}
    networks: Mapping[str, Any] = {}
    what_if: Sequence[Mapping[str, Any]] = ()


def check_study(asked: Study) -> None:
    """Raises InputError on a setting within a question that nothing reads, or that is missing."""
    for field in ('pairs', 'sets'):
        for name, file in getattr(asked, field).items():
            if not isinstance(file, str):
                check_settings(_file, file, f'analysis.{field}.{name}')
        _files(getattr(asked, field))
    for name, settings in asked.networks.items():
        field = f'analysis.networks.{name}'
        check_settings(completed_networks, settings, field, given=('folders', 'compendium', 'training', 'models'))
        check_settings(Fields, settings['fields'], f'{field}.fields')
    for question in asked.what_if:
        check_settings(what_if, question, 'analysis.what_if', given=('folders', 'compendium', 'models'))


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
    tables = {axis: _tables(embeddings, axis, found) for axis in _AXES}
    profiles = mean_deltas(compendium, training)
    tables['perturbation'][PROFILES], tables['readout'][PROFILES] = profiles, _of_readouts(profiles)
    found |= _of_compounds(tables['perturbation'], asked)
    for name, (path, axis) in _files(asked.pairs).items():
        found[f'pairs_{name}'] = pair_closeness(tables[axis], read_gene_pairs(path))
    for name, (path, axis) in _files(asked.sets).items():
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


def _files(asked: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The path and the axis of each file, by name."""
    return {name: _file(file) if isinstance(file, str) else _file(**file) for name, file in asked.items()}


def _file(path: str, axis: str = _AXES[0]) -> tuple[str, str]:
    if axis not in _AXES:
        raise InputError(f'{path}: analysis axis: there is no axis {axis!r}; {did_you_mean(axis, _AXES)}')
    return path, axis
