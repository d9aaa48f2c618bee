"""From a config to all that the stages of a run work on, with nothing written yet."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
from etils import epath

from perturbjax.config import check, refuse_changed, refuse_other_config
from perturbjax.errors import InputError
from perturbjax.models import LearnedModel, Model, check_label, make_models
from perturbjax.quality.inspection import inspect
from perturbjax.readers.loading import load
from perturbjax.report.data.page import summary_page, summary_text
from perturbjax.screens import store
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, Split, make_split
from perturbjax.workdir import write_table, write_text

# In the workdir; written by --mode=prepare.
_STORE = 'prepared'


class Setup(NamedTuple):
    """What every stage of a run works on."""

    config: Mapping[str, Any]
    folder: epath.Path
    compendium: Compendium
    splits: list[Split]
    models: dict[str, Model | LearnedModel]


def prepare(
    config: ml_collections.ConfigDict, folder: epath.Path, models: Mapping[str, Any]
) -> tuple[Setup, dict[str, str]]:
    """Checks the config, loads the data and makes the splits; returns also the files that say so, not yet written.

    Raises InputError on anything that cannot be used, or that is not what the workdir was made with.
    """
    settings = check(config)
    refuse_other_config(settings, folder)
    for label in models:
        check_label(label)
    made = make_models(settings['models']) | dict(models)
    compendium = _compendium(settings['data'], folder)
    split = dict(settings['split'])
    name, seeds = split.pop('name'), split.pop('seeds', [settings['seed']])
    made_splits = [make_split(compendium, name, seed, **split) for seed in seeds]
    for model in made.values():
        # Traced, not run: what a model cannot be fitted on is told before anything is written.
        if isinstance(model, Model):
            jax.eval_shape(model.fit, compendium, made_splits[0].mask(TRAIN))
    files = {
        'config.json': json.dumps(settings, indent=1),
        'vocabulary.json': compendium.vocabulary.to_json(),
        'data.json': json.dumps(compendium.fingerprint(), indent=1),
        'split.json': json.dumps([each.describe(compendium) for each in made_splits], indent=1),
    }
    for file in ('vocabulary.json', 'data.json', 'split.json'):
        refuse_changed(folder / file, files[file])
    return Setup(settings, folder, compendium, made_splits, made), files


def store_data(config: ml_collections.ConfigDict, folder: epath.Path) -> str:
    """Reads the data and writes it into the workdir as a store that later runs start from, with a summary.

    Writes `prepared/`, `data.html`, `data.txt` and `shared_perturbations.csv`; returns the text.
    """
    settings = check(config)
    refuse_other_config(settings, folder)
    compendium = load(settings['data'])
    found = inspect(compendium)
    store.write(compendium, folder / _STORE, settings['data'])
    text = summary_text(found)
    write_text(folder / 'data.html', summary_page(found, settings['data']))
    write_text(folder / 'data.txt', text)
    write_table(folder / 'shared_perturbations.csv', found.perturbations.rename_axis('context').reset_index())
    return text


def _compendium(data: Mapping[str, Any], folder: epath.Path) -> Compendium:
    """The store of the workdir, where there is one, or else the data read anew."""
    if not store.exists(folder / _STORE):
        return load(data)
    if store.made_from(folder / _STORE) != data:
        raise InputError(
            f'{folder / _STORE}: it was prepared with other settings of the data; '
            'run --mode=prepare again, or give another --workdir.'
        )
    return store.read(folder / _STORE)


def checkpoint_folder(setup: Setup, label: str, split: Split) -> epath.Path:
    return setup.folder / 'checkpoints' / label / str(split.seed)
