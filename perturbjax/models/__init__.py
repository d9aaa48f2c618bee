"""The models by the names that configs and tables use."""

from collections.abc import Callable, Mapping
from typing import Any

from perturbjax.errors import InputError, check_settings, pick
from perturbjax.models.additive import additive
from perturbjax.models.baselines import context_mean, mean, no_change, perturbation_mean
from perturbjax.models.linear import linear
from perturbjax.models.lpm import LearnedModel, lpm
from perturbjax.models.model import Model, Query
from perturbjax.models.transfer import linear_transfer
from perturbjax.screens.replicates import Replicates

MODELS: dict[str, Callable[..., Model | LearnedModel]] = {
    'no_change': no_change,
    'mean': mean,
    'context_mean': context_mean,
    'perturbation_mean': perturbation_mean,
    'additive': additive,
    'linear': linear,
    'linear_transfer': linear_transfer,
    'lpm': lpm,
}

# Layers of predictions that are no models.
RESERVED = ('truth', 'control', 'perturbed_mean', 'permuted_labels', *Replicates._fields)

# Every score stands beside these two.
ALWAYS = ('no_change', 'mean')


def make_models(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Model | LearnedModel]:
    """The models of a config, by label, with the two that every score stands beside.

    A label is a model's name, or its settings name the `model`. Raises InputError on an unknown
    model or setting.
    """
    labels = dict.fromkeys([*ALWAYS, *settings])
    return {label: _make(label, settings.get(label, {})) for label in labels}


def check_label(label: str) -> None:
    """Raises where a model cannot have that label: it names a layer of predictions, and a folder."""
    if label in RESERVED or label.endswith('_spread') or not label or '/' in label or label.startswith('.'):
        raise InputError(f'models: a model cannot be called {label!r}; give it another label.')


def _make(label: str, settings: Any) -> Model | LearnedModel:
    check_label(label)
    named = settings if isinstance(settings, Mapping) else {}
    factory = pick(MODELS, named.get('model', label), f'models.{label}')
    if isinstance(settings, Mapping):
        settings = {name: value for name, value in settings.items() if name != 'model'}
    check_settings(factory, settings, f'models.{label}')
    return factory(**settings)


__all__ = ['ALWAYS', 'MODELS', 'LearnedModel', 'Model', 'Query', 'check_label', 'make_models']
