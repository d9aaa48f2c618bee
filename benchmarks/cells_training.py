"""Cells per second of training GEARS and CPA: perturbjax beside the released cell-gears and cpa-tools.

    python benchmarks/cells_training.py --released_python=PATH [--cpa_python=PATH] [--genes=2000,5000] [--rounds=3]

`--released_python` is an interpreter with `cell-gears==0.1.2` and `torch-geometric`, and one with `cpa-tools==0.8.8`,
unless `--cpa_python` names another: the two want different versions of torch (cpa-tools torch 2.0 and Python 3.10).
Without them perturbjax is timed alone.

The cells are generated and written once for both (`generated_cells.py`): 30 perturbations, a fifth of the cells
control; nothing is downloaded. Both sides train the same network on the same batches of as many cells, with the
recipes of Ahlmann-Eltze et al. 2025; the weights that get a gradient are counted on both sides, and must be as many.
For CPA there are two parts of its training: `cpa_first`, where each batch is for the autoencoder and the adversary, as
in the first 11 epochs; and `cpa_game`, where a third of the batches is for the autoencoder against the adversary.

Each side is a process of its own with all cores, and they take turns: a first one that does not count (compilation, of
which the seconds are told, and warm-up), then `--rounds` turns of `--epochs` epochs each. The clock is on while
training cells are gone through, without any evaluation or metric. Seconds of the processors are told too. Where other
work has the cores, torch's threads wait for each other, busily: a core for each side (`--cores=1`) is the fairer
comparison then. Memory is the most that each process had, with the packages that it imports and the cells.
"""

import json
import pathlib
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags
from generated_cells import write_cells
from measuring import about
from turns import Asking

_MODELS = flags.DEFINE_list('models', ['gears', 'cpa_first', 'cpa_game'], 'which training')
_GENES = flags.DEFINE_list('genes', ['2000', '5000'], 'sizes of the generated cells')
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 30, 'perturbations beside control')
_GEARS_CELLS = flags.DEFINE_integer('gears_cells', 160, 'training cells of GEARS')
_CPA_CELLS = flags.DEFINE_integer('cpa_cells', 6144, 'training cells of CPA')
_GEARS_BATCH = flags.DEFINE_integer('gears_batch', 32, 'cells of a step of GEARS')
_CPA_BATCH = flags.DEFINE_integer('cpa_batch', 2048, 'cells of a step of CPA')
_EPOCHS = flags.DEFINE_integer('epochs', 1, 'epochs of a turn')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'turns of each side that count')
_CORES = flags.DEFINE_integer('cores', 0, 'cores of each side; all unless given')
_RELEASED = flags.DEFINE_string('released_python', None, 'the interpreter of the released packages')
_CPA_PYTHON = flags.DEFINE_string('cpa_python', None, 'that of cpa-tools, where it is another')
_OUT = flags.DEFINE_string('out', 'build/cells_training', 'the folder for cells, logs and results')

_HERE = pathlib.Path(__file__).parent
# What must be the same on both sides.
_SAME = ('weights', 'genes', 'batch', 'cells')
_SCRIPTS = {'perturbjax': 'our_cells.py', 'released': 'released_cells.py'}


def interpreters(model: str) -> dict[str, str]:
    """Which Python runs which side."""
    released = (_CPA_PYTHON.value if model.startswith('cpa') else None) or _RELEASED.value
    return {'perturbjax': sys.executable} | ({'released': released} if released else {})


def race(model: str, genes: int) -> dict[str, list[dict[str, Any]]]:
    """The answers of each side, the first turn among them."""
    cells, batch = (_GEARS_CELLS, _GEARS_BATCH) if model == 'gears' else (_CPA_CELLS, _CPA_BATCH)
    folder = pathlib.Path(_OUT.value) / f'{genes}_genes_{cells.value}_cells'
    if not (folder / 'ontology.csv').exists():
        write_cells(folder, cells.value, genes, _PERTURBATIONS.value)
    processes: dict[str, Asking] = {}
    answers: dict[str, list[dict[str, Any]]] = {}
    try:
        for name, python in interpreters(model).items():
            command = [python, str(_HERE / _SCRIPTS[name]), model, str(folder), str(batch.value), str(_EPOCHS.value)]
            processes[name] = Asking(command, folder / f'{model}_{name}.log', _CORES.value)
            first = processes[name].turn()
            if 'missing' in first:
                print(f'{model}: {python} lacks a released package ({first["missing"]}); perturbjax is timed alone.')
                processes.pop(name).end()
            else:
                answers[name] = [first]
        for _ in range(_ROUNDS.value):
            for name, process in processes.items():
                answers[name].append(process.turn())
    finally:
        for process in processes.values():
            process.end()
    return answers


def tell(model: str, genes: int, answers: dict[str, list[dict[str, Any]]]) -> None:
    """Prints the medians of both sides, and whether they did the same work."""
    rates, costs = {}, {}
    for name, (first, *turns) in answers.items():
        each = [turn['cells'] / turn['seconds'] for turn in turns]
        rates[name] = statistics.median(each)
        costs[name] = statistics.median(turn['processor'] / turn['cells'] for turn in turns)
        apart = {'compiling': first.get('compiling'), 'metrics': turns[-1].get('metrics')}
        print(
            f'{model:10}{genes:6}{name:>12}{rates[name]:9.1f} cells/s ({min(each):.1f} to {max(each):.1f})'
            f'{1e3 * costs[name]:9.2f} ms of processors for a cell{turns[-1]["memory"] / 2**20:7.0f} MiB'
            + ''.join(f', {seconds:.1f} s of {what} apart' for what, seconds in apart.items() if seconds)
        )
        facts = ', '.join(' '.join(version) for version in turns[0]['versions'].items())
        print(f'{"":28}{facts}: ' + ', '.join(f'{turns[0][fact]:,} {fact}' for fact in _SAME), flush=True)
    if len(rates) > 1:
        fast, cheap = rates['perturbjax'] / rates['released'], costs['released'] / costs['perturbjax']
        print(f'{"":28}perturbjax is {fast:.2f} times as fast, by seconds of processors {cheap:.2f} times', flush=True)
    for fact in _SAME:
        found = {name: turns[-1][fact] for name, turns in answers.items()}
        if len(set(found.values())) > 1:
            print(f'not the same work: {fact} {found}')


def main(_: Sequence[str]) -> None:
    print(about('flax', 'optax'))
    if _RELEASED.value is None:
        print('No --released_python: perturbjax is timed alone.')
    results = []
    for genes in map(int, _GENES.value):
        for model in _MODELS.value:
            answers = race(model, genes)
            tell(model, genes, answers)
            results.append({'model': model, 'genes': genes, 'answers': answers})
    path = pathlib.Path(_OUT.value) / 'results.json'
    path.write_text(json.dumps({'about': about(), 'results': results}, indent=1))


if __name__ == '__main__':
    app.run(main)
