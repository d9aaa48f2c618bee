"""Memory that LPM's training needs per observation, with the data resident or streamed; and the cost of streaming.

    python benchmarks/lpm_memory.py [--observations=10000000,100000000] [--recipe=narrow] [--rounds=3]

A generated screen is written to disk. A separate process maps it, trains on nine in ten profiles and validates on
the others. It makes a few steps with each chunk of the data, so that chunks are swapped. The first table holds the
process's peak anonymous memory in each phase, which leaves the mapped screen out. The bytes per observation are the
growth from a screen of a million, so that the memory of compilation does not count. Between runs they move by 1 with
ten million observations and by 0.1 with a hundred million. On an accelerator the peak of its arrays is shown too.

The second table is of whole epochs; all variants run in turn in one process. Streamed chunks have more blocks that
are not full, and so an epoch has more steps; the last two columns compare the time per step.
"""

import pathlib
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import tqdm
from absl import app, flags
from generated_screens import RECIPES, compendium_of, generated
from measuring import about, accelerator_peak, in_turn, watched
from training_loops import epochs, few_steps, first_state, trainer_of

from perturbjax.screens import store
from perturbjax.training.epoch import evaluate, train_epoch

_RECIPE = flags.DEFINE_enum('recipe', 'narrow', RECIPES, 'widths where memory is measured')
_OBSERVATIONS = flags.DEFINE_list('observations', ['10000000', '100000000'], 'sizes of the screens')
_CHUNKS = flags.DEFINE_list('data_chunks', ['1', '4'], 'chunks of the data; 1 = the data stay on the device')
_STEPS = flags.DEFINE_integer('steps', 100, 'steps with each chunk where memory is measured')
_EPOCH_RECIPE = flags.DEFINE_enum('epoch_recipe', 'replogle', RECIPES, 'widths where streaming is timed')
_EPOCH = flags.DEFINE_integer('epoch', 400_000, 'observations of the screen where streaming is timed')
_BLOCKS = flags.DEFINE_list('blocks', ['1x1', '10x10'], 'profiles x readouts of a block')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'turns that each variant takes; 0 = time nothing')
_FOLDER = flags.DEFINE_string('folder', tempfile.gettempdir(), 'where the screens are written; removed at the end')

CONTEXTS, READOUTS = 10, 1000
# Fewer readouts, so that a chunk of a small screen still has many profiles, as a chunk of a large one has.
READOUTS_TIMED = 100
# Observations of the screen that all others are compared with.
FLOOR = 1_000_000
# Perturbations that are generated at once while a screen is written.
_AT_ONCE = 500


def prepare(observations: int, folder: str, readouts: int = READOUTS) -> str:
    """Writes a screen of about that many observations and returns its path; never holds all of it in memory."""
    path = pathlib.Path(folder) / 'values'
    perturbations = max(1, observations // (CONTEXTS * readouts))
    values = np.memmap(path, np.float32, 'w+', shape=(CONTEXTS, perturbations, readouts))
    for first in range(0, perturbations, _AT_ONCE):
        some = values[:, first : first + _AT_ONCE]
        some[:] = generated(*some.shape, seed=first)
    prepared = pathlib.Path(folder) / str(observations)
    store.write(compendium_of(values), prepared)
    path.unlink()
    return str(prepared)


def train_watched(
    begin: Callable[[str], None], prepared: str, recipe: str, block: str, chunks: int, steps: int
) -> int | None:
    """Does what a run does, from reading the screen to validation, with a few steps of each."""
    begin('reading')
    compendium = store.read(prepared)
    begin('placing')
    trainer = trainer_of(compendium, recipe, block, chunks)
    begin('compiling')
    few = trainer._replace(
        training=few_steps(trainer.training, steps), validation=few_steps(trainer.validation, -(-steps // 10))
    )
    state = first_state(trainer)
    for epoch in range(3):
        state, *_ = train_epoch(few, state, epoch, np.ones(1, bool), tqdm.tqdm(disable=True))
        evaluate(few, state)
        begin('training')
    return accelerator_peak()


PHASES = ('reading', 'placing', 'compiling', 'training')


def peaks(prepared: str, chunks: int) -> dict[str, int]:
    """The peak bytes in each phase, over all phases, and on an accelerator (0 without one)."""
    block, steps = _BLOCKS.value[-1], _STEPS.value
    there, most = watched(train_watched, prepared, _RECIPE.value, block, chunks, steps)
    return {**{phase: most[phase] for phase in PHASES}, 'peak': max(most.values()), 'accelerator': there or 0}


def memory(folder: str) -> None:
    screens = {number: prepare(number, folder) for number in [FLOOR, *map(int, _OBSERVATIONS.value)]}
    print(f'\n{_RECIPE.value}, {_BLOCKS.value[-1]}: MiB with {FLOOR:,} observations, and bytes for each one more')
    for chunks in _CHUNKS.value:
        floor = peaks(screens[FLOOR], int(chunks))
        print(f'{_label(chunks):>14}' + ''.join(f'{name:>12}' for name in floor))
        print(f'{FLOOR:14,}' + ''.join(f'{most / 2**20:8.0f} MiB' for most in floor.values()), flush=True)
        for number in map(int, _OBSERVATIONS.value):
            most = peaks(screens[number], int(chunks))
            each = [(most[name] - floor[name]) / (number - FLOOR) for name in floor]
            print(f'{number:14,}' + ''.join(f'{more:12.2f}' for more in each), flush=True)


def streaming(folder: str) -> None:
    compendium = store.read(prepare(_EPOCH.value, folder, READOUTS_TIMED))
    trainers = {
        f'{block}, {_label(chunks)}': trainer_of(compendium, _EPOCH_RECIPE.value, block, int(chunks))
        for block in _BLOCKS.value
        for chunks in _CHUNKS.value
    }
    runs = {name: epochs(trainer) for name, trainer in trainers.items()}
    for run in runs.values():
        run()
    medians = in_turn(runs, _ROUNDS.value)
    size = trainers[next(iter(trainers))].training.size
    print(f'\nepochs of {size:,} observations, {_EPOCH_RECIPE.value}')
    print(f'{"":20}{"obs/s":>12}{"ratio":>8}{"steps":>8}{"ms/step":>9}{"ratio":>8}')
    for name, seconds in medians.items():
        first, steps = f'{name.split(",")[0]}, {_label(_CHUNKS.value[0])}', sum(trainers[name].training.steps)
        step, first_step = seconds / steps, medians[first] / sum(trainers[first].training.steps)
        line = f'{name:20}{size / seconds:12,.0f}{medians[first] / seconds:8.2f}{steps:8}'
        print(f'{line}{1000 * step:9.1f}{first_step / step:8.2f}')


def _label(chunks: str) -> str:
    return 'resident' if chunks == '1' else f'{chunks} chunks'


def main(_: Sequence[str]) -> None:
    print(about(), flush=True)
    with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder:
        memory(folder)
        if _ROUNDS.value:
            streaming(folder)


if __name__ == '__main__':
    app.run(main)
