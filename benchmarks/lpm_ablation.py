"""What each part of `lpm` is worth on a screen: the default beside itself with one part off or otherwise.

    python benchmarks/lpm_ablation.py --config=experiments/benchmark_korkut.py --workdir=/tmp/ablation/korkut \
        --config.data.path=../shared/data/korkut_2015_skmel133.h5ad --config.split.seeds='(5,)'
    python benchmarks/lpm_ablation.py --config=... --workdir=... --variants=no_mix,one_seed

The models of the experiment give way to the variants; its data and split stay. Each variant is a model of one run, so
a second launch goes on where the first one stopped, and `--mode=evaluate` on the workdir judges all of them. Printed:
the mean L2 over held-out profiles as a ratio to that of the default, with the 95% bootstrap interval over (context,
perturbation). docs/beyond.md has what was seen.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import anndata
from absl import app, flags, logging
from etils import epath
from ml_collections import config_flags

import perturbjax
from perturbjax import workdir
from perturbjax.evaluation.scores import SHARED, compare
from perturbjax.evaluation.statistics import bootstrap, interval
from perturbjax.evaluation.summary import at_once, estimates, number_of_clusters, sums_of

DEFAULT, METRIC = 'lpm', 'l2'
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    'no_mix': {'mix': ()},
    'base_two_way': {'base': 'two_way'},
    'base_additive': {'base': 'additive'},
    'base_auto': {'base': 'auto'},
    'standardise_each': {'standardise': 'each'},
    'standardise_none': {'standardise': 'none'},
    'no_shrink': {'shrink': False},
    'no_mix_no_shrink': {'mix': (), 'shrink': False},
    'head_mlp': {'head': 'mlp'},
    'interaction': {'interaction': True},
    'table_decay_1': {'table_decay': 1.0},
    'embedding_scale_1': {'embedding_scale': 1.0},
    'one_seed': {'training': {'seeds': 1}},
    'two_folds': {'folds': 2},
    'ten_folds': {'folds': 10},
    'no_early_stop': {'early_stop': False, 'training': {'epochs': 12}},
    'half_the_steps': {'early_stop': False, 'training': {'epochs': 6}},
    'twice_the_steps': {'early_stop': False, 'training': {'epochs': 24}},
    'half_the_width': {'embedding_dim': 8, 'hidden_dims': (32, 32)},
    'twice_the_width': {'embedding_dim': 32, 'hidden_dims': (128, 128)},
    'dropout': {'dropout': 0.1},
    'published_network': {
        **{'base': 'none', 'standardise': 'none', 'shrink': False, 'early_stop': False, 'head': 'mlp'},
        **{'embedding_dim': 32, 'hidden_dims': (128, 128), 'aggregation': 'mean', 'dropout': 0.1},
        **{'embedding_scale': 1.0, 'table_decay': 1.0},
        'training': {
            **{'learning_rate': 0.002, 'lr_decay': 0.98, 'batch_size': 250, 'epochs': 100, 'epoch_steps': 0},
            **{'seeds': 1, 'patience': 0, 'checkpoint_every': 100},
        },
    },
}

_CONFIG = config_flags.DEFINE_config_file('config', None, 'an experiment file', lock_config=False)
_WORKDIR = flags.DEFINE_string('workdir', None, 'where the variants are trained and their predictions go')
_CHOSEN = flags.DEFINE_list('variants', list(VARIANTS), 'which variants, with commas between them')


def main(_: Sequence[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    config = _CONFIG.value
    config.models = {DEFAULT: {}} | {name: {'model': DEFAULT, **VARIANTS[name]} for name in _CHOSEN.value}
    for mode in ('train', 'predict'):
        perturbjax.run(config, _WORKDIR.value, mode)
    predictions = workdir.read_anndata(epath.Path(_WORKDIR.value) / 'predictions.h5ad')
    print(f'| variant | {METRIC} / {DEFAULT} |\n|---|---|')
    for name, (ratio, low, high) in _ratios(predictions).items():
        print(f'| {name} | {ratio:.3f} [{low:.3f}, {high:.3f}] |')


def _ratios(predictions: anndata.AnnData) -> dict[str, tuple[float, float, float]]:
    """The metric of each model as a ratio to that of the default, with its interval."""
    beside = compare(predictions, DEFAULT, metrics=(METRIC,))
    sums, statistic = sums_of(beside), functools.partial(estimates, metrics=beside.metrics)
    ratio, samples = at_once(statistic, sums)['ratio'], bootstrap(statistic, sums)['ratio']
    low, high = interval(samples, number_of_clusters(sums, beside.metrics)[:, SHARED])
    found = zip(beside.models, *(each[:, 0] for each in (ratio, low, high)), strict=True)
    return {name: each for name, *each in found if name != DEFAULT}


if __name__ == '__main__':
    app.run(main)
