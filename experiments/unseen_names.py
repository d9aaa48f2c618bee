"""What nobody measured: unseen drugs, knock-outs, cell lines and times, with features of their names and without.

    perturbjax --config=unseen_names:hpn_times --workdir=/tmp/hpn_times \
        --config.data.path=../shared/data/hpn_dream_2013_4lines.h5ad
    perturbjax --config=unseen_names:gdsc2_drugs --workdir=/tmp/gdsc2_drugs \
        --config.data.path=../shared/data/drug_response/gdsc2_auc.h5ad \
        --config.models.lpm_features.features.perturbation=screen:../shared/data/drug_response/gdsc1_auc.h5ad \
        --config.models.kernel.embedding=screen:../shared/data/drug_response/gdsc1_auc.h5ad

`SCREENS` has the others. `lpm_features` is `lpm` with features of the names on one axis; everything else is the same,
so the difference is what they are worth. `hpn_times` holds out each time in all four lines, one after the other, and
knows it by its number; `p100_contexts` holds out two contexts of eight at a time, and knows them by line, time and
control. The others need a file, by a flag such as the one above: of drugs `smiles:TABLE` (`p100_drugs`), of drugs or
lines another screen (`gdsc2_drugs`, `gdsc2_lines`), of genes `pairs:TABLE` (`papalexi`, `litmus`, `norman_singles`).

2 to 15 minutes on 2 CPU cores, which were busy (`gdsc2_drugs` longest, with three of its five splits). Expect these L2s
of `lpm_features` as ratios to the best simple rule: hpn_times 0.784, gdsc2_lines 0.894 (one split), gdsc2_drugs 0.954,
p100_contexts, p100_drugs and litmus 1.000, norman_singles 1.003, papalexi 1.064. More: docs/beyond.md.
"""

import pathlib
import runpy
from typing import Any, NamedTuple

import ml_collections

from perturbjax.errors import InputError, did_you_mean


class Screen(NamedTuple):
    """An experiment file and its argument, what it holds out here, and the axis with features, and which.

    `features` is empty where a flag names a file. Kernel rules take it too, if the axis is that of perturbations.
    """

    experiment: str
    arguments: tuple[str, ...]
    split: dict[str, Any]
    axis: str
    features: tuple[str, ...] = ()


_LINES, _MINUTES = ('BT20', 'BT549', 'MCF7', 'UACC812'), (5, 15, 30, 60, 120, 240)
_TIMES = {str(time): [[f'{line}_{time}min', '*'] for line in _LINES] for time in _MINUTES}
_SINGLES = {'name': 'unseen_single', 'test': 0.2, 'seeds': (0, 1, 2, 3, 4)}
_CONTEXTS = {'name': 'k_fold', 'of': 'contexts'}

SCREENS = {
    'hpn_times': Screen(
        'hpn_dream', (), {'name': 'folds', 'lists': _TIMES, 'seeds': tuple(range(6))}, 'context', ('numbers', 'rests')
    ),
    'p100_contexts': Screen(
        'benchmark_p100_gcp', (), {**_CONTEXTS, 'folds': 4, 'seeds': (0, 1, 2, 3)}, 'context',
        ('numbers', 'rests', 'control'),
    ),
    'p100_drugs': Screen('benchmark_p100_gcp', (), _SINGLES, 'perturbation'),
    'gdsc2_drugs': Screen('drug_response', ('gdsc2',), _SINGLES, 'perturbation'),
    'gdsc2_lines': Screen('drug_response', ('gdsc2',), {**_CONTEXTS, 'folds': 5, 'seeds': (0, 1, 2)}, 'context'),
    'papalexi': Screen('benchmark_papalexi', (), _SINGLES, 'perturbation'),
    'litmus': Screen('lpm_l1000_litmus', (), _SINGLES, 'perturbation'),
    'norman_singles': Screen('norman_expression', ('geometry',), _SINGLES, 'perturbation'),
}  # fmt: skip


def get_config(screen: str = 'hpn_times') -> ml_collections.ConfigDict:
    """The config for one of `SCREENS`."""
    if screen not in SCREENS:
        raise InputError(f'unseen_names.py: no such screen {screen!r}; {did_you_mean(screen, SCREENS)}')
    settings = SCREENS[screen]
    of_screen = runpy.run_path(str(pathlib.Path(__file__).with_name(f'{settings.experiment}.py')))['get_config']
    data = of_screen(*settings.arguments).data
    config = ml_collections.ConfigDict({'seed': 0, 'data': data, 'split': settings.split})
    rules = 'perturbation_mean', 'context_mean', 'own_readout', 'two_way', 'low_rank'
    features = settings.features or 'a file, by a flag'
    config.models = {**{name: {} for name in rules}, 'lpm': {}}
    config.models.lpm_features = {'model': 'lpm', 'features': {settings.axis: features}}
    if settings.axis == 'perturbation':
        config.models.kernel = {'embedding': features}
    return config
