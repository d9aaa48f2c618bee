"""LPM's predictions for a whole grid: speed compared with a plain PyTorch loop, and memory by the grid's size.

    python benchmarks/lpm_prediction.py [--recipes=replogle,lincs] [--rounds=3] [--torch=false]

Needs `pip install torch==2.13.0` unless `--torch=false`. Three variants predict the same grid of contexts x
perturbations x readouts: `stream`, `write_grid` into a temporary file, and the plain PyTorch model with the same
weights in batches of several sizes. All run in turn in every round. The table holds median values per second;
the ratio is to the fastest PyTorch batch. The script fails where the float32 values do not agree.

The share of the limit compares with the time that the products after the first layer would take at the rate of
one float32 product `[4096, H] x [H, H]` (on a GPU 131,072 rows), measured in the same rounds. Run the script
alone: where others use the cores too, PyTorch's threads wait for each other, and small batches lose most.

Memory is measured for `write_grid` in a separate process, above what the process has before it predicts: with the
recipes' widths for a small grid, and with a narrow model for larger grids. On a GPU, run it with
`--matmuls=float32,tensorfloat32,bfloat16 --torch=false` and larger sizes.
"""

import functools
import math
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence

import h5py
import jax
import numpy as np
from absl import app, flags
from generated_screens import RECIPES
from grids import Sizes, fitted, streamed, vocabulary_of, written
from measuring import Run, about, accelerator_peak, in_turn, product, watched

from perturbjax.models.model import Fitted

_RECIPES = flags.DEFINE_list('recipes', ['replogle', 'lincs'], 'whose widths')
_CONTEXTS = flags.DEFINE_integer('contexts', 2, 'contexts')
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 100, 'perturbations')
_READOUTS = flags.DEFINE_integer('readouts', 978, 'readouts')
_MATMULS = flags.DEFINE_list('matmuls', ['float32'], 'precisions')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'turns that each variant takes')
_TORCH = flags.DEFINE_bool('torch', True, 'run the PyTorch loop too')
_BATCHES = flags.DEFINE_list('batches', ['1000', '5000', '20000', '50000'], 'triples at once, of the PyTorch loop')
_GRIDS = flags.DEFINE_list('grids', ['1', '10', '100'], 'contexts of the grids whose memory is measured')

# How far values of unit size may differ in float32.
_TOLERANCE = 1e-4
# Perturbations of the grids whose memory is measured. Grids grow by contexts, so that the names take no more room.
_PER_CONTEXT = 1000


def theirs(recipe: str, sizes: Sizes, params: Fitted) -> Callable[[int], np.ndarray]:
    """A function that predicts the grid with PyTorch, in batches of the given number of triples."""
    import torch
    import torch_lpm

    own = RECIPES[recipe]
    device = 'cpu' if jax.default_backend() == 'cpu' else 'cuda'
    model = torch_lpm.LPM(sizes, own.embedding_dim, own.hidden_dims, 0.0)
    with torch.no_grad():
        for table, name in zip(model.tables, ('context', 'perturbation', 'readout'), strict=True):
            table.weight.copy_(torch.tensor(params.weights[name][0]))
        dense = [layer for layer in model.layers if isinstance(layer, torch.nn.Linear)]
        for i, layer in enumerate(dense):
            layer.weight.copy_(torch.tensor(params.weights[f'kernel_{i}'][0].T))
            layer.bias.copy_(torch.tensor(params.weights[f'bias_{i}'][0]))
    model.to(device).eval()

    @torch.inference_mode()
    def run(batch: int) -> np.ndarray:
        values = torch.empty(math.prod(sizes))
        for first in range(0, len(values), batch):
            index = torch.arange(first, min(first + batch, len(values)), device=device)
            values[first : first + batch] = model(*torch.unravel_index(index, sizes))
        return values.numpy().reshape(-1, sizes[2])

    return run


def variants(recipe: str, sizes: Sizes, folder: str) -> dict[str, Run]:
    params, runs = fitted(recipe, vocabulary_of(sizes)), {}
    if _TORCH.value:
        predict = theirs(recipe, sizes, params)
        runs = {f'PyTorch, {int(batch):,} triples': functools.partial(predict, int(batch)) for batch in _BATCHES.value}
    for matmul in _MATMULS.value:
        runs[f'stream, {matmul}'] = functools.partial(streamed, recipe, matmul, sizes, params)
        runs[f'write_grid, {matmul}'] = functools.partial(written, recipe, matmul, sizes, params, folder)
    return runs


def differences(runs: dict[str, Run]) -> dict[str, float]:
    """The largest difference of each variant's values from the first's; raises where it is too large for float32."""
    answers = {name: read(run()) for name, run in runs.items()}
    first = next(iter(answers.values()))
    for name, values in answers.items():
        if not name.endswith(('tensorfloat32', 'bfloat16')):
            np.testing.assert_allclose(values, first, rtol=_TOLERANCE, atol=_TOLERANCE, err_msg=name)
    return {name: float(np.abs(values - first).max()) for name, values in answers.items()}


def read(answer: np.ndarray | pathlib.Path) -> np.ndarray:
    if isinstance(answer, np.ndarray):
        return answer
    with h5py.File(answer) as file:
        return file['layers/lpm'][:]


def speed(recipe: str, sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = variants(recipe, sizes, folder)
        apart = differences(runs)
        hidden = RECIPES[recipe].hidden_dims
        multiply, operations = product(4096 if jax.default_backend() == 'cpu' else 2**17, hidden[0])
        multiply()
        medians = in_turn({**runs, 'product': multiply}, _ROUNDS.value)
    peak = operations / medians.pop('product')
    each = 2 * sum(a * b for a, b in zip(hidden, (*hidden[1:], 1), strict=True))
    compared = [name for name in medians if name.startswith('PyTorch')] or list(medians)[:1]
    reference = min(medians[name] for name in compared)
    print(f'\n{recipe}, {" x ".join(map(str, sizes))}; one product: {peak / 1e9:,.0f} GFLOP/s')
    print(f'{"":28}{"values/s":>14}{"ratio":>8}{"share of limit":>16}{"differs by":>12}')
    for name, seconds in medians.items():
        rate = math.prod(sizes) / seconds
        print(f'{name:28}{rate:14,.0f}{reference / seconds:8.2f}{rate * each / peak:16.0%}{apart[name]:12.1e}')


def memory() -> None:
    """Prints memory peaks by width and by size of the grid; every process predicts one context first, to compile."""
    contexts = [int(each) for each in _GRIDS.value]
    print('\nwrite_grid: the most MiB above what was there before')
    print(f'{"":10}{"values":>14}{"their MiB":>12}{"compiling":>12}{"predicting":>12}{"accelerator":>14}')
    for recipe, n in [*((recipe, contexts[0]) for recipe in _RECIPES.value), *(('narrow', n) for n in contexts)]:
        sizes = n, _PER_CONTEXT, _READOUTS.value
        values = math.prod(sizes)
        there, most = watched(predict_watched, recipe, sizes)
        above = [(most[phase] - most['ready']) / 2**20 for phase in ('compiling', 'predicting')]
        told = '-' if there is None else f'{there / 2**20:.1f}'
        print(f'{recipe:10}{values:14,}{values / 2**18:12.1f}{above[0]:12.1f}{above[1]:12.1f}{told:>14}', flush=True)


def predict_watched(begin: Callable[[str], None], recipe: str, sizes: Sizes) -> int | None:
    """Predicts the grid of one context, which compiles everything, and then the whole grid."""
    params = fitted(recipe, vocabulary_of(sizes))
    with tempfile.TemporaryDirectory() as folder:
        begin('ready')
        time.sleep(0.1)
        begin('compiling')
        written(recipe, 'float32', sizes, params, folder, first=1)
        begin('predicting')
        written(recipe, 'float32', sizes, params, folder)
    return accelerator_peak()


def main(_: Sequence[str]) -> None:
    print(about(*['torch'] * _TORCH.value))
    for recipe in _RECIPES.value:
        speed(recipe, (_CONTEXTS.value, _PERTURBATIONS.value, _READOUTS.value))
    memory()


if __name__ == '__main__':
    app.run(main)
