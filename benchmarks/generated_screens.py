"""What the benchmarks of LPM share: generated screens, the released recipes, turns in one process, memory of another.

Of a process's memory what counts is anonymous: what it allocates, and not the files that it maps. It
is read from Linux's /proc.
"""

import ctypes
import importlib.metadata
import multiprocessing
import os
import pathlib
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.models import Model, lpm
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training.input_pipeline import InputPipeline, device_indices, replicate
from perturbjax.training.settings import TrainingSettings, members
from perturbjax.training.train_state import Metrics, TrainState
from perturbjax.training.train_step import StepIndex, init_states, make_step_config, pmap_train_steps

# Embedding, hidden layers, dropout, batch size, learning rate: the released recipes, and a quick one for what does
# not depend on the widths.
RECIPES = {
    'replogle': (32, (512, 512), 0.0, 5000, 0.002),
    'lincs': (128, (256, 256), 0.1, 1000, 0.002),
    'narrow': (8, (16,), 0.0, 5000, 0.002),
}
# Between two looks at a process's memory, in seconds.
_LOOK = 0.002

Run = Callable[[], Any]


def about(*packages: str) -> str:
    """The devices and the versions that the figures are of, and how busy the machine was before."""
    device, cores = jax.devices()[0], len(os.sched_getaffinity(0))
    kind = platform.machine() if device.platform == 'cpu' else device.device_kind
    versions = ', '.join(f'{name} {importlib.metadata.version(name)}' for name in ('jax', 'numpy', *packages))
    devices = f'{len(jax.devices())} x {device.platform} ({kind})'
    python = f'Python {platform.python_version()}'
    return f'{devices}, {cores} CPU cores with a load of {os.getloadavg()[0]:.1f}, {python}, {versions}'


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


def model_of(recipe: str, matmul: str = 'float32') -> Model:
    embedding_dim, hidden_dims, dropout, _, _ = RECIPES[recipe]
    return lpm(embedding_dim, hidden_dims, dropout, matmul_precision=matmul)


def settings_of(recipe: str, block: str = '1x1', **others: Any) -> TrainingSettings:
    """The recipe's settings of training; the block as `10x10`."""
    *_, batch_size, rate = RECIPES[recipe]
    own = {'learning_rate': rate, 'batch_size': batch_size, 'block': tuple(map(int, block.split('x')))}
    return TrainingSettings(**own | others)


def trained(
    model: Model,
    compendium: Compendium,
    settings: TrainingSettings,
    devices: tuple[jax.Device, ...],
    steps: int,
    seed: int = 0,
) -> Callable[[], tuple[TrainState, Metrics]]:
    """Trains on all profiles; every call makes so many more steps and returns the state after them and the metrics."""
    chosen = tuple(np.ones(len(each.values), bool) for each in compendium.screens)
    learner, every = model.learner, members(settings, seed, model.learner.dropout)
    has_dropout = bool(every.dropout.max() > 0)
    config = make_step_config(learner, compendium, chosen, settings, len(devices), has_dropout)
    (chunk,) = InputPipeline(compendium, chosen, 1, config, devices).epoch(0)
    constants = learner.prepare(compendium, chosen)
    state = replicate(init_states(learner, config.row_tables, constants, every.seed), devices)
    fixed = replicate((constants, every, np.ones(len(every.seed), bool)), devices)
    run, device_index, step = pmap_train_steps(config, devices), device_indices(devices), 0

    def more() -> tuple[TrainState, Metrics]:
        nonlocal state, step
        epoch, within = divmod(step, chunk.steps)
        index = StepIndex(np.int32(epoch), np.int32(step), np.int32(min(within, chunk.steps - steps)))
        state, metrics = run(state, chunk.data, *fixed, index, device_index, np.int32(steps))
        step += steps
        return state, jax.device_get(metrics)

    return more


def product(rows: int, width: int, times: int = 8) -> tuple[Run, float]:
    """Float32 products `[rows, width] x [width, width]`, one after the other, and their floating-point operations."""
    multiply = jax.jit(lambda x, y: jnp.matmul(x, y, precision='float32'))
    x, y = jnp.ones((rows, width)), jnp.ones((width, width))
    return lambda: jax.block_until_ready([multiply(x, y) for _ in range(times)]), times * 2 * rows * width**2


def timed(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_turn(runs: Mapping[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each run; all take their turn in every round, and none is compiled in it."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    return {name: statistics.median(times) for name, times in seconds.items()}


def compilations(run: Run) -> int:
    """How many programs were compiled in a run."""
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: compiled.append(event) if event.endswith('backend_compile_duration') else None
    )
    run()
    jax.monitoring.clear_event_listeners()
    return len(compiled)


def watched(function: Callable[..., Any], *arguments: Any) -> tuple[Any, dict[str, int]]:
    """Runs the function in a process of its own; what it returns, and the most anonymous bytes of each phase.

    The function's first argument is to be called with the name of each phase as that begins. Looked
    at from outside, so that no lock in the process hides a peak.
    """
    context = multiprocessing.get_context('spawn')
    here, there = context.Pipe()
    process = context.Process(target=_run_watched, args=(there, function, arguments))
    process.start()
    there.close()
    most: dict[str, int] = {}
    phase, result = 'start', None
    try:
        while True:
            if here.poll(_LOOK):
                phase, result = here.recv()
            most[phase] = max(most.get(phase, 0), _anonymous(process.pid))
    except EOFError:
        process.join()
    if process.exitcode:
        raise RuntimeError(f'{function.__name__} ended with exit code {process.exitcode} in the phase {phase}.')
    return result, most


def _run_watched(pipe: Any, function: Callable[..., Any], arguments: tuple) -> None:
    # Beside a process that may hold most of an accelerator's memory.
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'

    def begin(phase: str) -> None:
        # What earlier phases have freed is not this one's.
        ctypes.CDLL(None).malloc_trim(0)
        pipe.send((phase, None))

    pipe.send(('done', function(begin, *arguments)))


def _anonymous(process: int | None) -> int:
    """Bytes; 0 of a process that has ended."""
    found = re.search(r'RssAnon:\s+(\d+) kB', pathlib.Path(f'/proc/{process}/status').read_text())
    return 1024 * int(found[1]) if found else 0


def accelerator_peak() -> int | None:
    """The most bytes that arrays had on the first device; None on a CPU, whose arrays are the process's own."""
    return (jax.devices()[0].memory_stats() or {}).get('peak_bytes_in_use')
