"""The config of a run, parsed once into types; and that a workdir stays with its own."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_collections
from etils import epath

from perturbjax.analysis.study import Study, check_study
from perturbjax.errors import InputError, check_range, check_settings
from perturbjax.evaluation.linear_sweep import check_sweep, score_linear_sweep
from perturbjax.renames import with_new_names
from perturbjax.screens.splits import SPLITS
from perturbjax.training.settings import TrainingSettings, check_training


class Evaluation(NamedTuple):
    """How predictions are judged.

    Attributes:
      bootstrap_samples: how often the bootstrap draws.
      predictions: other tools' predictions, by label; see `interop.predictions.add_configured`.
      linear_sweep: `ranks` and `ridges` of the linear model whose error is shown; see `evaluation.linear_sweep`.
    """

    bootstrap_samples: int = 2000
    predictions: Mapping[str, Any] = {}
    linear_sweep: Mapping[str, Any] = {}


class Config(NamedTuple):
    """A config as the run reads it.

    Attributes:
      seed: of everything that is random; each split adds its own seed.
      data: see `readers.loading.load`.
      split: the rule's name and its settings; see `screens.splits`.
      split_seeds: one split for each.
      models: settings by label; see `models.make_models`.
      training, evaluation: with their defaults filled in.
      analysis: None where the config asks for none.
      plain: the config as plain values, as it is saved and shown.
    """

    seed: int
    data: Mapping[str, Any]
    split: Mapping[str, Any]
    split_seeds: list[int]
    models: Mapping[str, Any]
    training: TrainingSettings
    evaluation: Evaluation
    analysis: Study | None
    plain: Mapping[str, Any]


def parse(config: ml_collections.ConfigDict) -> Config:
    """The config in types; raises InputError on a part or setting that nothing reads, or that is out of range."""
    plain = with_new_names(json.loads(config.to_json()))

    def parts(
        seed: Any,
        data: Any,
        split: Any,
        models: Any,
        training: Any = None,
        evaluation: Any = None,
        analysis: Any = None,
    ) -> None:
        """The parameters are the parts of a config."""

    check_settings(parts, plain, 'config')
    plain = {'training': {}, 'evaluation': {}, 'analysis': {}} | plain
    split = dict(plain['split'])
    if 'name' not in split:
        raise InputError(f"split: the setting 'name' is needed, one of {', '.join(SPLITS)}.")
    _check_seeds([plain['seed']], 'seed')
    seeds = split.pop('seeds', [plain['seed']])
    _check_seeds(seeds, 'split.seeds')
    return Config(
        seed=plain['seed'],
        data=plain['data'],
        split=split,
        split_seeds=seeds,
        models=plain['models'],
        training=_training(plain['training']),
        evaluation=_evaluation(plain['evaluation']),
        analysis=_analysis(plain['analysis']),
        plain=plain,
    )


def _analysis(settings: Mapping[str, Any]) -> Study | None:
    check_settings(Study, settings, 'analysis')
    check_study(Study(**settings))
    return Study(**settings) if settings else None


def _training(settings: Mapping[str, Any]) -> TrainingSettings:
    check_settings(TrainingSettings, settings, 'training')
    training = TrainingSettings(**settings)
    check_training(training)
    return training


def _evaluation(settings: Mapping[str, Any]) -> Evaluation:
    check_settings(Evaluation, settings, 'evaluation')
    evaluation = Evaluation(**settings)
    if evaluation.linear_sweep:
        given = ('compendium', 'splits')
        check_settings(score_linear_sweep, evaluation.linear_sweep, 'evaluation.linear_sweep', given)
        check_sweep(**evaluation.linear_sweep)
    check_range('evaluation', 1, bootstrap_samples=evaluation.bootstrap_samples)
    return evaluation


def _check_seeds(seeds: Any, field: str) -> None:
    """Raises unless seeds are whole numbers from 0 to 2^31 - 1, at least one, each once."""
    whole = isinstance(seeds, list) and all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f'{field}: {seeds!r} must be whole numbers from 0 to 2^31 - 1, each once.')


def refuse_other_config(config: Config, folder: epath.Path) -> None:
    """Raises InputError where the workdir was made with another config; how it is evaluated may change."""
    saved = folder / 'config.json'
    if not saved.exists():
        return
    try:
        before, now = _flat(with_new_names(json.loads(saved.read_text()), quiet=True)), _flat(config.plain)
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
