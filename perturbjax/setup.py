"""From a config to all that the stages of a run work on: data, splits, models ready to fit. Nothing is written yet."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from absl import logging
from etils import epath

from perturbjax.config import Config, parse, refuse_changed, refuse_other_config, without_paths
from perturbjax.errors import InputError
from perturbjax.idle_settings import idle_settings
from perturbjax.lock import locked
from perturbjax.models import Model, check_label, make_models
from perturbjax.quality.inspection import inspect
from perturbjax.quality.warnings import urgent
from perturbjax.readers import split_file
from perturbjax.readers.loading import load
from perturbjax.readers.own_files import refuse_own_screens
from perturbjax.readers.told import heard, read_prepared
from perturbjax.screens import store
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, TRAIN, Split, make_split
from perturbjax.screens.weights import weighted
from perturbjax.workdir import write_table, write_text

# The folder in the workdir that --mode=prepare writes.
_STORE = 'prepared'


class Setup(NamedTuple):
    """What every stage of a run works on.

    Attributes:
      config: parsed.
      folder: the workdir.
      compendium, splits, models: the data, what is held out, and the models by label.
      files: texts by file name that say what the workdir was made with; training writes them first.
    """

    config: Config
    folder: epath.Path
    compendium: Compendium
    splits: list[Split]
    models: dict[str, Model]
    files: Mapping[str, str]

    def checkpoint_folder(self, label: str, split: Split) -> epath.Path:
        """Where the checkpoint of a model and split is."""
        return self.folder / 'checkpoints' / label / str(split.seed)

    def learnt_from(self, split: Split) -> Compendium:
        """The data with the weights that a split's training profiles have; as they are without weights."""
        return weighted(self.compendium, split.mask(TRAIN), self.config.weights.fitting)


def make_setup(
    config: ml_collections.ConfigDict, folder: epath.Path, models: Mapping[str, Model], trains: bool = False
) -> Setup:
    """Parses the config, loads the data and makes the splits.

    Args:
      config: of the run.
      folder: the workdir, which may not be there yet.
      models: further models by label, beside those of the config.
      trains: whether the models are to be trained, for more epochs than before if the config says so.

    Raises:
      InputError: something cannot be used, or is not what the workdir was made with.
    """
    parsed = parse(config)
    refuse_other_config(parsed, folder, trains)
    for label in models:
        check_label(label)
    refuse_own_screens(parsed.models, parsed.data)
    all_models = make_models(parsed.models) | dict(models)
    compendium = _compendium(parsed.data, folder)
    for sentence in urgent(compendium):
        logging.warning('%s', sentence)
    rule = split_file.resolve(parsed.split, parsed.data, compendium.vocabulary)
    name = rule.pop('name')
    splits = [make_split(compendium, name, seed, **rule) for seed in parsed.split_seeds]
    if parsed.evaluation.published:
        _refuse_strangers(parsed.evaluation.published, compendium, splits)
    panels = {screen.name: len(screen.readout) for screen in compendium.screens}
    for sentence in idle_settings(parsed, splits, all_models, panels):
        logging.warning('%s', sentence)
    for model in all_models.values():
        if model.check is not None:
            model.check(compendium)
        if model.fit is not None:
            # Traced, not run: what the model cannot be fitted on is told before anything is written.
            jax.eval_shape(model.fit, compendium, splits[0].mask(TRAIN))
    files = _files(parsed, compendium, splits)
    setup = Setup(parsed, folder, compendium, splits, all_models, files)
    if trains and parsed.weights.fitting:
        _check_weights(setup)
    for file in ('vocabulary.json', 'data.json', 'split.json'):
        refuse_changed(folder / file, files[file])
    return setup


def _check_weights(setup: Setup) -> None:
    """Raises InputError where profiles have no weights; warns where all of them have the same."""
    weights = [screen.weight for split in setup.splits for screen in setup.learnt_from(split).screens]
    if all(each is not None and np.allclose(each, 1) for each in weights):
        logging.warning('weights.fitting: it does nothing, because all profiles have the same weight.')


def _refuse_strangers(dataset: str, compendium: Compendium, splits: list[Split]) -> None:
    """Raises InputError, before anything is trained, where the published scores are of other profiles."""
    from perturbjax.evaluation.published import refuse_strangers  # takes long to import

    is_tested = np.any([np.concatenate(split.roles) == TEST for split in splits], axis=0)
    scales = {screen.name: screen.scale for screen in compendium.screens}
    refuse_strangers(dataset, compendium.table()[is_tested], scales)


def _files(config: Config, compendium: Compendium, splits: list[Split]) -> dict[str, str]:
    return {
        'config.json': json.dumps(config.plain, indent=1),
        'vocabulary.json': compendium.vocabulary.to_json(),
        'data.json': json.dumps(compendium.fingerprint(), indent=1),
        'split.json': json.dumps([each.describe(compendium) for each in splits], indent=1),
    }


def store_data(config: ml_collections.ConfigDict, folder: epath.Path) -> str:
    """Reads the data and writes it into the workdir as a store that later runs start from, with a summary.

    Writes `prepared/`, `data.html`, `data.txt` and `shared_perturbations.csv`; returns the text.
    """
    from perturbjax.report.data.page import summary_page, summary_text  # drawing takes long to import

    parsed = parse(config)
    refuse_other_config(parsed, folder)
    with heard() as told:
        compendium = load(parsed.data)
    found = inspect(compendium)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, 'training'):
        store.write(compendium, folder / _STORE, parsed.data, told)
        text = summary_text(found)
        write_text(folder / 'data.html', summary_page(found, parsed.data))
        write_text(folder / 'data.txt', text)
        write_table(folder / 'shared_perturbations.csv', found.perturbations.rename_axis('context').reset_index())
    return text


def _compendium(data: Mapping[str, Any], folder: epath.Path) -> Compendium:
    """The store of the workdir, where there is one; else the data, read anew."""
    if not store.exists(folder / _STORE):
        return load(data)
    before = store.made_from(folder / _STORE)
    if before != data and without_paths(before) == without_paths(data):
        logging.warning('%s: it was prepared from another path; the data are read anew.', folder / _STORE)
        return load(data)
    if before != data:
        raise InputError(
            f'{folder / _STORE}: it was prepared with other settings of the data; '
            'run --mode=prepare again, or give another --workdir.'
        )
    return read_prepared(folder / _STORE)
