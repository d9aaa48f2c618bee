"""All that a GPU or TPU has to show, in one launch of less than nine minutes: a table, and JSON under `--out`.

    python benchmarks/accelerator.py [--out=build/accelerator] [--full] [--sections=training,grid]
    python benchmarks/accelerator.py --small      # tiny shapes, to see on a CPU that it runs

On generated screens of the size of Replogle's (2 x 2,200 x 8,563, 38 million observations):

- `rates`: one large product in each precision; shares below are of the rate in the variant's own precision;
- `training`: both released recipes and the network of `lpm` at three batch sizes and in three precisions. `lpm` takes
  whole profiles, as many as make the batch and at least one;
- `recipe`: the released Replogle recipe, 50 epochs at full size: some steps are timed and the rest is extrapolated,
  or all of it is run with `--full`, which takes much longer than nine minutes where the chip is slow;
- `grid`: every prediction of the screen;
- `members`: ten networks at once, by `vmap`, beside one;
- `streaming`: epochs with the data on the device, and in four parts that are moved there;
- `trace`: some steps under `jax.profiler`, for TensorBoard or Perfetto, in `OUT/trace`.

Times are medians of turns after a first one that compiles; the seconds until the first turn was over are told beside
them. Each section has a budget: when it is spent, the section ends with a sentence after the case that runs, and the
next one begins. What is done is written after every section.
"""

import functools
import json
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from generated_screens import RECIPES, compendium_of, generated, model_of, settings_of
from grids import Sizes, fitted, streamed, vocabulary_of
from measuring import about, in_turn, limit, timed
from training_loops import epochs, operations, trained, trainer_of

from perturbjax.models import lpm
from perturbjax.models.lpm_network import PRECISIONS
from perturbjax.models.model import Model
from perturbjax.screens import store
from perturbjax.screens.screen import Compendium
from perturbjax.training.settings import TrainingSettings, training_settings

_SMALL = flags.DEFINE_bool('small', False, 'tiny shapes')
_FULL = flags.DEFINE_bool('full', False, 'run the whole Replogle recipe')
_SECTIONS = flags.DEFINE_list('sections', [], 'which sections; all unless given')
_BUDGET = flags.DEFINE_float('budget', 1.0, 'how many times its usual budget each section has')
_OUT = flags.DEFINE_string('out', 'build/accelerator', 'the folder for results.json and the trace')

Row = dict[str, Any]


class Scale(NamedTuple):
    """How much of everything.

    Attributes:
      sizes: contexts, perturbations and readouts of the screen.
      batches: observations per step.
      product: the side of the large product; 0 for the device's own.
      steps, rounds: steps of a turn, and turns.
      members: networks at once.
      streamed: observations of the screen that is streamed.
    """

    sizes: Sizes
    batches: tuple[int, ...]
    product: int
    steps: int
    rounds: int
    members: int
    streamed: Sizes


_WHOLE = Scale((2, 2200, 8563), (5_000, 50_000, 500_000), 0, 20, 3, 10, (10, 1000, 1000))
_TINY = Scale((2, 8, 20), (40, 80), 64, 2, 1, 2, (2, 40, 5))
# The block of a batch; the network of lpm takes whole profiles.
_BLOCKS = {'replogle': '1x1', 'lincs': '10x10', 'lpm': ''}
_EPOCHS = 50


class Setting(NamedTuple):
    """What all sections work on; `rates` are floating-point operations a second by precision, once they are known."""

    scale: Scale
    compendium: Compendium
    rates: dict[str, float]


def rates(setting: Setting) -> Iterator[Row]:
    for matmul in PRECISIONS:
        run, operations_made = limit(matmul, setting.scale.product)
        first = timed(run)
        setting.rates[matmul] = operations_made / in_turn({'': run}, setting.scale.rounds + 2)['']
        yield {'case': matmul, 'first_s': first, 'tflops': setting.rates[matmul] / 1e12}


def training(setting: Setting) -> Iterator[Row]:
    for matmul in PRECISIONS:
        for batch in setting.scale.batches:
            for name in _BLOCKS:
                yield speed(setting, name, matmul, batch)


def speed(setting: Setting, name: str, matmul: str, batch: int, members: int = 1) -> Row:
    """Observations a second of a network on all profiles, and its share of the product's rate."""
    model, settings, each = network(setting, name, matmul, batch, members)
    seen, first, seconds, _ = turns(setting, model, settings, batch)
    rate = seen * members / seconds
    row = {'case': f'{name}, batch {batch:,}, {matmul}', 'first_s': first, 'observations_per_s': rate}
    known = setting.rates.get(matmul)
    return row | ({'share': rate * each / known} if known else {})


def network(
    setting: Setting, name: str, matmul: str, batch: int, members: int
) -> tuple[Model, TrainingSettings, float]:
    """A model, its settings, and the floating-point operations of its products for an observation."""
    if name in RECIPES:
        settings = settings_of(name, _BLOCKS[name], batch_size=batch, seeds=members)
        return model_of(name, matmul), settings, operations(name, _BLOCKS[name])
    model = lpm(folds=0, shrink=False, early_stop=False, mix=(), matmul_precision=matmul)
    readouts = setting.scale.sizes[2]
    given = {'batch_profiles': max(1, batch // readouts), 'seeds': members}
    # Embeddings of 16, two hidden layers of 64: one pass for a profile, and a product for each of its readouts.
    each = 3 * 2 * ((32 * 64 + 64 * 64 + 64 * 16) / readouts + 16)
    return model, training_settings(model.learner.recipe, given), each


def turns(
    setting: Setting, model: Model, settings: TrainingSettings, batch: int
) -> tuple[float, float, float, Callable[[], Any]]:
    """Observations of a turn, seconds until the first turn was over, those of a later one, and a turn."""
    size = int(np.prod(setting.scale.sizes))
    steps = max(1, min(setting.scale.steps, size // batch - 1))
    began = time.perf_counter()
    more = trained(model, setting.compendium, settings, tuple(jax.devices()), steps)
    seen = float(more()[1].observations.mean())
    first = time.perf_counter() - began
    return seen, first, in_turn({'': more}, setting.scale.rounds)[''], more


def recipe(setting: Setting) -> Iterator[Row]:
    batch = setting.scale.batches[0]
    size = int(np.prod(setting.scale.sizes))
    for matmul in PRECISIONS:
        model, settings, _ = network(setting, 'replogle', matmul, batch, 1)
        seen, first, seconds, more = turns(setting, model, settings, batch)
        whole = first + (_EPOCHS * size - seen) / seen * seconds
        row = {'case': f'replogle, {_EPOCHS} epochs of {size:,}, batch {batch:,}, {matmul}', 'first_s': first}
        if _FULL.value:
            began = time.perf_counter()
            for _ in range(round(_EPOCHS * size / seen)):
                more()
            yield row | {'minutes': (time.perf_counter() - began) / 60, 'extrapolated_from_steps': 0}
        else:
            yield row | {'minutes': whole / 60, 'extrapolated_from_steps': round(seen / batch) * setting.scale.rounds}


def grid(setting: Setting) -> Iterator[Row]:
    sizes = setting.scale.sizes
    for name in ('replogle', 'lincs'):
        params = fitted(name, vocabulary_of(sizes))
        for matmul in PRECISIONS:
            run = functools.partial(streamed, name, matmul, sizes, params)
            first = timed(run)
            rate = np.prod(sizes) / in_turn({'': run}, 1)['']
            yield {'case': f'{name}, {" x ".join(map(str, sizes))}, {matmul}', 'first_s': first, 'values_per_s': rate}


def members(setting: Setting) -> Iterator[Row]:
    for name in ('lpm', 'replogle'):
        one = speed(setting, name, 'float32', setting.scale.batches[0])
        yield one | {'case': one['case'] + ', 1 member'}
        many = speed(setting, name, 'float32', setting.scale.batches[0], setting.scale.members)
        ratio = many['observations_per_s'] / one['observations_per_s']
        yield many | {'case': many['case'] + f', {setting.scale.members} members', 'ratio': ratio}


def streaming(setting: Setting) -> Iterator[Row]:
    # Parts are swapped where a screen is mapped from the disk.
    with tempfile.TemporaryDirectory() as folder:
        store.write(compendium_of(generated(*setting.scale.streamed)), pathlib.Path(folder) / 'screen')
        compendium, reference = store.read(str(pathlib.Path(folder) / 'screen')), None
        for chunks in (1, 4):
            trainer = trainer_of(compendium, 'replogle', '1x1', chunks)
            run = epochs(trainer)
            first = timed(run)
            step = in_turn({'': run}, 1)[''] / sum(trainer.training.steps)
            reference = reference or step
            where = 'on the device' if chunks == 1 else f'in {chunks} parts'
            yield {'case': where, 'first_s': first, 'ms_per_step': 1000 * step, 'ratio': reference / step}


def trace(setting: Setting) -> Iterator[Row]:
    batch = setting.scale.batches[0]
    model, settings, _ = network(setting, 'replogle', 'float32', batch, 1)
    _, first, _, more = turns(setting, model, settings, batch)
    folder = pathlib.Path(_OUT.value) / 'trace'
    with jax.profiler.trace(str(folder)):
        seconds = timed(more)
    files = [path for path in folder.rglob('*') if path.is_file()]
    if not files:
        raise RuntimeError(f'the profiler wrote nothing into {folder}')
    yield {'case': str(folder), 'first_s': first, 'traced_s': seconds, 'files': len(files)}


# The seconds that each section may take.
_BUDGETS: dict[Callable[[Setting], Iterator[Row]], float] = {
    rates: 20,
    training: 200,
    recipe: 60,
    grid: 70,
    members: 60,
    streaming: 70,
    trace: 30,
}


def within(budget: float, rows: Iterator[Row], found: list[Row]) -> str:
    """Adds rows to those found until the budget is spent or one fails; then a sentence, else nothing."""
    began = time.perf_counter()
    try:
        for row in rows:
            found.append(row)
            print(told(row), flush=True)
            if time.perf_counter() - began > budget:
                return f'its budget of {budget:.0f} s was spent after {len(found)} cases; what was left is not run.'
    except Exception as error:  # what one section cannot do must not cost the others
        return f'ended by {type(error).__name__}: {str(error)[:300]}'
    return ''


def told(row: Row) -> str:
    values = {name: each for name, each in row.items() if name != 'case'}
    return f'  {row["case"]:58}' + ''.join(f'  {name} {each:,.4g}' for name, each in values.items())


def main(_: Sequence[str]) -> None:
    scale = _TINY if _SMALL.value else _WHOLE
    sections = {section.__name__: section for section in _BUDGETS}
    if strangers := set(_SECTIONS.value) - set(sections):
        raise app.UsageError(f'--sections: no such {", ".join(sorted(strangers))}; there are {", ".join(sections)}.')
    path = pathlib.Path(_OUT.value) / 'results.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    machine, began = about(), time.perf_counter()
    print(machine, flush=True)
    setting = Setting(scale, compendium_of(generated(*scale.sizes)), {})
    results: dict[str, Any] = {'about': machine, 'small': _SMALL.value, 'sections': {}}
    for name in _SECTIONS.value or sections:
        print(f'\n{name}', flush=True)
        found: list[Row] = []
        budget = np.inf if _FULL.value and name == 'recipe' else _BUDGET.value * _BUDGETS[sections[name]]
        sentence = within(budget, sections[name](setting), found)
        if sentence:
            print(f'  {sentence}', flush=True)
        results['sections'][name] = {'rows': found, 'cut': sentence}
        results['seconds'] = time.perf_counter() - began
        path.write_text(json.dumps(results, indent=1))
    print(f'{results["seconds"]:.0f} s; {path}')


if __name__ == '__main__':
    app.run(main)
