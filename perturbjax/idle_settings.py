"""Settings that are given but do nothing, so that nobody believes they did."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from perturbjax.config import Config
from perturbjax.errors import listed
from perturbjax.models import Model
from perturbjax.models.cell_learner import SETTINGS
from perturbjax.models.linear import linear
from perturbjax.readers.naming.fields import DOSED
from perturbjax.screens.splits import VALIDATION, Split

# A setting of `data` that only acts beside another one, and what that other one must be.
_NEEDS = {
    'target_sum': ('counts', 'data.counts is not set'),
    'response': ('readouts_are', 'data.readouts_are is not set'),
}

_OF_CELLS = 'models that learn from cells have settings of their own'

# Models that have no use for weights of profiles, and why.
_UNWEIGHTED = {
    'gears': 'cells count alike',
    'cpa': 'cells count alike',
    'scgpt': 'cells count alike',
    'decoded': 'its ridge regression counts profiles alike',
    'linear_transfer': 'its axes and coefficients count profiles alike',
    'nearest': 'neighbours count by their angles alone',
}


def idle_settings(
    config: Config, splits: Sequence[Split], models: Mapping[str, Model], panels: Mapping[str, int]
) -> list[str]:
    """A sentence for every setting of the config that does nothing in this run.

    Args:
      config: parsed.
      splits: what is held out.
      models: by label.
      panels: the number of readouts of each screen, by its name.
    """
    return [
        *_training(config, splits, models),
        *_split(config, splits),
        *_data(config.data),
        *_linear(config.models, panels),
        *_weights(config),
    ]


def _training(config: Config, splits: Sequence[Split], models: Mapping[str, Model]) -> Iterator[str]:
    for label, model in models.items():
        own = config.models.get(label, {}).get('training', {}) if model.cell_learner else {}
        if idle := [name for name in own if name not in SETTINGS]:
            yield f'models.{label}.training: {listed(idle)} do nothing; {_OF_CELLS}.'
    given = config.plain['training']
    if not any(model.learner for model in models.values()):
        of_cells = any(model.cell_learner for model in models.values())
        idle = [name for name in given if not of_cells or name not in SETTINGS]
        if idle:
            why = _OF_CELLS if of_cells else 'none of the models is trained step by step'
            yield f'training: {listed(idle)} do nothing; {why}.'
        return
    if all(any((roles == VALIDATION).any() for roles in split.roles) for split in splits):
        return
    for name, effect in (('patience', 'it does nothing'), ('sweep', 'the first of its values is taken')):
        if given.get(name):
            yield (
                f'training.{name}: {effect}, because the split {config.split["name"]} holds out no profiles for '
                'validation; set split.validation.'
            )


def _split(config: Config, splits: Sequence[Split]) -> Iterator[str]:
    same = [split.seed for split in splits[1:] if _equal(split, splits[0])]
    if same:
        yield (
            f'split.seeds: the seeds {[splits[0].seed, *same]} hold out the same profiles, so only learned models, '
            'which start from another seed, differ between them.'
        )


def _equal(one: Split, other: Split) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.roles, other.roles, strict=True))


def _data(data: Mapping[str, Any], field: str = 'data') -> Iterator[str]:
    for name, source in (data.get('screens') or {}).items():
        yield from _data(source, f'{field}.screens.{name}')
    for name, (other, why) in _NEEDS.items():
        if name in data and 'preset' not in data and not data.get(other):
            yield f'{field}.{name}: it does nothing, because {why}.'
    fields = data.get('fields') or {}
    kind = fields.get('perturbation_type', '')
    if fields.get('dose') and kind not in DOSED:
        yield f'{field}.fields.dose: it does nothing, because names of the type {kind} take no dose.'


def _weights(config: Config) -> Iterator[str]:
    """Models that weights reach in part or not at all."""
    if not config.weights.fitting:
        return
    for label, given in config.models.items():
        name = given.get('model', label)
        if name in _UNWEIGHTED:
            yield f'models.{label}: weights.fitting does nothing there, because {_UNWEIGHTED[name]}.'
    if config.evaluation.linear_sweep:
        yield 'evaluation.linear_sweep: weights.fitting does nothing there; its linear models count profiles alike.'


def _linear(models: Mapping[str, Any], panels: Mapping[str, int]) -> Iterator[str]:
    """PCA of readouts has at most one component less than there are readouts."""
    usual = {name: each.default for name, each in inspect.signature(linear).parameters.items()}
    for label, given in models.items():
        settings = usual | dict(given)
        few = [name for name, size in panels.items() if size <= settings['rank'] + 1]
        if given.get('model', label) == 'linear' and settings['readout_embedding'] == 'training' and few:
            yield (
                f'models.{label}.rank: {settings["rank"]} components leave nothing out of the {panels[few[0]]} '
                f'readouts of {few[0]}; compare it with readout_embedding="identity" and a smaller ridge, such as 0.01.'
            )
