"""What a config must look like, and that a workdir stays with its own."""

import json
from collections.abc import Mapping
from typing import Any

import ml_collections
from etils import epath

from perturbjax.errors import InputError, check_settings
from perturbjax.screens.splits import SPLITS
from perturbjax.training.loop import Settings


def check(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The config as plain values; raises InputError on a part or setting that nothing reads."""
    settings = json.loads(config.to_json())

    def known(seed: Any, data: Any, split: Any, models: Any, training: Any = None, evaluation: Any = None) -> None:
        """Its parameters are a config's parts."""

    check_settings(known, settings, 'config')
    settings = {'training': {}, 'evaluation': {}} | settings
    check_settings(Settings, settings['training'], 'training')
    check_settings(evaluation_settings, settings['evaluation'], 'evaluation')
    if 'name' not in settings['split']:
        raise InputError(f"split: the setting 'name' is needed, one of {', '.join(SPLITS)}.")
    return settings


def evaluation_settings(replicates: int = 2000, predictions: Mapping[str, Any] | None = None) -> tuple[int, dict]:
    """How predictions are judged.

    Args:
      replicates: of the bootstrap.
      predictions: other tools' predictions, by label; see `interop.predictions.add_configured`.
    """
    return replicates, dict(predictions or {})


def refuse_other_config(settings: Mapping[str, Any], folder: epath.Path) -> None:
    saved = folder / 'config.json'
    if not saved.exists():
        return
    before, now = _flat(json.loads(saved.read_text())), _flat(settings)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
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
            f'{path}: the data are not those this workdir was made with (the names or the held-out profiles differ); '
            'give another --workdir, or the same data to go on.'
        )
