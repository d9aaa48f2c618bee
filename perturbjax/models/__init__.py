"""The models by the names that configs and tables use.

Reading order: model.py (the protocol), baselines.py and additive.py (the simplest rules), two_way.py, linear.py,
linear_contexts.py, transfer.py and decoded.py, flax_model.py and lpm.py (learned models), stack.py, residual.py and
mixture.py (what `lpm` adds), cells.py, paired_cells.py, gears/, cpa/ and scgpt/ (from cells).
"""

import glob
from collections.abc import Callable, Mapping
from typing import Any

from perturbjax.errors import InputError, check_settings, did_you_mean
from perturbjax.models.additive import additive
from perturbjax.models.baselines import context_mean, mean, no_change, perturbation_mean
from perturbjax.models.cpa.model import cpa
from perturbjax.models.decoded import decoded
from perturbjax.models.flax_model import flax_model
from perturbjax.models.gears.model import gears
from perturbjax.models.kernel import kernel
from perturbjax.models.linear import linear
from perturbjax.models.linear_contexts import linear_contexts
from perturbjax.models.low_rank import low_rank
from perturbjax.models.lpm import lpm, lpm_released
from perturbjax.models.model import Learner, Model, Query
from perturbjax.models.nearest import nearest
from perturbjax.models.own_readout import own_readout
from perturbjax.models.scgpt.model import scgpt
from perturbjax.models.stack import RULES, stack
from perturbjax.models.transfer import linear_transfer
from perturbjax.models.two_way import two_way
from perturbjax.screens.replicates import Replicates

MODELS: dict[str, Callable[..., Model]] = {
    **RULES,
    'linear': linear,
    'linear_transfer': linear_transfer,
    'linear_contexts': linear_contexts,
    'nearest': nearest,
    'kernel': kernel,
    'decoded': decoded,
    'gears': gears,
    'cpa': cpa,
    'scgpt': scgpt,
    'stack': stack,
    'lpm': lpm,
    'lpm_released': lpm_released,
}

# Layers of predictions that are not models.
RESERVED = ('truth', 'control', 'perturbed_mean', 'permuted_labels', *Replicates._fields)

# Every score stands beside these two.
ALWAYS = ('no_change', 'mean')


def register_model(name: str, factory: Callable[..., Model]) -> None:
    """Makes a model of your own known by a name, for configs and for the checkpoints of such runs.

    Args:
      name: what a config calls it, as in `config.models = {name: {...}}`.
      factory: makes the model; its keyword arguments, with annotations, are the settings that a config may give.

    Raises:
      InputError: the name is taken, or it cannot name a layer of predictions.

    Example:
      >>> def shrunken_mean(share: float = 0.9) -> Model:
      ...     rule = mean()
      ...     return Model(rule.fit, lambda params, query: share * rule.predict(params, query))
      >>> register_model('shrunken_mean', shrunken_mean)
    """
    check_label(name)
    if MODELS.get(name, factory) is not factory:
        raise InputError(f'models: there is a model {name!r} already; register yours by another name.')
    MODELS[name] = factory


def make_models(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Model]:
    """The models of a config, by label, with the two that every score stands beside.

    A label is a model's name, or its settings name the `model`. Raises InputError on an unknown
    model or setting.
    """
    labels = dict.fromkeys([*ALWAYS, *settings])
    return {label: _make(label, settings.get(label, {})) for label in labels}


def check_label(label: str) -> None:
    """Raises InputError where a model cannot have that label, which names a layer of predictions and a folder."""
    # Orbax cannot save under a name with *, ? or [.
    is_folder = bool(label) and not label.startswith('.') and '/' not in label and not glob.has_magic(label)
    if label in RESERVED or label.endswith('_spread') or not is_folder:
        raise InputError(f'models: a model cannot be called {label!r}; give it another label.')


def _make(label: str, settings: Any) -> Model:
    check_label(label)
    named = settings if isinstance(settings, Mapping) else {}
    name = named.get('model', label)
    if name not in MODELS:
        raise InputError(
            f'models.{label}: no such choice {name!r}; {did_you_mean(name, MODELS)} A model of your own is registered '
            'first, by perturbjax.register_model, or given to run by models={...}.'
        )
    factory = MODELS[name]
    if isinstance(settings, Mapping):
        settings = {name: value for name, value in settings.items() if name not in ('model', 'training')}
    check_settings(factory, settings, f'models.{label}')
    try:
        return factory(**settings)
    except InputError as error:  # says the model's name; the user knows it by its label
        raise InputError(str(error).replace(f'models.{name}', f'models.{label}', 1)) from error


__all__ = [
    'ALWAYS',
    'MODELS',
    'Learner',
    'Model',
    'Query',
    'additive',
    'check_label',
    'context_mean',
    'cpa',
    'decoded',
    'flax_model',
    'gears',
    'kernel',
    'linear',
    'linear_contexts',
    'linear_transfer',
    'low_rank',
    'lpm',
    'lpm_released',
    'make_models',
    'mean',
    'nearest',
    'no_change',
    'own_readout',
    'perturbation_mean',
    'register_model',
    'scgpt',
    'stack',
    'two_way',
]
