"""Does choosing what to measure next need fewer measurements than chance? On finished screens, in hindsight.

    python benchmarks/next_measurements.py --screen=gdsc2 --data=../shared/data
    python benchmarks/next_measurements.py --screen=norman_fitness --data=../shared/data --judge=low_rank

A fifth of the pairs (a drug in a cell line, or two genes) is held out for good. Of the others a few are measured at the
start, drawn at random, and then batch after batch of what is left:

- `random`: any;
- `uncertain`: those that the ridge rule is least sure of, each by itself;
- `chosen`: as `--mode=next` does, by what they take off the summed variance of all pairs that are not measured.

After each batch the ridge rule is fitted anew, penalties and all, on what is measured so far. Printed: the mean L2 of
the held-out pairs, by that rule or by another that judges, with the 95% bootstrap interval over seeds; its ratio to
that of random choice, paired by seed; and how many measurements random choice needs for the error of the others after
a quarter and after half of the batches. GDSC2 is thinned to 60 drugs and 100 lines. docs/beyond.md has what was seen.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from etils import epath

from perturbjax.models import RULES, two_way
from perturbjax.models.held_out_like import all_profiles, by_screen, flat_values
from perturbjax.models.model import Params, Query, closed_form_of
from perturbjax.planning.candidates import measured
from perturbjax.planning.greedy import Rows, choose, quadratic
from perturbjax.planning.ridge_effects import ridge_effects
from perturbjax.readers.loading import load
from perturbjax.screens.screen import Compendium

sys.path.insert(0, str(epath.Path(__file__).parents[1]))
from experiments import benchmark_norman_fitness, drug_response

WAYS = ('random', 'uncertain', 'chosen')
_SCREEN = flags.DEFINE_enum('screen', 'gdsc2', ('gdsc2', 'norman_fitness'), 'which screen')
_DATA = flags.DEFINE_string('data', '../shared/data', 'the folder with the public screens')
_SEEDS = flags.DEFINE_integer('seeds', 10, 'how many times, each with other held-out pairs')
_START = flags.DEFINE_integer('start', 100, 'pairs that are measured at the start')
_BATCH = flags.DEFINE_integer('batch', 100, 'pairs of a batch')
_ROUNDS = flags.DEFINE_integer('rounds', 20, 'how many batches')
_JUDGE = flags.DEFINE_enum('judge', 'two_way', ('two_way', 'low_rank'), 'the rule whose error is printed')
_DRUGS, _LINES = 60, 100


def read() -> Compendium:
    """The screen, thinned where it is large."""
    folder = epath.Path(_DATA.value)
    if _SCREEN.value == 'norman_fitness':
        config = benchmark_norman_fitness.get_config()
        config.data.path = str(folder / 'norman_2019_fitness' / 'double_fitness.csv')
        config.data.singles = str(folder / 'norman_2019_fitness' / 'single_fitness.csv')
        return load(config.data)
    config = drug_response.get_config('gdsc2')
    config.data.path = str(folder / 'drug_response' / 'gdsc2_auc.h5ad')
    return thinned(load(config.data))


def thinned(compendium: Compendium) -> Compendium:
    """60 drugs and 100 lines, drawn once, of one screen; the vocabulary stays, in a shorter form."""
    (screen,), rng, names = compendium.screens, np.random.default_rng(0), compendium.vocabulary
    drugs = np.sort(rng.choice(np.arange(1, len(names.perturbations)), _DRUGS, replace=False))
    lines = np.sort(rng.choice(len(names.contexts), _LINES, replace=False))
    kept = np.isin(screen.context, lines) & (screen.is_control | np.isin(screen.perturbation[:, 0], drugs))
    drug_ids = np.concatenate([[0], drugs])
    shorter = dataclasses.replace(
        names,
        contexts=tuple(names.contexts[i] for i in lines),
        perturbations=tuple(names.perturbations[i] for i in drug_ids),
    )
    part = dataclasses.replace(
        screen,
        values=screen.values[kept],
        context=np.searchsorted(lines, screen.context[kept]).astype(np.int32),
        perturbation=np.searchsorted(drug_ids, screen.perturbation[kept]).astype(np.int32),
        present_contexts=tuple(range(_LINES)),
        **dict.fromkeys(('cells', 'standard_error', 'halves')),
    )
    return Compendium((part,), shorter)


class Bench(NamedTuple):
    """What all trials share: compiled fits, and which of the N profiles are pairs to choose or to hold out."""

    compendium: Compendium
    is_pair: np.ndarray
    ridge: Callable[..., Params]
    judge: Callable[..., np.ndarray]


def make_bench() -> Bench:
    compendium = read()
    order = np.concatenate([screen.order for screen in compendium.screens])
    profiles, rule = all_profiles(compendium), RULES[_JUDGE.value]()
    values = flat_values(compendium, profiles.readout)

    @jax.jit
    def errors(training):
        fitted = closed_form_of(rule)(compendium, training)
        left = values - rule.predict(fitted, profiles)
        return jnp.sqrt(jnp.nansum(left**2, axis=1))

    # The singles of a screen of combinations are measured before, as in the experiment.
    return Bench(compendium, measured(compendium) & (order == order.max()), jax.jit(two_way().fit), errors)


def trial(bench: Bench, way: str, seed: int) -> list[float]:
    """The mean L2 of the held-out pairs after the start and after every batch."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(np.flatnonzero(bench.is_pair))
    held_out, others = np.split(shuffled, [len(shuffled) // 5])
    is_known = ~bench.is_pair
    is_known[others[: _START.value]] = True
    found = [error_of(bench, is_known, held_out)]
    for _ in range(_ROUNDS.value):
        pool = others[~is_known[others]]
        is_known[pool[next_batch(bench, way, is_known, pool, rng)]] = True
        found.append(error_of(bench, is_known, held_out))
    return found


def error_of(bench: Bench, is_known: np.ndarray, held_out: np.ndarray) -> float:
    return float(np.asarray(bench.judge(by_screen(bench.compendium, jnp.asarray(is_known))))[held_out].mean())


def next_batch(
    bench: Bench, way: str, is_known: np.ndarray, pool: np.ndarray, rng: np.random.Generator
) -> Sequence[int]:
    """Which of the pool, as numbers in it."""
    if way == 'random':
        return rng.choice(len(pool), _BATCH.value, replace=False)
    params = bench.ridge(bench.compendium, by_screen(bench.compendium, jnp.asarray(is_known)))
    # All pairs are asked about, so that shapes stay; a row of zeros is none.
    pairs, profiles = np.flatnonzero(bench.is_pair), all_profiles(bench.compendium)
    asked = Query(profiles.context[pairs], profiles.perturbation[pairs], profiles.readout)
    effects, rows = ridge_effects(params, bench.compendium, is_known, asked)
    place = np.searchsorted(pairs, pool)
    if way == 'uncertain':
        return np.argsort(-np.asarray(quadratic(effects.covariance, rows))[0, place])[: _BATCH.value]
    candidates, targets = only(rows, place), only(rows, np.flatnonzero(~is_known[pairs]))
    chosen = np.asarray(choose(effects, candidates, targets, size=_BATCH.value).row)
    numbers = np.full(len(pairs), -1)
    numbers[place] = np.arange(len(pool))
    return numbers[chosen[chosen >= 0]]


def only(rows: Rows, kept: np.ndarray) -> Rows:
    """The rows with zeros in all others."""
    is_kept = jnp.zeros(len(rows.ids)).at[kept].set(1)
    return rows._replace(value=rows.value * is_kept[None, :, None])


def needed(numbers: np.ndarray, of_random: np.ndarray, error: float) -> float:
    """How many measurements bring random choice to an error, along the line between batches; infinite: more than all.

    `of_random` may go up and down; what counts is the first time it is reached.
    """
    below = np.flatnonzero(of_random <= error)
    if not len(below):
        return np.inf
    i = below[0]
    if i == 0:
        return numbers[0]
    return np.interp(error, [of_random[i], of_random[i - 1]], [numbers[i], numbers[i - 1]])


def interval(values: np.ndarray, statistic: Callable = np.mean) -> str:
    """The statistic over seeds `[S]`, with its 95% bootstrap interval."""
    draws = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.quantile([statistic(values[draw]) for draw in draws], [0.025, 0.975])
    return f'{statistic(values):.4g} [{low:.4g}, {high:.4g}]'


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    bench, seeds = make_bench(), range(_SEEDS.value)
    numbers = _START.value + _BATCH.value * np.arange(_ROUNDS.value + 1)
    found = {way: np.array([trial(bench, way, seed) for seed in seeds]) for way in WAYS}
    print(f'{_SCREEN.value}: {bench.is_pair.sum()} pairs, {_SEEDS.value} seeds; L2 of {_JUDGE.value}\n')
    print(f'| measured | {" | ".join(WAYS)} | uncertain / random | chosen / random |')
    print('|' + '---|' * (len(WAYS) + 3))
    for i, number in enumerate(numbers):
        ratios = [interval(found[way][:, i] / found['random'][:, i]) for way in WAYS[1:]]
        print(f'| {number} | ' + ' | '.join([*(interval(found[way][:, i]) for way in WAYS), *ratios]) + ' |')
    print()
    for i in (len(numbers) // 4, len(numbers) // 2):
        for way in WAYS[1:]:
            # By the random curve's mean over seeds; one of 10 or 20 single curves may never reach the error.
            curve = found['random'].mean(axis=0)
            print(
                f'{way}: random needs {needed(numbers, curve, found[way][:, i].mean()):.0f} measurements for the error '
                f'after {numbers[i]}'
            )


if __name__ == '__main__':
    app.run(main)
