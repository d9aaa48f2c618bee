"""Small fitted models made by hand, and their checkpoints; and models that are trained in a word."""

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from screens_for_tests import two_contexts

from perturbjax.models.lpm import lpm
from perturbjax.models.model import Fitted, Masks, Model, Params
from perturbjax.screens.outline import outline
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, TRAIN, VALIDATION, Split
from perturbjax.screens.vocabulary import Vocabulary
from perturbjax.training import checkpoints
from perturbjax.training.fit import fit, read_params
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings, training_settings
from perturbjax.training.train_cells import settings_of, train_cells

# The config's models of `one_unit`.
ONE_UNIT = {'lpm': {'model': 'lpm_released', 'embedding_dim': 1, 'hidden_dims': [1]}}


def one_unit(perturbations: Sequence[float], counts: Sequence[int] | None = None) -> Fitted:
    """An LPM that predicts max(0, context + perturbation + readout): contexts are 1 and 2, readouts 1 and 0.

    `counts` says how many training profiles each perturbation had; 1 unless given.
    """
    one, none = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    weights = {
        'context': np.array([[1], [2]], np.float32),
        'perturbation': np.array(perturbations, np.float32)[:, None],
        'readout': np.array([[1], [0]], np.float32),
        'kernel_0': np.ones((3, 1), np.float32),
        'bias_0': none,
        'kernel_1': one,
        'bias_1': none,
    }
    twice = np.ones(2, np.int32)
    trained = np.array(counts or [1] * len(perturbations), np.int32)
    constants = {'context_counts': twice, 'perturbation_counts': trained, 'readout_counts': twice}
    return Fitted({name: each[None] for name, each in weights.items()}, {}, constants)


def save_model(
    folder: Any,
    params: Any,
    models: Mapping[str, Any] = ONE_UNIT,
    vocabulary: Vocabulary | None = None,
    held_out: Sequence[tuple[str, str]] = (),
) -> Any:
    """Saves a checkpoint of `models` over the names of `two_contexts`, with (context, perturbation) held out."""
    vocabulary = vocabulary or two_contexts().vocabulary
    split = {'seed': 13, 'validation': [], 'test': [['screen', *pair] for pair in held_out], 'unused': []}
    with checkpoints.open_folder(folder) as manager:
        checkpoints.save(manager, 0, params, checkpoints.About(vocabulary, {'models': dict(models)}, split))
    return folder


def train_lpm(
    settings: Mapping[str, Any], recipe: Mapping[str, Any], compendium: Compendium, split: Split, folder: Any
) -> Fitted:
    """Trains an `lpm` of these settings as an experiment does, in `folder/lpm/0`, and reads its params back."""
    model, folder = lpm(**settings), epath.Path(folder)
    config, held_out = {'models': {'lpm': dict(settings)}}, split.describe(compendium)
    about = checkpoints.About(compendium.vocabulary, config, held_out, 'lpm', outline(compendium))
    all_settings, checkpoint = training_settings(model.learner.recipe, recipe), folder / 'lpm' / '0'
    fit(model, compendium, split, all_settings, 5, about, checkpoint, folder / 'metrics.jsonl')
    return read_params(model, checkpoint)


def train_on_cells(
    model: Model, compendium: Compendium, training: Masks, validation: Masks, seed: int = 0, folder: Any = None,
    devices: int = 1, **settings: Any,
) -> Params:  # fmt: skip
    """The params of a model that learns from cells; its checkpoints are in `folder`, or are thrown away.

    Everything that neither trains nor validates is held out.
    """
    roles = tuple(
        np.where(trains, TRAIN, np.where(validates, VALIDATION, TEST))
        for trains, validates in zip(training, validation, strict=True)
    )
    split = Split('by_hand', 0, roles)
    about = checkpoints.About(compendium.vocabulary, {}, split.describe(compendium), 'mine')
    every = settings_of(model.cell_learner, TrainingSettings(**{'checkpoint_every': 1000, **settings}))
    with tempfile.TemporaryDirectory() as thrown_away:
        path = epath.Path(folder or thrown_away)
        writer = MetricWriter(path / 'metrics.jsonl', 'mine', 0)
        rest = every, seed, about, path / 'checkpoints', writer, jax.local_devices()[:devices]
        return train_cells(model.cell_learner, compendium, split, *rest)
