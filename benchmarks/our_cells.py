"""GEARS and CPA of perturbjax as a process that takes turns of training; `cells_training.py` starts it.

    python benchmarks/our_cells.py gears|cpa_first|cpa_game FOLDER BATCH EPOCHS

Every turn trains from the start, so that the first one compiles all that the others run.
"""

import functools
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from measuring import timed_apart
from turns import Asked

from perturbjax.models import make_models
from perturbjax.models.cell_learner import Course
from perturbjax.models.cpa.fitting import plan_of
from perturbjax.models.cpa.schedule import Settings as CpaSettings
from perturbjax.readers.loading import load
from perturbjax.training.cell_epoch import CellTrainer, dealt_to_train, first_state, make_trainer, train_epoch
from perturbjax.training.history import Seen

# More epochs than any turn has.
_NEVER = 10**6


class Training(NamedTuple):
    """What a turn runs, which returns the weights, and how many cells it goes through."""

    run: Callable[[], Any]
    genes: int
    cells: int
    batch: int


def course_of(model: str, folder: pathlib.Path, settings: dict[str, Any]) -> Course:
    """The cells of all profiles but those of the last perturbation, which takes no part; nothing validates."""
    compendium = load({'source': 'h5ad', 'path': str(folder / 'cells.h5ad'), 'preset': 'gears', 'keep_cells': True})
    (screen,) = compendium.screens
    last = max(compendium.vocabulary.perturbations[1:], key=lambda name: int(name[1:]))
    trains = (screen.perturbation != compendium.vocabulary.perturbations.index(last)).all(axis=1)
    learner = make_models({model: settings})[model].cell_learner
    return learner.prepare(compendium, (trains,), (np.zeros_like(trains),), 0)


def training_of(model: str, course: Course, epochs: int) -> Training:
    """So many epochs from the start, as the trainer runs them."""
    trainer = make_trainer(model, course, 1, jax.devices()[:1])

    def run() -> Any:
        state = trained(trainer, epochs)
        return state.weights if model == 'gears' else [side.weights for side in state]

    cells = int(dealt_to_train(course, course.training).weight.sum())
    return Training(run, course.values.shape[1], epochs * cells, min(course.batch_size, len(course.training)))


def trained(trainer: CellTrainer, epochs: int) -> Any:
    """The state after so many epochs from the start."""
    state, bar, active = first_state(trainer), tqdm.tqdm(disable=True), np.ones(1, bool)
    for epoch in range(epochs):
        state, *_ = train_epoch(trainer, state, epoch, active, bar, Seen(), lambda: False)
    return jax.block_until_ready(state)


def gears(folder: pathlib.Path, batch: int, epochs: int) -> Training:
    """GEARS; the graph of co-expression is its own."""
    settings = {'graph': str(folder / 'ontology.csv'), 'batch_size': batch}
    return training_of('gears', course_of('gears', folder, settings), epochs)


def cpa(folder: pathlib.Path, batch: int, epochs: int, pretraining: int) -> Training:
    """CPA, in the first or the second part of its training."""
    plan = functools.partial(plan_of, CpaSettings(pretraining=pretraining))
    return training_of('cpa', course_of('cpa', folder, {'batch_size': batch})._replace(plan=plan), epochs)


def main() -> None:
    asked, (name, folder, *given) = Asked(), sys.argv[1:]
    batch, epochs = map(int, given)
    if name == 'gears':
        training = gears(pathlib.Path(folder), batch, epochs)
    else:
        training = cpa(pathlib.Path(folder), batch, epochs, _NEVER if name == 'cpa_first' else -1)
    run, *sizes = training
    facts: dict[str, Any] = dict(zip(Training._fields[1:], sizes, strict=True))
    while True:
        asked.wait()
        began = time.process_time()
        weights, seconds, compiling = timed_apart(run)
        facts['processor'] = time.process_time() - began
        number = sum(each.size for each in jax.tree.leaves(weights))
        asked.tell(**facts, seconds=seconds, compiling=compiling, weights=number, versions={'jax': jax.__version__})


if __name__ == '__main__':
    main()
