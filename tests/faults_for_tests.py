"""What can happen to a file, and what may be said then."""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

import anndata
import numpy as np

from perturbjax.errors import InputError

ROOT = pathlib.Path(__file__).parents[1]
TABLES = ('scores.csv', 'summary.csv', 'calibration.csv', 'curves.csv', 'config.json', 'split.json', 'data.json')


def halve(content, rng):
    return content[: len(content) // 2]


def cut_last_byte(content, rng):
    return content[:-1]


def empty(content, rng):
    return b''


def flip_bit(content, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def binary(content, rng):
    return bytes(rng.randrange(256) for _ in range(min(len(content), 400)))


KINDS = {'halved': halve, 'a byte short': cut_last_byte, 'emptied': empty, 'a bit flipped': flip_bit, 'binary': binary}


def damages(folder, seed, flips=1):
    """Every file below the folder with every kind of damage: its path, the kind, and the new content."""
    rng = random.Random(seed)
    for path in sorted(each for each in folder.rglob('*') if each.is_file()):
        content = path.read_bytes()
        yield path, 'deleted', None
        for kind, damage in KINDS.items():
            for _ in range(flips if kind == 'a bit flipped' else 1):
                changed = damage(content, rng) if content else b'x'
                if changed != content:
                    yield path, kind, changed


def outcome(use, *arguments):
    """What `use` gives, or the sentence of its InputError, which must be one line that names a path."""
    try:
        return use(*arguments), ''
    except InputError as error:
        sentence = str(error)
        assert '/' in sentence
        assert len(sentence.splitlines()) == 1, sentence
        assert len(sentence) < 600, sentence
        return None, sentence


@contextlib.contextmanager
def damaged(path, content):
    """The file is damaged in place, or deleted where there is no content, and made whole again."""
    whole = path.read_bytes()
    try:
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        yield
    finally:
        path.write_bytes(whole)


def copy_damaged(source, target, path, content):
    """A copy of the folder in which one file is damaged, or deleted where there is no content."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    copy = target / path.relative_to(source)
    if content is None:
        copy.unlink()
    else:
        copy.write_bytes(content)


def launch(workdir, *flags, epochs=3, **environment):
    """A launch of the config in small.py; its output is kept."""
    config = ROOT / 'tests' / 'faults' / 'small.py'
    line = [sys.executable, '-m', 'perturbjax.main', f'--config={config}:{epochs}', f'--workdir={workdir}', *flags]
    settings = {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT), **environment}
    return subprocess.Popen(
        line, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def said(process, seconds=300):
    """The exit code of a launch and all it said; a traceback is never allowed."""
    output = process.communicate(timeout=seconds)[0]
    assert not re.search(r'Traceback|\.py", line', output), output
    return process.returncode, output


def wait_for_lines(path, count, process):
    """Waits until a file has so many lines or the process ends."""
    while process.poll() is None and not (path.exists() and path.read_text().count('\n') >= count):
        time.sleep(0.02)


def results(folder):
    """What a run is about, of which nothing may differ: tables, predictions, embeddings and the training curve."""
    predicted = anndata.read_h5ad(folder / 'predictions.h5ad')
    layers = {name: np.asarray(each).tobytes() for name, each in predicted.layers.items()}
    written = folder / 'metrics.jsonl'
    curve = [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []
    apart = [{name: each for name, each in line.items() if 'second' not in name} for line in curve]
    embedded = anndata.read_h5ad(folder / 'embeddings.h5ad').X.tobytes()
    return {name: (folder / name).read_bytes() for name in TABLES} | {'layers': layers, 'curve': apart, 'X': embedded}
