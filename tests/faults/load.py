"""Long training and many relaunches: does memory, or the number of open files or threads, grow?

    PYTHONPATH=tests python tests/faults/load.py --steps=1000000
    PYTHONPATH=tests python tests/faults/load.py --relaunches=1000

Prints a line for each tenth; training ends with code 1 where the memory at the end is more than 5% above that after
the first tenth, or more files or (by more than a few) threads are open.
"""

import argparse
import os
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np
from etils import epath
from faults_for_tests import launch, said
from screens_for_tests import measurements

from perturbjax.models.lpm import lpm
from perturbjax.screens.screen import assemble
from perturbjax.screens.splits import make_split
from perturbjax.training import checkpoints
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train import train


def used() -> dict[str, int]:
    """Memory of this process in KiB, open files and threads."""
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    files, threads = len(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task'))
    return {'KiB': pages * resource.getpagesize() // 1024, 'files': files, 'threads': threads}


def train_long(steps: int) -> bool:
    """Trains a tiny model for so many steps in ten launches of the trainer; whether nothing grew."""
    rng = np.random.default_rng(0)
    rows = [(c, p, rng.normal(size=50)) for c in 'ab' for p in ['control', *(f'g{i}' for i in range(49))]]
    compendium = assemble([measurements(rows, [f'r{i}' for i in range(50)])], ['log1p'])
    split = make_split(compendium, 'unseen_in_context', 1, context='b')
    about = checkpoints.About(compendium.vocabulary, {}, split.describe(compendium), 'lpm')
    learner, before = lpm(2, (4,)).learner, {}
    with tempfile.TemporaryDirectory() as folder:
        path = epath.Path(folder)
        observations = sum(
            int(np.isfinite(screen.values[mask]).sum()) for screen, mask in zip(compendium.screens, split.mask(0))
        )
        per_epoch = observations // 5
        for tenth in range(1, 11):
            epochs = max(1, steps * tenth // 10 // per_epoch)
            settings = TrainingSettings(batch_size=5, shards=1, epochs=epochs, checkpoint_every=50)
            began = time.monotonic()
            train(
                learner, compendium, split, settings, 0, about, path / 'lpm', MetricWriter(path / 'm.jsonl', 'lpm', 1)
            )
            now = used()
            before = before or now
            print(f'{epochs * per_epoch} steps', now, f'{time.monotonic() - began:.0f} s', flush=True)
    return (
        now['KiB'] <= 1.05 * before['KiB']
        and now['files'] <= before['files']
        and now['threads'] <= before['threads'] + 5
    )


def relaunch(times: int) -> bool:
    """Evaluates one workdir so many times; whether every launch ended well and gave the same scores."""
    with tempfile.TemporaryDirectory() as folder:
        path = epath.Path(folder)
        said(launch(folder))
        scores, began = (path / 'scores.csv').read_text(), time.monotonic()
        for number in range(1, times + 1):
            code, output = said(launch(folder, '--mode=evaluate'))
            if code or (path / 'scores.csv').read_text() != scores:
                print(output)
                return False
            if number % max(1, times // 10) == 0:
                names = sorted(each.name for each in path.iterdir())
                print(number, f'{(time.monotonic() - began) / number:.1f} s each', len(names), 'files', flush=True)
    return True


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=0)
    parser.add_argument('--relaunches', type=int, default=0)
    asked = parser.parse_args()
    whole = (not asked.steps or train_long(asked.steps)) and (not asked.relaunches or relaunch(asked.relaunches))
    sys.exit(not whole)
