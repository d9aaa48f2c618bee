"""What a config must look like, and that a workdir stays with its own."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_collections
from etils import epath

from perturbjax.analysis.study import Study
from perturbjax.errors import InputError, check_range, check_settings
from perturbjax.evaluation.linear_sweep import check_grid, score_grid
from perturbjax.screens.splits import SPLITS
from perturbjax.training.settings import Settings, check_training


class Evaluation(NamedTuple):
    """How predictions are judged.

    Attributes:
      replicates: of the bootstrap.
      predictions: other tools' predictions, by label; see `interop.predictions.add_configured`.
      linear_grid: `ranks` and `ridges` of the linear model to show the error of; see `models.grid`.
    """

    replicates: int = 2000
    predictions: Mapping[str, Any] = {}
    linear_grid: Mapping[str, Any] = {}


def check(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as plain values; raises InputError on a part or setting that nothing reads."""
    settings = json.loads(config.to_json())

    def known(
        seed: Any,
        data: Any,
        split: Any,
        models: Any,
        training: Any = None,
        evaluation: Any = None,
        analysis: Any = None,
    ) -> None:
        """Its parameters are a config's parts."""

    check_settings(known, settings, 'config')
    settings = {'training': {}, 'evaluation': {}, 'analysis': {}} | settings
    check_settings(Settings, settings['training'], 'training')
    check_settings(Evaluation, settings['evaluation'], 'evaluation')
    check_settings(Study, settings['analysis'], 'analysis')
    check_training(Settings(**settings['training']))
    grid = Evaluation(**settings['evaluation']).linear_grid
    if grid:
        check_settings(score_grid, grid, 'evaluation.linear_grid', given=('compendium', 'splits'))
        check_grid(**grid)
    check_range('evaluation', 1, replicates=Evaluation(**settings['evaluation']).replicates)
    if 'name' not in settings['split']:
        raise InputError(f"split: the setting 'name' is needed, one of {', '.join(SPLITS)}.")
    check_seeds([settings['seed']], 'seed')
    check_seeds(settings['split'].get('seeds', [0]), 'split.seeds')
    return settings


def check_seeds(seeds: Any, field: str) -> None:
    """Raises unless seeds are whole numbers from 0 to 2^31 - 1, at least one, each once."""
    whole = isinstance(seeds, list) and all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f'{field}: {seeds!r} must be whole numbers from 0 to 2^31 - 1, each once.')


def refuse_other_config(settings: Mapping[str, Any], folder: epath.Path) -> None:
    """Raises InputError where the workdir was made with another config; how it is evaluated may change."""
    saved = folder / 'config.json'
    if not saved.exists():
        return
    try:
        before, now = _flat(json.loads(saved.read_text())), _flat(settings)
    except ValueError as error:
        raise InputError(f'{saved}: it is damaged ({error}); give another --workdir.') from error
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and not name.startswith(('evaluation', 'analysis')):
            raise InputError(
                f'{folder}: this workdir was made with another config ({name} is {now.get(name, "not set")!r}, '
                f'there {before.get(name, "not set")!r}); give another --workdir, or the same config to go on.'
            )


def _flat(settings: Any, name: str = '') -> dict[str, Any]:
    """Nested settings as `{'training.epochs': 50}`."""
    if not isinstance(settings, Mapping) or not settings:
        return {name: settings}
    parts = [_flat(value, f'{name}.{key}' if name else key) for key, value in settings.items()]
    return {key: value for part in parts for key, value in part.items()}


def refuse_changed(path: epath.Path, text: str) -> None:
    """Raises InputError where the file is there and says something else: the data are no longer the same."""
    if path.exists() and path.read_text() != text:
        raise InputError(
            f'{path}: the data are not those this workdir was made with (names, values or held-out profiles differ); '
            'give another --workdir, or the same data to go on.'
        )
