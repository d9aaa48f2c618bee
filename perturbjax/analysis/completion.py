"""A completed screen: the change that a fitted model predicts for every perturbation in a context, measured or not."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from etils import epath

from perturbjax.analysis.deltas import mean_deltas
from perturbjax.errors import InputError, listed
from perturbjax.models import ALWAYS, Model, Query, make_models, no_change
from perturbjax.models.model import Masks, Params
from perturbjax.prediction.stream import Predictor, predict_profiles
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL
from perturbjax.training import checkpoints
from perturbjax.training.fit import closed_form, learned_params, read_params

Ask = Callable[[Query], np.ndarray]


class FittedModel(NamedTuple):
    """A model with its params, ready to be asked.

    Attributes:
      predict: `query -> [Q, M]` on the host, NaN where there is no answer.
      control: `query of controls -> [Q, M]`, the level that changes are counted from.
      about: the names, config and split it was fitted with.
    """

    predict: Ask
    control: Ask
    about: checkpoints.About


def read_model(
    folder: str | os.PathLike,
    compendium: Compendium | None = None,
    models: Mapping[str, Model] | None = None,
) -> FittedModel:
    """The model of a checkpoint `WORKDIR/checkpoints/MODEL/SPLIT_SEED`.

    A learned model needs nothing else. Its changes count from its own prediction of control, or from 0 where
    it has none, because no control trained: on scales that define control as 0. A closed-form model is read
    with the compendium it was fitted on, and its changes count from the measured control.

    Args:
      folder: of the checkpoint.
      compendium: what a closed-form model was fitted on.
      models: models of your own by label, as they were given to `run`; those that `register_model` knows
        need not be given.

    Raises:
      InputError: there is no checkpoint, or nothing says which model it is of.
    """
    checkpoint = checkpoints.absolute(folder)
    saved = checkpoints.read(checkpoint)
    model = _model_of(saved.about, checkpoint, models or {})
    if model.fit is None:
        predict = _ask(model, learned_params(model, saved))
        return FittedModel(predict, lambda query: np.nan_to_num(predict(query)), saved.about)
    if compendium is None:
        raise InputError(
            f'{folder}: only a learned model can be read from a checkpoint alone; '
            f'give the compendium that {checkpoint.parent.name!r} was fitted on.'
        )
    masks = tuple(np.ones(len(screen.context), bool) for screen in compendium.screens)
    level = no_change()
    control = _ask(level, closed_form(level)(compendium, masks))
    return FittedModel(_ask(model, read_params(model, checkpoint, compendium, masks)), control, saved.about)


def _model_of(about: checkpoints.About, folder: epath.Path, models: Mapping[str, Model]) -> Model:
    """The model that was saved, made anew from its settings, or the one of that label in `models`."""
    if about.label in models:
        return models[about.label]
    label, settings = model_settings(about, folder)
    return make_models({label: settings})[label]


def model_settings(about: checkpoints.About, folder: str | os.PathLike) -> tuple[str, Mapping[str, Any]]:
    """Label and settings of a checkpoint's model.

    A checkpoint that does not say its label is that of the model with the name of the folder above it, or of
    the one LPM of its config.

    Raises InputError where the config does not have the model.
    """
    models, label = about.config.get('models', {}), about.label or epath.Path(folder).parent.name
    if label in {*models, *ALWAYS}:
        return label, models.get(label, {})
    learned = [name for name in models if models[name].get('model', name) in ('lpm', 'lpm_released')]
    if about.label or len(learned) != 1:
        raise InputError(
            f'{folder}: the config there has the models {listed(models)}, and none is called {label!r}; give a folder '
            f'WORKDIR/checkpoints/MODEL/SEED, or for a model of your own models={{{label!r}: ...}}.'
        )
    return learned[0], models[learned[0]]


def _ask(model: Model, params: Params) -> Ask:
    return lambda query: predict_profiles(Predictor(model.predict, params, model.tile_values), query)


def complete(
    model: FittedModel, context: str, perturbations: Sequence[str] = (), readouts: Sequence[str] = ()
) -> pd.DataFrame:
    """The predicted change from control of every perturbation in a context, `[P, M]`, on the screens' scale.

    Args:
      model: as `read_model` gives it.
      context: its name.
      perturbations: names, combinations too; all single ones of the vocabulary unless given.
      readouts: names; all of the vocabulary unless given.

    Raises InputError on a name outside the vocabulary; a name that no training profile had gets NaN.
    """
    names = model.about.vocabulary
    perturbations, readouts = list(perturbations or names.perturbations[1:]), list(readouts or names.readouts)
    values = model.predict(_query(model, context, perturbations, readouts))
    control = model.control(_query(model, context, [CONTROL], readouts))
    return pd.DataFrame(values - control, perturbations, readouts)


def _query(model: FittedModel, context: str, perturbations: Sequence[str], readouts: Sequence[str]) -> Query:
    names = model.about.vocabulary
    contexts = names.context_ids([context] * len(perturbations))
    return Query(contexts, names.perturbation_ids(perturbations), names.readout_ids(readouts))


def measured_changes(compendium: Compendium, context: str, training: Masks | None = None) -> pd.DataFrame:
    """The measured change from control of the single perturbations of a context, `[P, M]`, NaN where not measured.

    Args:
      compendium: screens; what several of them measure is averaged.
      context: its name.
      training: which profiles count, one bool `[N]` per screen; all, where None.

    Raises InputError on a context outside the vocabulary.
    """
    wanted = compendium.vocabulary.context_ids([context])[0]
    here = [screen.context == wanted for screen in compendium.screens]
    table = mean_deltas(compendium, [rows & mask for rows, mask in zip(here, training or here, strict=True)])
    return pd.DataFrame(table.X, list(table.obs['name']), list(table.var_names))
