"""The config of a run, parsed once into types; and that a workdir stays with its own."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
from etils import epath

from perturbjax.analysis.settings import Study, check_study
from perturbjax.datasets.published import check_scored
from perturbjax.errors import InputError, check_range, check_settings
from perturbjax.evaluation.linear_sweep import check_sweep, score_linear_sweep
from perturbjax.evaluation.metrics import METRICS, check_metrics
from perturbjax.plain import plain as as_plain
from perturbjax.planning.settings import Next, check_next
from perturbjax.renames import with_new_names
from perturbjax.screens.splits import SPLITS
from perturbjax.screens.weights import check_rule
from perturbjax.training.settings import TrainingSettings, check_training, training_settings

# Settings of a flat config that may differ from launch to launch: how a run is judged, what is asked of it, and where
# data lie.
_MAY_CHANGE = re.compile(r'evaluation|analysis|next(\.|$)|weights\.scores$|data\.(screens\.[^.]+\.)?path$')


class Evaluation(NamedTuple):
    """How predictions are judged.

    Attributes:
      bootstrap_samples: how often the bootstrap draws.
      metrics: names of the metrics to judge by, in the order of the tables; see `evaluation.metrics.ALL_METRICS`.
      predictions: other tools' predictions, by label; see `interop.predictions.add_configured`.
      linear_sweep: `ranks` and `ridges` of the linear model whose error is shown; see `evaluation.linear_sweep`.
      published: the data set whose published scores stand beside the run's; see `datasets.published.SCORES`.
      lacks: models that a reader will look for and the run does not have, by label, each with the reason in a sentence;
        the report tells them, but for those that `predictions` has.
    """

    bootstrap_samples: int = 2000
    metrics: Sequence[str] = tuple(METRICS)
    predictions: Mapping[str, Any] = {}
    linear_sweep: Mapping[str, Any] = {}
    published: str = ''
    lacks: Mapping[str, str] = {}


class Weights(NamedTuple):
    """By what profiles are weighted, one of `screens.weights.RULES` each; empty: they count alike.

    Attributes:
      fitting: the training profiles, when models are fitted.
      scores: the held-out profiles, when predictions are judged.
    """

    fitting: str = ''
    scores: str = ''


class Config(NamedTuple):
    """A config as the run reads it.

    Attributes:
      seed: of everything that is random; each split adds its own seed.
      data: see `readers.loading.load`.
      split: the rule's name and its settings; see `screens.splits`.
      split_seeds: one split for each.
      models: settings by label; see `models.make_models`. Their `training` are settings of this model alone.
      training: what holds for a model without a recipe of its own; see `training_of`.
      evaluation: with its defaults filled in.
      weights: of profiles, with its defaults filled in.
      analysis: None where the config asks for none.
      next: how the next measurements are chosen, with its defaults filled in.
      plain: the config as plain values, as it is saved and shown.
    """

    seed: int
    data: Mapping[str, Any]
    split: Mapping[str, Any]
    split_seeds: list[int]
    models: Mapping[str, Any]
    training: TrainingSettings
    evaluation: Evaluation
    weights: Weights
    analysis: Study | None
    next: Next
    plain: Mapping[str, Any]

    def training_of(self, label: str, recipe: Sequence[tuple[str, Any]] = ()) -> TrainingSettings:
        """The training settings of a model: its recipe, replaced by `training` and then by `models.LABEL.training`."""
        own = _of_model(self.models.get(label, {}))
        settings = training_settings(recipe, self.plain['training'], own)
        check_training(settings)
        return settings


def as_config(config: Any) -> ml_collections.ConfigDict:
    """What `get_config` returned as a config; raises InputError where it is neither a config nor a mapping."""
    if isinstance(config, ml_collections.ConfigDict):
        return config
    if not hasattr(config, 'items'):
        given = 'nothing (is a return missing?)' if config is None else f'a {type(config).__name__}'
        raise InputError(f'--config: get_config must return an ml_collections.ConfigDict or a dict, but gave {given}.')
    return ml_collections.ConfigDict(dict(config))


def _of_model(settings: Any) -> Mapping[str, Any]:
    """The training settings among those of a model."""
    return settings.get('training', {}) if isinstance(settings, Mapping) else {}


def parse(config: Mapping[str, Any] | ml_collections.ConfigDict) -> Config:
    """The config in types; raises InputError on a part or setting that nothing reads, or that is out of range."""
    # JSON has no tuples: a config that was read back equals the one that was saved.
    plain = with_new_names(json.loads(json.dumps(as_plain(as_config(config), ''))))

    def parts(
        seed: Any,
        data: Any,
        split: Any,
        models: Any,
        training: Any = None,
        evaluation: Any = None,
        weights: Any = None,
        analysis: Any = None,
        next: Any = None,
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
    for label, settings in plain['models'].items():
        check_settings(TrainingSettings, _of_model(settings), f'models.{label}.training')
    return Config(
        seed=plain['seed'],
        data=plain['data'],
        split=split,
        split_seeds=seeds,
        models=plain['models'],
        training=_training(plain['training']),
        evaluation=_evaluation(plain['evaluation']),
        weights=_weights(plain.get('weights', {})),
        analysis=_analysis(plain['analysis']),
        next=_next(plain.get('next', {})),
        plain=plain,
    )


def _analysis(settings: Mapping[str, Any]) -> Study | None:
    check_settings(Study, settings, 'analysis')
    check_study(Study(**settings))
    return Study(**settings) if settings else None


def _next(settings: Mapping[str, Any]) -> Next:
    check_settings(Next, settings, 'next')
    check_next(Next(**settings))
    return Next(**settings)


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
    if evaluation.published:
        check_scored(evaluation.published, 'evaluation.published')
    lacks = evaluation.lacks
    if not isinstance(lacks, Mapping) or not all(isinstance(each, str) for each in lacks.values()):
        raise InputError(f'evaluation.lacks: {lacks!r} must give for each model a reason, a text.')
    check_metrics(evaluation.metrics)
    check_range('evaluation', 1, bootstrap_samples=evaluation.bootstrap_samples)
    return evaluation


def _weights(settings: Mapping[str, Any]) -> Weights:
    check_settings(Weights, settings, 'weights')
    weights = Weights(**settings)
    for name, rule in weights._asdict().items():
        check_rule(rule, f'weights.{name}')
    return weights


def _check_seeds(seeds: Any, field: str) -> None:
    """Raises unless seeds are whole numbers from 0 to 2^31 - 1, at least one, each once."""
    whole = isinstance(seeds, list) and all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f'{field}: {seeds!r} must be whole numbers from 0 to 2^31 - 1, each once.')


def refuse_other_config(config: Config, folder: epath.Path, trains: bool = False) -> None:
    """Raises InputError where the workdir was made with another config.

    How it is evaluated may change, and where the data lie: whether they are the same is seen when they are read.
    A launch that trains may also ask for more epochs.
    """
    saved = folder / 'config.json'
    if not saved.exists():
        return
    try:
        before, now = _flat(with_new_names(json.loads(saved.read_text()), quiet=True)), _flat(config.plain)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(f'{saved}: it is damaged ({error}); give another --workdir.') from error
    if trains and config.training.epochs > before.get('training.epochs', TrainingSettings().epochs):
        before['training.epochs'] = now['training.epochs']
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and not _MAY_CHANGE.match(name):
            raise InputError(
                f'{folder}: this workdir was made with another config ({name} is {now.get(name, "not set")!r}, '
                f'there {before.get(name, "not set")!r}); give another --workdir, or the same config to go on.'
            )


def lasting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a workdir stays with, flat: not how it is evaluated, nor where its data lie."""
    now = _flat(with_new_names(settings, quiet=True))
    return {name: value for name, value in now.items() if not _MAY_CHANGE.match(name)}


def without_paths(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of data, flat and without where they lie."""
    return {name: value for name, value in _flat(data, 'data').items() if not _MAY_CHANGE.match(name)}


def _flat(settings: Any, name: str = '') -> dict[str, Any]:
    """Nested settings as `{'training.epochs': 50}`."""
    if not isinstance(settings, Mapping) or not settings:
        return {name: settings}
    parts = [_flat(value, f'{name}.{key}' if name else key) for key, value in settings.items()]
    return {key: value for part in parts for key, value in part.items()}


def refuse_changed(path: epath.Path, text: str) -> None:
    """Raises InputError where the file is there and says something else: the data are no longer the same."""
    if path.exists() and path.read_bytes() != text.encode():
        raise InputError(
            f'{path}: the data are not those this workdir was made with (names, values or held-out profiles differ, or '
            'the file was changed); give another --workdir, or the same data to go on.'
        )
