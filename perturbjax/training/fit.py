"""Fitting any model and saving its checkpoint; and reading its params back."""

import functools
from collections.abc import Callable

import jax
from etils import epath

from perturbjax.errors import InputError
from perturbjax.models.model import Fitted, Masks, Model, Params, closed_form_of
from perturbjax.screens.outline import from_outline
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TRAIN, Split
from perturbjax.training import checkpoints
from perturbjax.training.checkpoints import in_structure_of
from perturbjax.training.history import History
from perturbjax.training.hosts import from_first
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.trackers import trackers
from perturbjax.training.train import train
from perturbjax.training.train_cells import settings_of, train_cells


def fit(
    model: Model,
    compendium: Compendium,
    split: Split,
    settings: TrainingSettings,
    seed: int,
    about: checkpoints.About,
    folder: epath.Path,
    metrics_path: epath.Path,
) -> None:
    """Fits the model on the split's training profiles and saves its checkpoint; does nothing twice.

    On several hosts all of them train a learned model, and the first fits any other. The training
    curve goes to `metrics_path`; the other arguments are those of `train`.
    """
    if model.learner is not None or model.cell_learner is not None:
        settings = settings_of(model.cell_learner, settings) if model.cell_learner else settings
        epochs = finished_epochs(folder, settings)
        if epochs:
            MetricWriter(metrics_path, about.label, split.seed).forget_from(epochs + 1)
            return
        with trackers(settings, metrics_path.parent, about.label, split.seed, about.config) as beside:
            writer = MetricWriter(metrics_path, about.label, split.seed, beside)
            rest = compendium, split, settings, seed, about, folder, writer
            if model.learner is not None:
                train(model.learner, *rest)
            if model.cell_learner is not None:
                train_cells(model.cell_learner, *rest)
    elif jax.process_index() == 0 and not checkpoints.is_saved(folder):
        params = closed_form(model)(compendium, split.mask(TRAIN))
        with checkpoints.open_folder(folder) as manager:
            checkpoints.save(manager, 0, params, about)


def finished_epochs(folder: epath.Path, settings: TrainingSettings) -> int:
    """How many epochs a learned model was trained if those are all that the settings ask for, else 0; on every host."""
    progress = checkpoints.progress_of(folder) if jax.process_index() == 0 else None
    history = None if progress is None else History.from_json(progress)
    return from_first(0 if history is None or history.active(settings).any() else history.epoch)


@functools.lru_cache
def closed_form(model: Model) -> Callable[[Compendium, Masks], Params]:
    """The model's compiled `fit`: one compilation serves all splits."""
    return jax.jit(closed_form_of(model))


def read_params(model: Model, folder: epath.Path, compendium: Compendium | None = None, training: Masks = ()) -> Params:
    """The model's params from its checkpoint.

    Args:
      model: of the checkpoint.
      folder: of the checkpoint.
      compendium, training: what a closed-form model was fitted on, which tells the structure of its params.
        A learned model takes it from the checkpoint.

    Raises:
      InputError: there is no checkpoint, or it cannot be read.
    """
    saved = checkpoints.read(folder)
    try:
        if model.fit is None:
            return learned_params(model, saved)
        return in_structure_of(jax.eval_shape(model.fit, compendium, training), saved.params)
    except InputError as error:
        raise InputError(f'{folder}: {error}') from error


def learned_params(model: Model, saved: checkpoints.Checkpoint) -> Params:
    """The params of a learned model, from the nested dicts that its checkpoint holds."""
    if model.learner is None:
        return saved.params
    fitted = Fitted(**saved.params)
    if model.learner.added is None:
        return fitted
    compendium = from_outline(saved.about.vocabulary, saved.about.screens)
    added = in_structure_of(jax.eval_shape(model.learner.added, compendium), fitted.constants)
    return fitted._replace(constants=fitted.constants | added)
