"""LPM's training of several seeds at once compared with one after the other, and on 1, 2, 4 and 8 devices.

    python benchmarks/scaling.py [--recipe=replogle] [--block=1x1] [--rounds=3] [--steps=10]

All variants run in turn in every round; the tables hold median observations per second. The first table is of
members that differ in their seed, on one device. It compares a run for each member with one run of all members,
and shows how many programs the first turn compiled and how much the final weights differ.

The second table is of numbers of devices. `curve apart` is the largest relative difference of a turn's training
error from that on one device. On accelerators the ratio is the speed-up. Without accelerators there are 8 CPU
devices that share the cores of this machine, and more of them should cost little and change nothing.
"""

from collections.abc import Sequence

import jax
import numpy as np
from absl import app, flags
from generated_screens import RECIPES, compendium_of, generated, model_of, settings_of
from measuring import Run, about, compilations, in_turn
from training_loops import trained

from perturbjax.models.model import Params
from perturbjax.screens.screen import Compendium
from perturbjax.training.train_state import Metrics

_RECIPE = flags.DEFINE_enum('recipe', 'replogle', RECIPES, 'whose widths, dropout and batch')
_BLOCK = flags.DEFINE_string('block', '1x1', 'profiles x readouts of a block')
_BATCH = flags.DEFINE_integer('batch', 0, "observations per step over all devices; the recipe's unless given")
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 500, 'perturbations, in 2 contexts')
_READOUTS = flags.DEFINE_integer('readouts', 978, 'readouts')
_DEVICES = flags.DEFINE_list('devices', ['1', '2', '4', '8'], 'numbers of devices, one first')
_SEEDS = flags.DEFINE_integer('seeds', 5, 'members')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'turns that each variant takes')
_STEPS = flags.DEFINE_integer('steps', 10, 'steps per turn')


def on_devices(compendium: Compendium) -> None:
    settings, model = _settings(), model_of(_RECIPE.value)
    counts = [number for number in map(int, _DEVICES.value) if number <= len(jax.devices())]
    curves: dict[str, list[float]] = {str(number): [] for number in counts}

    def run_on(number: int) -> Run:
        more = trained(model, compendium, settings, tuple(jax.devices()[:number]), _STEPS.value)
        return lambda: curves[str(number)].append(_rmse(more()[1]))

    runs = {str(number): run_on(number) for number in counts}
    for run in runs.values():
        run()
    medians = in_turn(runs, _ROUNDS.value)
    first = np.array(curves['1'])
    print(f'\n{"devices":>8}{"obs/s":>12}{"ratio":>8}{"curve apart":>14}{"last error":>12}')
    for name, seconds in medians.items():
        rate, curve = _STEPS.value * settings.batch_size / seconds, np.array(curves[name])
        apart = np.abs(curve / first - 1).max()
        print(f'{name:>8}{rate:12,.0f}{medians["1"] / seconds:8.2f}{apart:14.1e}{curve[-1]:12.6f}')


def _settings(**others):
    return settings_of(_RECIPE.value, _BLOCK.value, **({'batch_size': _BATCH.value} if _BATCH.value else {}), **others)


def _rmse(metrics: Metrics) -> float:
    return float(np.sqrt(metrics.loss / metrics.observations)[0])


def of_seeds(compendium: Compendium) -> None:
    model, device = model_of(_RECIPE.value), tuple(jax.devices()[:1])
    alone = [trained(model, compendium, _settings(), device, _STEPS.value, seed) for seed in range(_SEEDS.value)]
    together = trained(model, compendium, _settings(seeds=_SEEDS.value), device, _STEPS.value)
    weights: dict[str, Params] = {}

    def several() -> None:
        each = [more()[0].weights for more in alone]
        weights['several'] = jax.tree.map(lambda *members: np.concatenate(members), *each)

    def one() -> None:
        weights['one'] = jax.device_get(together()[0].weights)

    runs = {f'{_SEEDS.value} runs': several, 'one run': one}
    compiled = {name: compilations(run) for name, run in runs.items()}
    medians = in_turn(runs, _ROUNDS.value)
    first = next(iter(medians.values()))
    print(f'\n{f"{_SEEDS.value} seeds":16}{"obs/s":>12}{"ratio":>8}{"compiled":>10}')
    for name, seconds in medians.items():
        rate = _SEEDS.value * _STEPS.value * _settings().batch_size / seconds
        print(f'{name:16}{rate:12,.0f}{first / seconds:8.2f}{compiled[name]:10}')
    differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), weights['several'], weights['one'])
    steps = (1 + _ROUNDS.value) * _STEPS.value
    print(f'largest difference of a weight after {steps} steps: {max(jax.tree.leaves(differences)):.1e}')


def main(_: Sequence[str]) -> None:
    # This has no effect on accelerators.
    jax.config.update('jax_num_cpu_devices', max(map(int, _DEVICES.value)))
    print(about())
    print(f'{_RECIPE.value}, blocks of {_BLOCK.value}, batch {_settings().batch_size:,}, {_STEPS.value} steps a turn')
    compendium = compendium_of(generated(2, _PERTURBATIONS.value, _READOUTS.value))
    # The seeds come first, because they count compilations: nothing must be compiled before.
    of_seeds(compendium)
    on_devices(compendium)


if __name__ == '__main__':
    app.run(main)
