"""The hosts of one launch: what they agree on, and how the others end when one of them does."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from perturbjax.errors import InputError

SILENT = 60  # seconds after which a host that says nothing counts as lost
LOST = 3  # the exit code where another host was lost

_BEATS = 'perturbjax/beats/'


def from_first(number: int) -> int:
    """The number that the first host gives, on every host."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def array_of_first(values: np.ndarray) -> np.ndarray:
    """The values that the first host gives, on every host."""
    if jax.process_count() == 1:
        return values
    return np.asarray(multihost_utils.broadcast_one_to_all(values))


def any_host(said: bool) -> bool:
    """Whether any host says so, on every host; all must ask."""
    return bool(_all_hosts(said).any())


def refuse_other(facts: Mapping[str, Any]) -> None:
    """Raises InputError on every host where one of them differs from the first in a fact, which is named.

    Args:
      facts: what all hosts must have in common, as JSON can hold it; mappings may be nested.
    """
    if jax.process_count() == 1:
        return
    first = json.loads(_text_of_first(json.dumps(facts)))
    name = _difference(json.loads(json.dumps(facts)), first)
    others = np.flatnonzero(_all_hosts(bool(name))).tolist()
    if name:
        raise InputError(
            f'--multihost: this host ({jax.process_index()}) has another {name} than the first; make it the same.'
        )
    if others:
        raise InputError(f'--multihost: host {others[0]} differs from the first host, and says there in what.')


def watch(end: Callable[[str], Any]) -> None:
    """Ends the process by `end`, given a sentence, once another host has been silent for `SILENT` seconds."""
    seen = [time.monotonic()]
    threading.Thread(target=_beat, args=(seen,), daemon=True).start()
    threading.Thread(target=_end_if_silent, args=(seen, end), daemon=True).start()


def lost(reason: str) -> str:
    """The sentence that says that another host is gone."""
    return f'another host ended or cannot be reached ({reason}); launch the same line on every host again to go on.'


def _beat(seen: list[float]) -> None:
    """Counts up this host's beat, and notes the time at which the beats of all hosts had gone on."""
    client: Any = distributed.global_state.client
    before, number = dict[str, str](), 0
    while True:
        with contextlib.suppress(Exception):  # what cannot be reached is silent
            number += 1
            client.key_value_set(f'{_BEATS}{jax.process_index()}', str(number), allow_overwrite=True)
            now = dict(client.key_value_dir_get(_BEATS))
            changed = [host for host, beat in now.items() if before.get(host) != beat]
            if len(changed) == jax.process_count():
                seen[0], before = time.monotonic(), now
        time.sleep(3)


def _end_if_silent(seen: list[float], end: Callable[[str], Any]) -> None:
    while time.monotonic() - seen[0] < SILENT:
        time.sleep(1)
    end(lost(f'nothing was heard of it for {SILENT} s'))


def _all_hosts(said: bool) -> np.ndarray:
    if jax.process_count() == 1:
        return np.array([said])
    return np.asarray(multihost_utils.process_allgather(np.bool_(said)))


def _text_of_first(text: str) -> str:
    content = np.frombuffer(text.encode(), np.uint8)
    size = from_first(len(content))
    return array_of_first(np.resize(content, size)).astype(np.uint8).tobytes().decode()


def _difference(mine: Any, first: Any, name: str = '') -> str:
    """The name of the first part in which two nested values differ; empty where they are the same."""
    if not (isinstance(mine, Mapping) and isinstance(first, Mapping)):
        return '' if mine == first else name
    parts = (
        _difference(mine.get(key), first.get(key), f'{name}.{key}' if name else key) for key in sorted({*mine, *first})
    )
    return next(filter(None, parts), '')
