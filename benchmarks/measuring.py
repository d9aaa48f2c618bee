"""How the benchmarks measure time, compilation and memory, and what a machine can do at best.

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


def product(rows: int, width: int, times: int = 8) -> tuple[Run, float]:
    """A run of float32 products `[rows, width] x [width, width]`, and how many floating-point operations it makes."""
    multiply = jax.jit(lambda x, y: jnp.matmul(x, y, precision='float32'))
    x, y = jnp.ones((rows, width)), jnp.ones((width, width))
    return lambda: jax.block_until_ready([multiply(x, y) for _ in range(times)]), times * 2 * rows * width**2


def limit(matmul: str = 'float32', size: int = 0) -> tuple[Run, float]:
    """A run of one large product in that precision, and how many floating-point operations it makes."""
    size = size or (2048 if jax.default_backend() == 'cpu' else 16384)
    factor = jnp.ones((size, size), jnp.bfloat16 if matmul == 'bfloat16' else jnp.float32)
    precision = None if matmul == 'bfloat16' else matmul
    multiply = jax.jit(lambda x: jnp.matmul(x, x, precision=precision, preferred_element_type=jnp.float32))
    return lambda: jax.block_until_ready(multiply(factor)), 2 * size**3


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


def timed_apart(run: Run) -> tuple[Any, float, float]:
    """What the run returns, its seconds without compiling, and those in which JAX traced or compiled."""
    spans: list[tuple[float, float]] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.startswith('/jax/core/compile/'):
            now = time.perf_counter()
            spans.append((now - seconds, now))

    jax.monitoring.register_event_duration_secs_listener(listen)
    began = time.perf_counter()
    result = run()
    whole = time.perf_counter() - began
    jax.monitoring.clear_event_listeners()
    compiling, end = 0.0, -np.inf
    for first, last in sorted(spans):  # a program is traced while another one is
        compiling, end = compiling + max(0.0, last - max(first, end)), max(end, last)
    return result, whole - compiling, compiling


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
