"""LPM's training speed: blocks and single observations, beside a plain PyTorch loop, in one process.

    python benchmarks/lpm_training.py --recipe=replogle [--rounds=5] [--steps=20] [--torch=false]

Needs `pip install torch==2.13.0` unless `--torch=false`. Trains on a generated screen of which LPM
can learn something, with the released recipe, dropout included; each variant takes its turn in every
round, and the table holds medians of observations per second. The share is that of the time its
matrix products would take at the rate of one large float32 product, measured in the same rounds.
On a GPU, `--batches=5000,50000,500000 --matmuls=float32,tensorfloat32,bfloat16 --torch=false`.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from perturbjax.models.lpm import LPM
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training.feed import Feed
from perturbjax.training.parallel import pmap_steps
from perturbjax.training.placement import numbers, replicate
from perturbjax.training.planning import make_plan
from perturbjax.training.settings import Settings, members
from perturbjax.training.step import Place, initialise

# Embedding, hidden, dropout, batch, learning rate: the released ones.
RECIPES = {
    'replogle': (32, (512, 512), 0.0, 5000, 0.002),
    'lincs': (128, (256, 256), 0.1, 1000, 0.002),
}

_RECIPE = flags.DEFINE_enum('recipe', 'replogle', RECIPES, 'whose widths, dropout and batch')
_BATCHES = flags.DEFINE_list('batches', [], "observations per step; the recipe's unless given")
_BLOCKS = flags.DEFINE_list('blocks', ['1x1', '10x10'], 'profiles x readouts of a block')
_MATMULS = flags.DEFINE_list('matmuls', ['float32'], 'precisions')
_CONTEXTS = flags.DEFINE_integer('contexts', 2, 'contexts')
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 1000, 'perturbations')
_READOUTS = flags.DEFINE_integer('readouts', 978, 'readouts')
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'turns that each variant takes')
_STEPS = flags.DEFINE_integer('steps', 20, 'steps per turn')
_WHOLE = flags.DEFINE_bool('whole_tables', False, 'also a variant in which no table is updated row by row')
_TORCH = flags.DEFINE_bool('torch', True, 'run the PyTorch loop too')

Run = Callable[[], object]


def generated(contexts: int, perturbations: int, readouts: int, rank: int = 8, seed: int = 0) -> np.ndarray:
    """Values `[C, P, M]` of unit variance: a product of low rank, which contexts weigh differently, and noise."""
    rng = np.random.default_rng(seed)
    left, right = (rng.normal(size=(size, rank)).astype(np.float32) for size in (perturbations, readouts))
    gain = 1 + 0.5 * rng.normal(size=(contexts, 1, rank)).astype(np.float32)
    values = np.matmul(left * gain, right.T) / np.float32(rank**0.5)
    values += 0.5 * rng.standard_normal(values.shape, np.float32)
    return values / values.std()


def compendium_of(values: np.ndarray) -> Compendium:
    """The values `[C, P, M]` as one screen."""
    contexts, perturbations, readouts = values.shape
    rows = Measurements(
        name='generated',
        values=values.reshape(-1, readouts),
        context=np.repeat([f'c{i}' for i in range(contexts)], perturbations).astype(object),
        perturbation=np.tile([f'p{i}' for i in range(perturbations)], contexts).astype(object),
        readout=np.array([f'r{i}' for i in range(readouts)], object),
    )
    return assemble([rows], ['z-score'])


def module_of(compendium: Compendium, matmul: str) -> LPM:
    embedding, hidden, dropout, _, _ = RECIPES[_RECIPE.value]
    sizes = (len(getattr(compendium.vocabulary, axis)) for axis in ('contexts', 'perturbations', 'readouts'))
    return LPM(*sizes, (embedding,) * 3, hidden, dropout, 'mean', matmul)


def ours(compendium: Compendium, settings: Settings, matmul: str, whole: bool = False) -> Run:
    """Runs that many more steps of our own at every call."""
    devices, chosen = tuple(jax.devices()), tuple(np.ones(len(each.values), bool) for each in compendium.screens)
    module = module_of(compendium, matmul)
    plan = make_plan(module, compendium, chosen, settings, len(devices))
    plan = plan._replace(lazy=()) if whole else plan
    feed = Feed(compendium, chosen, 1, plan, devices)
    (part,) = feed.epoch(0)
    every = members(settings, 0, module.dropout)
    state = replicate(initialise(plan, 1, every.seed), devices)
    run, fixed, number = pmap_steps(plan, devices), replicate((every, np.ones(1, bool)), devices), numbers(devices)
    step = 0

    def more() -> object:
        nonlocal state, step
        epoch, within = divmod(step, part.steps)
        within = min(within, part.steps - _STEPS.value)
        place = Place(np.int32(epoch), np.int32(step), np.int32(within))
        state, tally = run(state, part.data, *fixed, place, number, np.int32(_STEPS.value))
        step += _STEPS.value
        return jax.device_get(tally)

    return more


def theirs(values: np.ndarray, settings: Settings) -> Run:
    import torch
    import torch_lpm

    embedding, hidden, dropout, _, _ = RECIPES[_RECIPE.value]
    model = torch_lpm.LPM(values.shape, embedding, hidden, dropout)
    trainer = torch_lpm.Trainer(
        torch.from_numpy(values), model, settings.batch, settings.learning_rate, settings.weight_decay
    )
    return lambda: trainer.steps(_STEPS.value)


def limit() -> tuple[Run, float]:
    """One large product, and its floating-point operations."""
    size = 2048 if jax.default_backend() == 'cpu' else 16384
    x = jnp.ones((size, size))
    product = jax.jit(lambda x: jnp.matmul(x, x, precision='float32'))
    return lambda: jax.block_until_ready(product(x)), 2 * size**3


def operations(block: tuple[int, int]) -> float:
    """Of the matrix products for one observation in training: forward, and twice that backward."""
    embedding, hidden, _, _, _ = RECIPES[_RECIPE.value]
    p, r = block
    # The first layer is per profile (context and perturbation) and per readout.
    first = embedding * hidden[0] * (2 / r + 1 / p)
    rest = sum(a * b for a, b in zip(hidden, (*hidden[1:], 1), strict=True))
    return 3 * 2 * (first + rest)


def timed(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main(_: Sequence[str]) -> None:
    values = generated(_CONTEXTS.value, _PERTURBATIONS.value, _READOUTS.value)
    compendium = compendium_of(values)
    *_, batch, rate = RECIPES[_RECIPE.value]
    product, product_operations = limit()
    for size in map(int, _BATCHES.value or [batch]):
        runs: dict[str, Run] = {}
        each: dict[str, float] = {}
        settings = Settings(learning_rate=rate, batch=size)
        if _TORCH.value:
            runs['PyTorch'], each['PyTorch'] = theirs(values, settings), operations((1, 1))
        for matmul in _MATMULS.value:
            for name in _BLOCKS.value:
                block = tuple(map(int, name.split('x')))
                label = f'{name}, {matmul}'
                runs[label] = ours(compendium, settings._replace(block=block), matmul)
                each[label] = operations(block)
                if _WHOLE.value:
                    runs[f'{label}, whole'] = ours(compendium, settings._replace(block=block), matmul, whole=True)
                    each[f'{label}, whole'] = operations(block)
        seconds: dict[str, list[float]] = {name: [] for name in [*runs, 'product']}
        for run in [*runs.values(), product]:
            run()
        for _ in range(_ROUNDS.value):
            for name, run in [*runs.items(), ('product', product)]:
                seconds[name].append(timed(run))
        show(size, {name: statistics.median(times) for name, times in seconds.items()}, each, product_operations)


def show(batch: int, medians: dict[str, float], each: dict[str, float], product_operations: float) -> None:
    peak = product_operations / medians.pop('product')
    print(f'{_RECIPE.value}, batch {batch:,}, {jax.devices()[0].device_kind}; one product: {peak / 1e9:,.0f} GFLOP/s')
    print(f'{"":24}{"obs/s":>14}{"ratio":>8}{"share of limit":>16}')
    first = next(iter(medians.values()))
    for name, seconds in medians.items():
        rate = _STEPS.value * batch / seconds
        print(f'{name:24}{rate:14,.0f}{first / seconds:8.2f}{rate * each[name] / peak:16.0%}')


if __name__ == '__main__':
    app.run(main)
