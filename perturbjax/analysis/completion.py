"""A screen completed: what a fitted model says of every perturbation in a context, measured or not."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from etils import epath

from perturbjax.analysis.deltas import mean_deltas
from perturbjax.errors import InputError, listed
from perturbjax.models import ALWAYS, LearnedModel, Query, make_models, no_change
from perturbjax.models.lpm import Fitted
from perturbjax.models.model import Masks, Params
from perturbjax.prediction.stream import predict_profiles
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL, CONTROL_ID
from perturbjax.training import checkpoints

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


def read_model(folder: str | os.PathLike, compendium: Compendium | None = None) -> FittedModel:
    """The model of a checkpoint `WORKDIR/checkpoints/MODEL/SPLIT_SEED`.

    LPM needs nothing else, and its changes count from its own prediction of control (from 0 where no
    control trained, as on scales that define it so). The other models are read with the compendium
    they were fitted on, and their changes count from the measured control.

    Raises InputError where there is no checkpoint, or its config does not say which model it is of.
    """
    folder = checkpoints.absolute(folder)
    saved = checkpoints.read(folder)
    label, settings = model_settings(saved.about.config, folder)
    model = make_models({label: settings})[label]
    if isinstance(model, LearnedModel):
        fitted = Fitted(**saved.params)
        predict = _ask(model.predict, fitted)
        return FittedModel(predict, predict if fitted.perturbations[CONTROL_ID] else _zero, saved.about)
    if compendium is None:
        raise InputError(f'{folder}: only LPM can be read from a checkpoint alone; give the compendium for {label!r}.')
    masks = tuple(np.ones(len(screen.context), bool) for screen in compendium.screens)
    shapes = jax.eval_shape(model.fit, compendium, masks)
    empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    level = no_change()
    control = _ask(level.predict, level.fit(compendium, masks))
    return FittedModel(_ask(model.predict, checkpoints.read(folder, empty).params), control, saved.about)


def model_settings(config: Mapping[str, Any], folder: str | os.PathLike) -> tuple[str, Mapping[str, Any]]:
    """Label and settings of a checkpoint's model: named as the folder above it, or the one LPM of its config.

    Raises InputError where the config does not say which model it is.
    """
    models, label = config.get('models', {}), epath.Path(folder).parent.name
    learned = [name for name in models if models[name].get('model', name) == 'lpm']
    if label not in {*models, *ALWAYS}:
        if len(learned) != 1:
            raise InputError(
                f'{folder}: the config there has the models {listed(models)}, and none is called {label!r}; '
                'give a folder WORKDIR/checkpoints/MODEL/SEED.'
            )
        label = learned[0]
    return label, models.get(label, {})


def _ask(predict: Callable[[Params, Query], jax.Array], params: Params) -> Ask:
    return lambda query: predict_profiles(predict, params, query)


def _zero(query: Query) -> np.ndarray:
    return np.zeros((len(query.context), len(query.readout)), np.float32)


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
