"""What checkpoints of earlier layouts hold, brought into the present one."""

from collections.abc import Mapping
from typing import Any

from perturbjax.models.training_counts import AXES

OLDEST_FORMAT = 2

# Format 2 counted the training profiles of each name beside the weights, under the names of the axes.
_COUNTS = {f'{axis}s': f'{axis}_counts' for axis in AXES}


def wanted_of_format_2(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Where a checkpoint of format 2 has the parts of params that are wanted, nested dicts in the present layout."""
    constants = wanted.get('constants', {})
    counts = {old: constants[new] for old, new in _COUNTS.items() if new in constants}
    return {name: each for name, each in wanted.items() if name == 'weights'} | counts


def params_of_format_2(saved: Any) -> Any:
    """The params, nested dicts; those of a closed-form model are as they were.

    Weights of a single member had no axis of members.
    """
    if not isinstance(saved, Mapping) or 'weights' not in saved:
        return saved
    weights = saved['weights']
    if weights and weights[next(name for name in ('context', *weights) if name in weights)].ndim == 2:
        weights = {name: each[None] for name, each in weights.items()}
    constants = {new: saved[old] for old, new in _COUNTS.items() if old in saved}
    return {'weights': weights, 'statistics': {}, 'constants': constants}


def state_of_format_2(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What resuming needs, nested dicts."""
    state, best = saved['state'], saved.get('best')
    renamed = {
        'weights': state['weights'],
        'statistics': {},
        'opt_state': state['moments'],
        'row_steps': state.get('seen') or {},
    }
    return {'state': renamed, 'best': None if best is None else {'weights': best, 'statistics': {}}}
