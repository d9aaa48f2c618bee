"""How soon the error that the published recipe ends with is reached: PyTorch, `lpm_released`, `lpm`, a rule.

    python benchmarks/time_to_error.py [--out=build/time_to_error]
    python benchmarks/time_to_error.py --screens= --config=drug_response:gdsc2 \
        --config.data.path=../shared/data/drug_response/gdsc2_auc.h5ad

Needs `pip install torch==2.13.0` unless `--torch=false`; then the target is the error that `lpm_released` ends with.
The variants, all on the same training observations and judged on the same held-out ones:

- `PyTorch`: the published network and recipe as a plain loop (`torch_lpm.py`), data in memory;
- `lpm_released`: the same recipe in perturbjax, for LINCS in blocks of 10 x 10 as its experiment has it;
- `lpm`: the default with its own recipe: folds, mixture and all;
- `lpm, one network`: its bilinear network on residuals of `context_mean`, once, without folds and mixture;
- `low_rank`: the strongest rule, in closed form.

They take turns of an epoch in one process, each as often as keeps all equally far, so a busy machine is busy for all.
A clock runs for each while it trains; for `lpm` it also has what ends training there (amplitude, mixture). Predicting
the held-out profiles is off the clock. Time in which JAX traces or compiles is told apart; nothing is kept from
earlier launches.

The generated screens have the shape of the released ones and are smaller by a stated factor (`--factor` for more
perturbations): `replogle` is 2 contexts x perturbations x genes; `lincs` has 16 contexts, and 40% of its pairs were
not measured. 15% of the perturbations are held out in one context. `generated_screens.gated` says what their truth
is: contexts answer by thresholds of their own, so no rule of sums or factors has all of it. `--truth=product` takes
`generated` instead, a sum of 8 products of a perturbation, a context and a readout: from three contexts on that is
what `low_rank` fits, which is then right by construction. Of the gated truth the noise that no prediction can avoid
is printed too. On real screens rules may simply be better: the table says so.
"""

import functools
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from generated_screens import RECIPES, compendium_of, gated, generated, model_of, settings_of
from measuring import about, timed_apart
from ml_collections import config_flags
from training_loops import fitted_by_epoch

from perturbjax.config import parse
from perturbjax.experiment_files import experiment_path
from perturbjax.models import Query, low_rank, lpm
from perturbjax.models.model import Fitted, Model, closed_form_of
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium
from perturbjax.screens.splits import TEST, TRAIN, Split, make_split
from perturbjax.training.settings import TrainingSettings, training_settings

_SCREENS = flags.DEFINE_list('screens', ['replogle', 'lincs'], 'generated screens; none if empty')
_FACTOR = flags.DEFINE_float('factor', 1.0, 'how many times more perturbations the generated screens have')
_EPOCHS = flags.DEFINE_integer('epochs', 50, 'epochs of the published recipe')
_TRUTH = flags.DEFINE_enum('truth', 'gated', ['gated', 'product'], 'what the generated screens are made of')
_TORCH = flags.DEFINE_bool('torch', True, 'run the PyTorch loop too')
_CONFIG = config_flags.DEFINE_config_file('config', None, 'an experiment file with one screen', lock_config=False)
_OUT = flags.DEFINE_string('out', 'build/time_to_error', 'the folder for the curves, as JSON')

# Answers for the held-out profiles; ends training there and gives such a function.
Answer = Callable[[], np.ndarray]
Finish = Callable[[], Answer]


class Task(NamedTuple):
    """A screen, what is held out of it, and how the published recipe is trained on it.

    Attributes:
      about: what the screen is, in a line.
      recipe, block: of the published LPM.
      floor: the RMSE of the truth itself against the held-out values; None where it is not known.
    """

    about: str
    compendium: Compendium
    split: Split
    recipe: str
    block: str
    floor: float | None

    @property
    def tested(self) -> np.ndarray:
        return self.split.mask(TEST)[0]

    @property
    def query(self) -> Query:
        screen, tested = self.compendium.screens[0], self.tested
        return Query(screen.context[tested], screen.perturbation[tested], screen.readout)

    @property
    def truth(self) -> np.ndarray:
        return np.asarray(self.compendium.screens[0].values)[self.tested]


class Variant(NamedTuple):
    """How a model is trained: `turns` at most, each of which gives a function that ends training there."""

    turns: int
    training: Iterator[Finish]


class Point(NamedTuple):
    """Where a variant is after a turn: what it took so far, with ending there, and how well it predicts."""

    epoch: int
    seconds: float
    compiling: float
    rmse: float


# Contexts, perturbations, readouts; the share of pairs that was not measured; and what the recipe was released for.
_SHAPES = {
    'replogle': ((2, 150, 400), 0.0, '2 x 2,200 x 8,563'),
    'lincs': ((16, 100, 100), 0.4, '102 contexts x thousands of perturbations x 978'),
}


def generated_task(name: str) -> Task:
    sizes, missing, released = _SHAPES[name]
    sizes = (sizes[0], round(sizes[1] * _FACTOR.value), sizes[2])
    if _TRUTH.value == 'gated':
        values, truth = gated(*sizes)
    else:
        values, truth = generated(*sizes), None
    rng = np.random.default_rng(1)
    lost = rng.random(sizes[:2]) < missing
    lost[:2] = False  # so that every perturbation is known, and enough of them are held out in the first context
    values[lost] = np.nan
    compendium = compendium_of(values)
    split = make_split(compendium, 'unseen_in_context', 13, context='c0', validation=0.0)
    floor = None
    if truth is not None:
        clean = compendium_of(np.where(lost[..., None], np.nan, truth))
        left = values_of(clean) - values_of(compendium)
        floor = _rmse(left[split.mask(TEST)[0]])
    about = f'{name}-like, truth {_TRUTH.value}, {" x ".join(map(str, sizes))} for the released {released}'
    return Task(about, compendium, split, name, '10x10' if name == 'lincs' else '1x1', floor)


def config_task(config: Any) -> Task:
    """The screen of an experiment file, with its first split; trained by the recipe of Replogle."""
    parsed = parse(config)
    compendium = load(parsed.data)
    settings = dict(parsed.split)
    split = make_split(compendium, settings.pop('name'), parsed.split_seeds[0], **settings)
    if len(compendium.screens) > 1 or compendium.screens[0].perturbation.shape[1] > 1:
        raise app.UsageError('--config: the plain PyTorch loop knows one screen of single perturbations.')
    name = compendium.screens[0].name
    return Task(f'{name}, the recipe of Replogle', compendium, split, 'replogle', '1x1', None)


def values_of(compendium: Compendium) -> np.ndarray:
    return np.asarray(compendium.screens[0].values)


def _rmse(errors: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(np.square(errors, dtype=float))))


def variants(task: Task) -> dict[str, Variant]:
    released = settings_of(task.recipe, task.block, epochs=_EPOCHS.value)
    one = lpm(folds=0, shrink=False, early_stop=False, mix=())
    runs = {'PyTorch': Variant(_EPOCHS.value, plain_torch(task))} if _TORCH.value else {}
    return runs | {
        'lpm_released': learned(model_of(task.recipe), task, released),
        'lpm': learned(lpm(), task, training_settings(lpm().learner.recipe)),
        'lpm, one network': learned(one, task, training_settings(one.learner.recipe, {'seeds': 1})),
        'low_rank': Variant(1, closed_form(low_rank(), task)),
    }


def learned(model: Model, task: Task, settings: TrainingSettings) -> Variant:
    answer = answers(model, task)

    def training() -> Iterator[Finish]:
        for finished in fitted_by_epoch(model, task.compendium, task.split, settings):
            yield functools.partial(_finish, finished, answer)

    return Variant(settings.epochs, training())


def _finish(finished: Callable[[], Fitted], answer: Callable[[Fitted], Answer]) -> Answer:
    return answer(finished())


def closed_form(model: Model, task: Task) -> Iterator[Finish]:
    fit = jax.jit(closed_form_of(model))
    params = jax.block_until_ready(fit(task.compendium, task.split.mask(TRAIN)))
    yield lambda: answers(model, task)(params)


def answers(model: Model, task: Task) -> Callable[[Any], Answer]:
    predict = jax.jit(model.predict)
    return lambda params: lambda: np.asarray(predict(params, task.query))


def plain_torch(task: Task) -> Iterator[Finish]:
    import torch
    import torch_lpm

    (screen,), (training,) = task.compendium.screens, task.split.mask(TRAIN)
    names = task.compendium.vocabulary
    sizes = len(names.contexts), len(names.perturbations), len(screen.readout)
    profile = np.ravel_multi_index((screen.context, screen.perturbation[:, 0]), sizes[:2])
    values = np.full((sizes[0] * sizes[1], sizes[2]), np.nan, np.float32)
    values[profile] = screen.values
    place = profile[:, None] * sizes[2] + np.arange(sizes[2])
    measured = training[:, None] & ~np.isnan(screen.values)
    recipe = RECIPES[task.recipe]
    torch.manual_seed(0)
    model = torch_lpm.LPM(sizes, recipe.embedding_dim, recipe.hidden_dims, recipe.dropout)
    trainer = torch_lpm.Trainer(
        torch.from_numpy(values.reshape(sizes)),
        model,
        recipe.batch_size,
        recipe.learning_rate,
        TrainingSettings().weight_decay,
        recipe.lr_decay,
        torch.from_numpy(place[measured]),
    )
    asked = torch.from_numpy(place[task.tested].ravel())

    def answer() -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            parts = [model(*torch.unravel_index(some, sizes)) for some in asked.split(recipe.batch_size)]
        model.train()
        return torch.cat(parts).numpy().reshape(-1, sizes[2])

    for _ in range(_EPOCHS.value):
        trainer.epoch()
        yield lambda: answer


def race(task: Task) -> dict[str, list[Point]]:
    """Trains all variants in turns, the one that is least far first; the curve of each."""
    running, truth = variants(task), task.truth
    curves: dict[str, list[Point]] = {name: [] for name in running}
    spent = {name: np.zeros(2) for name in running}
    while running:
        name = min(running, key=lambda each: len(curves[each]) / running[each].turns)
        finish, *took = timed_apart(functools.partial(next, running[name].training, None))
        spent[name] += took
        if finish is None:
            del running[name]
            continue
        answer, seconds, compiling = timed_apart(finish)
        spent[name][1] += compiling
        predicted = answer()
        if np.isnan(predicted).any():
            raise ValueError(f'{name}: it has no answer for {np.isnan(predicted).sum()} of the held-out values.')
        whole = spent[name] + (seconds, 0)
        curves[name].append(Point(len(curves[name]) + 1, *whole.tolist(), _rmse(predicted - truth)))
    return curves


def reached(curve: Sequence[Point], target: float) -> Point | None:
    return next((point for point in curve if point.rmse <= target), None)


def tell(curves: Mapping[str, list[Point]], first: str) -> dict[str, Any]:
    """Prints when each variant reached the error that the first one ends with, and the lowest it ever had."""
    targets = {'end': curves[first][-1].rmse, 'lowest': min(point.rmse for point in curves[first])}
    print(f'{"":18}{"RMSE at end":>12}{"lowest":>8}', end='')
    print(''.join(f'{f"to {first} {name} (RMSE {rmse:.4f})":>44}' for name, rmse in targets.items()))
    for name, curve in curves.items():
        line = f'{name:18}{curve[-1].rmse:12.4f}{min(point.rmse for point in curve):8.4f}'
        for target in targets.values():
            line += f'{_reached(curve, curves[first], target):>44}'
        print(line)
    return targets


def _reached(curve: Sequence[Point], reference: Sequence[Point], target: float) -> str:
    """Seconds, those of compiling besides, and how many times as fast, without and with compiling."""
    own, other = reached(curve, target), reached(reference, target)
    if own is None or other is None:
        return 'never'
    alone = other.seconds / own.seconds
    together = (other.seconds + other.compiling) / (own.seconds + own.compiling)
    return f'{own.seconds:.1f} s + {own.compiling:.1f} s: x {alone:.1f} ({together:.1f})'


def tell_curves(curves: Mapping[str, list[Point]]) -> None:
    """Prints the held-out RMSE that each variant had after some seconds, without compiling."""
    most = max(curve[-1].seconds for curve in curves.values())
    times = [each for each in (0.3, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if each < 2 * most]
    print('held-out RMSE by seconds of training')
    print(' ' * 18 + ''.join(f'{each:>8g}' for each in times))
    for name, curve in curves.items():
        last = [[point.rmse for point in curve if point.seconds <= each][-1:] for each in times]
        print(f'{name:18}' + ''.join(f'{each[0]:8.4f}' if each else f'{"-":>8}' for each in last))


def main(_: Sequence[str]) -> None:
    print(about(*['torch'] * _TORCH.value))
    folder = pathlib.Path(_OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [functools.partial(generated_task, name) for name in _SCREENS.value]
    if _CONFIG.value is not None:
        tasks.append(functools.partial(config_task, _CONFIG.value))
    for make in tasks:
        task = make()
        size = int((task.split.mask(TRAIN)[0][:, None] & ~np.isnan(values_of(task.compendium))).sum())
        print(f'\n{task.about}: {size:,} training observations, {np.isfinite(task.truth).sum():,} held out', end='')
        print('' if task.floor is None else f', noise {task.floor:.4f}', flush=True)
        curves = race(task)
        targets = tell(curves, next(iter(curves)))
        tell_curves(curves)
        found = {'about': about(), 'screen': task.about, 'observations': size, 'noise': task.floor, 'targets': targets}
        found |= {'curves': {name: [point._asdict() for point in curve] for name, curve in curves.items()}}
        path = folder / f'{task.compendium.screens[0].name}_{task.recipe}_{_TRUTH.value}.json'
        path.write_text(json.dumps(found, indent=1))
        print(f'curves: {path}', flush=True)


if __name__ == '__main__':
    # The name of an experiment that comes with perturbjax is enough.
    app.run(main, [re.sub('(?<=^--config=).+', lambda found: experiment_path(found[0]), each) for each in sys.argv])
