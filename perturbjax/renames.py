"""Settings that were renamed: the old name is accepted for one more release, with a warning that tells the new one."""

from collections.abc import Mapping
from typing import Any

from absl import logging

from perturbjax.errors import InputError

# By the path of the setting in a config; `*` stands for any one name.
RENAMED = {
    'training.batch': 'batch_size',
    'training.decay': 'lr_decay',
    'training.accumulate': 'accum_steps',
    'training.parts': 'data_chunks',
    'models.lpm.embedding': 'embedding_dim',
    'models.lpm.hidden': 'hidden_dims',
    'models.lpm.matmul': 'matmul_precision',
    'models.lpm_released.embedding': 'embedding_dim',
    'models.lpm_released.hidden': 'hidden_dims',
    'models.lpm_released.matmul': 'matmul_precision',
    'evaluation.replicates': 'bootstrap_samples',
    'evaluation.linear_grid': 'linear_sweep',
    'split.target': 'context',
    'data.missing': 'missing_values',
    'data.fields.kind': 'perturbation_type',
    'data.screens.*.missing': 'missing_values',
    'data.screens.*.fields.kind': 'perturbation_type',
}


def with_new_names(settings: Any, path: str = '', quiet: bool = False) -> Any:
    """The settings with every old name replaced by the new one.

    Args:
      settings: a config, or the part of one at `path`, as nested mappings.
      path: where in a config the settings are, such as `data`; empty for a whole config.
      quiet: no warnings; for what an earlier version saved.

    Raises:
      InputError: a setting is given by its old and its new name.
    """
    if not isinstance(settings, Mapping):
        return settings
    renamed: dict[str, Any] = {}
    for name, value in settings.items():
        here = f'{path}.{name}' if path else str(name)
        new = _new_name(here) or name
        if new != name and new in settings:
            raise InputError(f'{here}: it is called {new!r} now, and both are given; leave {name!r} out.')
        if new != name and not quiet:
            logging.warning('%s is called %r now; the old name goes with the next release.', here, new)
        renamed[new] = with_new_names(value, _path_within(path, new, value), quiet)
    return renamed


def with_released_lpm(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config of before `lpm` was mixed with rules: its `lpm` is called `lpm_released` now."""
    models = {
        label: {**settings, 'model': 'lpm_released'} if settings.get('model', label) == 'lpm' else settings
        for label, settings in config.get('models', {}).items()
    }
    return {**config, 'models': models} if models else config


def _path_within(path: str, name: str, value: Any) -> str:
    """The path of the settings `value`; of a model by its own name, for the label is the user's choice."""
    if path == 'models' and isinstance(value, Mapping):
        name = value.get('model', name)
    return f'{path}.{name}' if path else str(name)


def _new_name(here: str) -> str | None:
    """The new name of the setting at that path; None where it has kept its own."""
    names = here.split('.')
    for path, new in RENAMED.items():
        old = path.split('.')
        if len(old) == len(names) and all(each in ('*', name) for each, name in zip(old, names, strict=True)):
            return new
    return None
