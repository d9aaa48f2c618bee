"""What the LPM benchmarks share: generated screens, the released recipes, and how time and memory are measured.

Memory is measured in a separate process. It is that process's anonymous memory: what it allocates itself,
without the files that it maps. It is read from Linux's /proc.
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

from perturbjax.models import Model, lpm_released
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training.input_pipeline import InputPipeline, device_indices, replicate
from perturbjax.training.settings import TrainingSettings, members
from perturbjax.training.train_state import Metrics, TrainState
from perturbjax.training.train_step import StepIndex, init_states, make_step_config, pmap_train_steps

# Embedding, hidden layers, dropout, batch size and learning rate of the released recipes, and of a small one for
# measurements that do not depend on the widths.
RECIPES = {
    'replogle': (32, (512, 512), 0.0, 5000, 0.002),
    'lincs': (128, (256, 256), 0.1, 1000, 0.002),
    'narrow': (8, (16,), 0.0, 5000, 0.002),
}
# Seconds between two readings of a process's memory.
_LOOK = 0.002

Run = Callable[[], Any]


def about(*packages: str) -> str:
    """One line with the devices, the package versions and the load of the machine."""
    device, cores = jax.devices()[0], len(os.sched_getaffinity(0))
    kind = platform.machine() if device.platform == 'cpu' else device.device_kind
    versions = ', '.join(f'{name} {importlib.metadata.version(name)}' for name in ('jax', 'numpy', *packages))
    devices = f'{len(jax.devices())} x {device.platform} ({kind})'
    python = f'Python {platform.python_version()}'
    return f'{devices}, {cores} CPU cores with a load of {os.getloadavg()[0]:.1f}, {python}, {versions}'


def generated(contexts: int, perturbations: int, readouts: int, rank: int = 8, seed: int = 0) -> np.ndarray:
    """Values `[C, P, M]` of unit variance: a low-rank product, weighted differently in each context, plus noise."""
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
    return lpm_released(embedding_dim, hidden_dims, dropout, matmul_precision=matmul)


def settings_of(recipe: str, block: str = '1x1', **others: Any) -> TrainingSettings:
    """The recipe's training settings. The block is given as text, such as `10x10`; `others` override the recipe."""
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
    """A function that trains on all profiles: each call makes `steps` more steps and returns the state and metrics."""
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
    """A run of float32 products `[rows, width] x [width, width]`, and how many floating-point operations it makes."""
    multiply = jax.jit(lambda x, y: jnp.matmul(x, y, precision='float32'))
    x, y = jnp.ones((rows, width)), jnp.ones((width, width))
    return lambda: jax.block_until_ready([multiply(x, y) for _ in range(times)]), times * 2 * rows * width**2


def timed(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_turn(runs: Mapping[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each run. Every round calls all runs once; they must have been compiled before."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    return {name: statistics.median(times) for name, times in seconds.items()}


def compilations(run: Run) -> int:
    """The number of programs that JAX compiles during the run."""
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: compiled.append(event) if event.endswith('backend_compile_duration') else None
    )
    run()
    jax.monitoring.clear_event_listeners()
    return len(compiled)


def watched(function: Callable[..., Any], *arguments: Any) -> tuple[Any, dict[str, int]]:
    """Runs the function in a separate process and watches its memory.

    Memory is read from outside the process, so that no lock inside it hides a peak.

    Args:
      function: gets as its first argument a function `begin`, and calls `begin(name)` when a phase begins.
      arguments: the other arguments of the function.

    Returns:
      What the function returns, and the most anonymous bytes of each phase.

    Raises:
      RuntimeError: the process failed.
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
    # The parent process may hold most of an accelerator's memory.
    os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] = 'false'

    def begin(phase: str) -> None:
        # Returns what earlier phases freed, so that it does not count in this one.
        ctypes.CDLL(None).malloc_trim(0)
        pipe.send((phase, None))

    pipe.send(('done', function(begin, *arguments)))


def _anonymous(process: int | None) -> int:
    """The anonymous memory of a process in bytes; 0 if it has ended."""
    found = re.search(r'RssAnon:\s+(\d+) kB', pathlib.Path(f'/proc/{process}/status').read_text())
    return 1024 * int(found[1]) if found else 0


def accelerator_peak() -> int | None:
    """The peak bytes of arrays on the first device; None on a CPU, where arrays are in the process's memory."""
    return (jax.devices()[0].memory_stats() or {}).get('peak_bytes_in_use')
