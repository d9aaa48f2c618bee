"""The progress bar of whatever takes long: reading, training; on process 0 only."""

import sys
import time

import jax
import tqdm

LAUNCHED = time.perf_counter()  # nearly: this is among the first modules to be imported


def bar(title: str, total: int, done: int = 0, unit: str = 'obs', delay: float = 0) -> tqdm.tqdm:
    """A bar with rate and time left, shown after `delay` seconds; in a log file a line now and then."""
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
