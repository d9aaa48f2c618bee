"""Does LPM learn as well from blocks as from single observations? Held-out error after the same number of epochs.

    python benchmarks/lpm_blocks.py --recipe=lincs [--blocks=1x1,10x10] [--epochs=25] [--seeds=3]

The screen is generated so that LPM can learn most of it, and the model is trained with the released recipe.
In one context 30% of the perturbations are held out, half of them for validation; the other contexts have
them in training. All seeds train at once. The table holds the RMSE over the validation profiles after the last
epoch and after the best one, both as the mean over the seeds, and their ratios to the first variant's.
"""

import tempfile
from collections.abc import Sequence

import pandas as pd
from absl import app, flags
from etils import epath
from generated_screens import RECIPES, compendium_of, generated, model_of, settings_of
from measuring import about

from perturbjax.screens.splits import make_split
from perturbjax.training import checkpoints
from perturbjax.training.metric_writer import MetricWriter
from perturbjax.training.settings import TrainingSettings
from perturbjax.training.train import train

_RECIPE = flags.DEFINE_enum('recipe', 'lincs', RECIPES, 'whose widths, dropout and batch')
_BLOCKS = flags.DEFINE_list('blocks', ['1x1', '10x10'], 'profiles x readouts of a block')
_SIZES = flags.DEFINE_list('sizes', ['4', '300', '400'], 'contexts, perturbations, readouts')
_EPOCHS = flags.DEFINE_integer('epochs', 25, 'epochs')
_SEEDS = flags.DEFINE_integer('seeds', 3, 'seeds')


def curves(compendium, settings: TrainingSettings) -> pd.DataFrame:
    """Validation RMSE by epoch (rows) and seed (columns)."""
    split = make_split(compendium, 'unseen_in_context', 13, context='c0')
    about = checkpoints.About(compendium.vocabulary, {}, split.describe(compendium))
    with tempfile.TemporaryDirectory() as folder:
        writer = MetricWriter(epath.Path(folder) / 'metrics.jsonl', 'lpm', 13)
        learner = model_of(_RECIPE.value).learner
        train(learner, compendium, split, settings, 0, about, epath.Path(folder) / 'checkpoints', writer)
        lines = pd.read_json(writer.path, lines=True)
    lines['member'] = lines.get('member', pd.Series(0, lines.index))
    return lines.pivot(index='epoch', columns='member', values='validation_rmse')


def main(_: Sequence[str]) -> None:
    compendium = compendium_of(generated(*map(int, _SIZES.value)))
    print(about())
    print(f'{_RECIPE.value}, {" x ".join(_SIZES.value)}, {_EPOCHS.value} epochs, {_SEEDS.value} seeds')
    print(f'{"":10}{"last":>9}{"ratio":>8}{"best":>9}{"ratio":>8}   by seed, last')
    first = None
    for block in _BLOCKS.value:
        others = {'epochs': _EPOCHS.value, 'checkpoint_every': _EPOCHS.value, 'seeds': _SEEDS.value}
        found = curves(compendium, settings_of(_RECIPE.value, block, **others))
        last, best = found.iloc[-1].mean(), found.min().mean()
        first = first or (last, best)
        seeds = ' '.join(f'{each:.4f}' for each in found.iloc[-1])
        print(f'{block:10}{last:9.4f}{last / first[0]:8.3f}{best:9.4f}{best / first[1]:8.3f}   {seeds}', flush=True)


if __name__ == '__main__':
    app.run(main)
