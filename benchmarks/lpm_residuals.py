"""What `lpm` costs on a large screen, part by part, and how far it gets beside the rules that it is mixed with.

    python benchmarks/lpm_residuals.py [--contexts=10] [--perturbations=1000] [--readouts=1000]

A generated screen (`generated_screens.generated`: the same programs in every context, at other strengths, and noise)
with 15% of the perturbations held out in one context. Everything is run as an experiment runs it, once, and timed:
the low-rank rule alone; what `lpm` prepares (the rules, their out-of-fold predictions); its networks, all folds and
seeds at once; what it does after them (amplitude, weights); predicting. Beside it one epoch of the released LPM with
the Replogle recipe. Memory is the peak of the process so far, with the values and JAX.
"""

import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import tqdm
from absl import app, flags
from generated_screens import compendium_of, generated, model_of, settings_of
from measuring import about
from training_loops import first_state

from perturbjax.models import Query, low_rank, lpm
from perturbjax.models.model import Fitted, Model
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, TRAIN, Split, make_split
from perturbjax.training.epoch import Trainer, make_trainer, train_epoch
from perturbjax.training.settings import TrainingSettings, training_settings

_CONTEXTS = flags.DEFINE_integer('contexts', 10, 'contexts of the screen')
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 1000, 'perturbations of the screen')
_READOUTS = flags.DEFINE_integer('readouts', 1000, 'readouts of the screen')
_EPOCHS = flags.DEFINE_integer('epochs', 0, 'epochs of lpm; 0 = those of its recipe')


def main(_: Sequence[str]) -> None:
    values = generated(_CONTEXTS.value, _PERTURBATIONS.value, _READOUTS.value)
    compendium = compendium_of(values)
    split = make_split(compendium, 'unseen_in_context', 0, context='c0', test=0.15, validation=0.0)
    print(about())
    print(f'{values.size:,} values: {_CONTEXTS.value} contexts x {_PERTURBATIONS.value} x {_READOUTS.value}')
    rule, model = low_rank(), lpm()
    params = _told('low_rank: fit', lambda: jax.block_until_ready(jax.jit(rule.fit)(compendium, split.mask(TRAIN))))
    _tell_error('low_rank', rule, params, compendium, split)
    given = {'epochs': _EPOCHS.value} if _EPOCHS.value else {}
    _run('lpm', model, training_settings(model.learner.recipe, given), compendium, split)
    _run('lpm_released, 1 epoch', model_of('replogle'), settings_of('replogle', epochs=1), compendium, split)


def _run(label: str, model: Model, settings: TrainingSettings, compendium: Compendium, split: Split) -> None:
    """Trains a model and says how long each part took and how good it is."""
    trainer = _told(
        f'{label}: prepare', lambda: make_trainer(model.learner, compendium, split, settings, 0, tuple(jax.devices()))
    )
    state = _told(f'{label}: train', lambda: _trained(trainer, settings))
    fitted = Fitted(*jax.device_get((state.weights, state.statistics, trainer.constants)))
    fitted = _told(f'{label}: finish', lambda: model.learner.finish(fitted, trainer.target))
    _tell_error(label, model, fitted, compendium, split)


def _trained(trainer: Trainer, settings: TrainingSettings) -> Any:
    state = first_state(trainer)
    active, bar = np.ones(len(jax.device_get(trainer.members.seed)), bool), tqdm.tqdm(disable=True)
    for epoch in range(settings.epochs):
        state, *_ = train_epoch(trainer, state, epoch, active, bar)
    return jax.block_until_ready(state)


def _told(what: str, run: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = run()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'{what:24} {time.perf_counter() - began:7.1f} s, {memory:.2f} GiB', flush=True)
    return found


def _tell_error(label: str, model: Model, params: Any, compendium: Compendium, split: Split) -> None:
    """The RMSE over the held-out profiles."""
    (screen,), (tested,) = compendium.screens, split.mask(TEST)
    query = Query(screen.context[tested], screen.perturbation[tested], screen.readout)
    predicted = _told(f'{label}: predict', lambda: np.asarray(jax.jit(model.predict)(params, query)))
    print(f'{label}: RMSE {np.sqrt(np.mean((predicted - screen.values[tested]) ** 2)):.4f}', flush=True)


if __name__ == '__main__':
    app.run(main)
