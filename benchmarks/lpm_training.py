"""LPM's training speed with single observations and with blocks, compared with a plain PyTorch loop.

    python benchmarks/lpm_training.py --recipe=replogle [--rounds=5] [--steps=20] [--torch=false]

Needs `pip install torch==2.13.0` unless `--torch=false`. Trains on a generated screen with the released recipe,
dropout included. All variants run in turn in one process, and the table holds median observations per second. The
share of the limit compares with the time that the variant's own matrix products would take at the rate of one large
float32 product, measured in the same rounds. On a GPU add:

    --torch=false --batches=5000,50000,500000 --matmuls=float32,tensorfloat32,bfloat16

`--epochs=50` times that many epochs as a whole instead, from the start of training and with compilation. For the
released Replogle recipe at full size add `--contexts=2 --perturbations=2200 --readouts=8563`.
"""

import time
from collections.abc import Sequence

import jax
import numpy as np
from absl import app, flags
from generated_screens import RECIPES, compendium_of, generated, model_of, settings_of
from measuring import Run, about, in_turn, limit
from training_loops import operations, trained

from perturbjax.screens.screen import Compendium
from perturbjax.training import train_step
from perturbjax.training.settings import TrainingSettings

_RECIPE = flags.DEFINE_enum('recipe', 'replogle', RECIPES, 'whose widths, dropout and batch')
_BATCHES = flags.DEFINE_list('batches', [], "observations per step; the recipe's unless given")
_BLOCKS = flags.DEFINE_list('blocks', ['1x1', '10x10'], 'profiles x readouts of a block')
_MATMULS = flags.DEFINE_list('matmuls', ['float32'], 'precisions')
_CONTEXTS = flags.DEFINE_integer('contexts', 2, 'contexts')
_PERTURBATIONS = flags.DEFINE_integer('perturbations', 1000, 'perturbations')
_READOUTS = flags.DEFINE_integer('readouts', 978, 'readouts')
_ROUNDS = flags.DEFINE_integer('rounds', 5, 'turns that each variant takes')
_STEPS = flags.DEFINE_integer('steps', 20, 'steps per turn')
_EPOCHS = flags.DEFINE_integer('epochs', 0, 'epochs to be timed as a whole')
_WHOLE = flags.DEFINE_bool('whole_tables', False, 'also a variant in which no table is updated row by row')
_TORCH = flags.DEFINE_bool('torch', True, 'run the PyTorch loop too')


def ours(compendium: Compendium, settings: TrainingSettings, matmul: str, whole: bool = False) -> Run:
    """A run that makes `--steps` more steps; with `whole`, no table is updated row by row."""
    usual = train_step.ROW_WISE_FROM
    train_step.ROW_WISE_FROM = np.inf if whole else usual
    try:
        model = model_of(_RECIPE.value, matmul)
        return trained(model, compendium, settings, tuple(jax.devices()), _STEPS.value)
    finally:
        train_step.ROW_WISE_FROM = usual


def theirs(values: np.ndarray, settings: TrainingSettings) -> Run:
    import torch
    import torch_lpm

    own = RECIPES[_RECIPE.value]
    model = torch_lpm.LPM(values.shape, own.embedding_dim, own.hidden_dims, own.dropout)
    trainer = torch_lpm.Trainer(
        torch.from_numpy(values), model, settings.batch_size, settings.learning_rate, settings.weight_decay
    )
    return lambda: trainer.steps(_STEPS.value)


def compare(compendium: Compendium, values: np.ndarray, batch: int) -> None:
    runs: dict[str, Run] = {}
    each: dict[str, float] = {}
    if _TORCH.value:
        runs['PyTorch'] = theirs(values, settings_of(_RECIPE.value, batch_size=batch))
        each['PyTorch'] = operations(_RECIPE.value, '1x1')
    for matmul in _MATMULS.value:
        for block in _BLOCKS.value:
            for whole in (False, True)[: 1 + _WHOLE.value]:
                label = f'{block}, {matmul}' + (', whole' if whole else '')
                runs[label] = ours(compendium, settings_of(_RECIPE.value, block, batch_size=batch), matmul, whole)
                each[label] = operations(_RECIPE.value, block)
    product, product_operations = limit()
    for run in [*runs.values(), product]:
        run()
    medians = in_turn({**runs, 'product': product}, _ROUNDS.value)
    peak = product_operations / medians.pop('product')
    print(f'\nbatch {batch:,}; one large product: {peak / 1e9:,.0f} GFLOP/s')
    print(f'{"":30}{"obs/s":>14}{"ratio":>8}{"share of limit":>16}')
    first = next(iter(medians.values()))
    for name, seconds in medians.items():
        rate = _STEPS.value * batch / seconds
        print(f'{name:30}{rate:14,.0f}{first / seconds:8.2f}{rate * each[name] / peak:16.0%}')


def time_epochs(compendium: Compendium, batch: int) -> None:
    """Times whole epochs with the first block and precision, in calls of `--steps` steps."""
    settings = settings_of(_RECIPE.value, _BLOCKS.value[0], batch_size=batch)
    size = sum(each.values.size for each in compendium.screens)
    began = time.perf_counter()
    more = ours(compendium, settings, _MATMULS.value[0])
    more()
    placed = time.perf_counter() - began
    for _ in range(-(-_EPOCHS.value * size // (batch * _STEPS.value)) - 1):
        more()
    whole = time.perf_counter() - began
    print(
        f'{_EPOCHS.value} epochs of {size:,}: {whole:.1f} s, {placed:.1f} s of it until the first {_STEPS.value} steps'
    )


def main(_: Sequence[str]) -> None:
    values = generated(_CONTEXTS.value, _PERTURBATIONS.value, _READOUTS.value)
    compendium = compendium_of(values)
    print(about(*['torch'] * _TORCH.value))
    print(f'{_RECIPE.value}, {" x ".join(map(str, values.shape))}')
    for batch in map(int, _BATCHES.value or [RECIPES[_RECIPE.value].batch_size]):
        if _EPOCHS.value:
            time_epochs(compendium, batch)
        else:
            compare(compendium, values, batch)


if __name__ == '__main__':
    app.run(main)
