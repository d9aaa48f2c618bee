"""How processes take turns: each waits to be asked, trains for a turn, and tells what that took.

Only the standard library is used, so that a process of another Python can import it.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


class Asked:
    """The side that is asked. What it prints goes to stderr; answers have the pipe to themselves."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), 'w')
        os.dup2(2, 1)

    def wait(self) -> None:
        """Waits for the next turn; ends the process where there is none."""
        if not sys.stdin.readline():
            os._exit(0)

    def tell(self, **facts: Any) -> None:
        """Answers, with the most memory (bytes) that the process has had so far."""
        most = re.search(r'VmHWM:\s+(\d+) kB', pathlib.Path('/proc/self/status').read_text())
        print(json.dumps({**facts, 'memory': 1024 * int(most[1]) if most else 0}), file=self._answers, flush=True)


class Asking:
    """A process that takes turns; what it prints goes to a log."""

    def __init__(self, command: Sequence[str], log: pathlib.Path, cores: int = 0) -> None:
        """Starts it, on so many cores (0: all)."""
        self.log, pipe = log, subprocess.PIPE
        everywhere = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, sorted(everywhere)[: cores or None])  # which the process inherits
            with log.open('w') as errors:
                self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)
        finally:
            os.sched_setaffinity(0, everywhere)

    def turn(self) -> dict[str, Any]:
        """Its answer after one more turn; raises RuntimeError where it ended instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write('go\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            last = self.log.read_text().strip().splitlines()[-1:]
            raise RuntimeError(f'{self.log}: the process ended with {self._process.wait()}; its last line: {last}')
        return json.loads(line)

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
