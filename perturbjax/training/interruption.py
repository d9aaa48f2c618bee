"""SIGTERM and Ctrl-C: a launch that is asked to stop saves what it trained, says so in a sentence and ends.

Outside of training the run stops at once, for files are written whole or not at all. While a model is trained, some
more steps are finished (of several hosts the epoch, because all stop after the same step) and saved, for which there
are `GRACE` seconds. After them, or on a second Ctrl-C, the run stops as it is, and a relaunch goes on from the last
checkpoint.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

GRACE = 20  # seconds; hosts that are taken away leave about 30

_GOES_ON = 'launch the same line again to go on'


class Stopped(BaseException):
    """The run was asked to stop. Not an Exception, so that no code that expects errors takes it for one."""


class _Asked:
    """Which signal asked the run to stop, none if empty; and whether a model is being trained."""

    signal = ''
    is_training = False


def listen() -> None:
    """Lets SIGTERM and Ctrl-C stop the launch in order; for the command line, not for notebooks."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _on_signal)


@contextlib.contextmanager
def training() -> Iterator[None]:
    """While a model is trained, a signal is left to `stops_here`."""
    _Asked.is_training = True
    try:
        yield
    finally:
        _Asked.is_training = False


def stops_here() -> bool:
    """Whether a host was asked to stop, asked by all hosts after an epoch; the caller saves and calls `stop`."""
    from perturbjax.training.hosts import any_host  # here, because main must not wait for JAX before it listens

    return any_host(bool(_Asked.signal))


def stops_in_epoch() -> bool:
    """Whether this host was asked to stop and is the only one, so that it need not wait for others."""
    import jax  # here, because main must not wait for it before it listens

    return bool(_Asked.signal) and jax.process_count() == 1


def stop(epoch: int, steps: int = 0) -> None:
    """Ends the run after an epoch and some steps of the next, which are saved."""
    more = f' and {steps} steps of the next' if steps else ''
    raise Stopped(f'{_Asked.signal or "another host"}: stopped and saved after epoch {epoch}{more}; {_GOES_ON}.')


def _on_signal(number: int, _: Any) -> None:
    name = 'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'
    if _Asked.signal and number == signal.SIGINT:
        end(f'stopped at once; {_GOES_ON} from the last checkpoint.', 130)
    if _Asked.signal:
        return
    _Asked.signal = name
    timer = threading.Timer(GRACE, end, (f'{name}: no time was left to finish and save; {_GOES_ON}.', 0))
    timer.daemon = True
    timer.start()
    if not _Asked.is_training:
        raise Stopped(f'{name}: stopped; what is finished is kept, and {_GOES_ON}.')
    say(f'{name}: the next steps are finished and saved, then the run stops; Ctrl-C now stops it at once.')


def end(sentence: str, code: int) -> NoReturn:
    """Ends the process from any thread and at any point; unfinished files are left under names that nothing reads."""
    say(sentence)
    os._exit(code)


def say(sentence: str) -> None:
    """Prints a sentence as a line of its own, below a bar that may still be there."""
    print(f'\nperturbjax: {sentence}', file=sys.stderr, flush=True)
