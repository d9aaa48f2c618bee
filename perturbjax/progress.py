"""The progress bar for reading and training; it is shown by process 0 only."""

import functools
import sys
import time

import jax
import tqdm

# Set by main. In a notebook the time since the launch says nothing.
is_launched = False

_LAUNCH = time.perf_counter()  # nearly, because this is among the first modules to be imported


@functools.cache
def tell_first_step() -> None:
    """Prints, once and on the first host, how long after the launch the first training step was done."""
    if is_launched and jax.process_index() == 0:
        tqdm.tqdm.write(f'first step {time.perf_counter() - _LAUNCH:.1f} s after launch', file=sys.stderr)


def bar(title: str, total: int, done: int = 0, unit: str = 'obs', delay: float = 0) -> tqdm.tqdm:
    """A progress bar with rate and time left, shown after `delay` seconds; in a log file it is a line now and then."""
    terminal = sys.stderr.isatty()
    return tqdm.tqdm(
        desc=title,
        initial=done,
        total=total,
        unit=unit,
        unit_scale=True,
        disable=jax.process_index() != 0,
        mininterval=0.1 if terminal else 30,
        delay=delay,
        leave=not terminal,
    )
