"""Perturbation models in JAX, judged beside the simplest rules that could have answered.

Names are imported when they are first used, so that `import perturbjax` is quick.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perturbjax import ledger, report
    from perturbjax.analysis.alignment import align as align_embeddings
    from perturbjax.analysis.deltas import mean_deltas
    from perturbjax.analysis.embeddings import axis_table, read_embeddings
    from perturbjax.analysis.targets import target_recall
    from perturbjax.analysis.vectors import neighbours, principal_components
    from perturbjax.analysis.whatif import draw as draw_what_if
    from perturbjax.analysis.whatif import what_if
    from perturbjax.errors import InputError
    from perturbjax.experiment import run
    from perturbjax.models import (
        Learner,
        Model,
        Query,
        additive,
        context_mean,
        cpa,
        decoded,
        flax_model,
        gears,
        kernel,
        linear,
        linear_contexts,
        linear_transfer,
        low_rank,
        lpm,
        mean,
        nearest,
        no_change,
        own_readout,
        perturbation_mean,
        register_model,
        scgpt,
        two_way,
    )
    from perturbjax.models.flax_model import Sizes
    from perturbjax.readers.loading import load
    from perturbjax.screens.simulation import simulate

    __version__: str

# Where each name is defined. The imports above are for type checkers and editors alone.
_SURFACE = {
    'run': 'perturbjax.experiment:run',
    'load': 'perturbjax.readers.loading:load',
    'simulate': 'perturbjax.screens.simulation:simulate',
    'report': 'perturbjax.report:',
    'ledger': 'perturbjax.ledger:',
    'InputError': 'perturbjax.errors:InputError',
    # Models.
    'Model': 'perturbjax.models:Model',
    'Learner': 'perturbjax.models:Learner',
    'Query': 'perturbjax.models:Query',
    'Sizes': 'perturbjax.models.flax_model:Sizes',
    'register_model': 'perturbjax.models:register_model',
    'flax_model': 'perturbjax.models:flax_model',
    'no_change': 'perturbjax.models:no_change',
    'mean': 'perturbjax.models:mean',
    'context_mean': 'perturbjax.models:context_mean',
    'perturbation_mean': 'perturbjax.models:perturbation_mean',
    'additive': 'perturbjax.models:additive',
    'linear': 'perturbjax.models:linear',
    'linear_contexts': 'perturbjax.models:linear_contexts',
    'linear_transfer': 'perturbjax.models:linear_transfer',
    'nearest': 'perturbjax.models:nearest',
    'kernel': 'perturbjax.models:kernel',
    'decoded': 'perturbjax.models:decoded',
    'gears': 'perturbjax.models:gears',
    'cpa': 'perturbjax.models:cpa',
    'scgpt': 'perturbjax.models:scgpt',
    'own_readout': 'perturbjax.models:own_readout',
    'two_way': 'perturbjax.models:two_way',
    'low_rank': 'perturbjax.models:low_rank',
    'lpm': 'perturbjax.models:lpm',
    # Embeddings, and what they know.
    'read_embeddings': 'perturbjax.analysis.embeddings:read_embeddings',
    'axis_table': 'perturbjax.analysis.embeddings:axis_table',
    'align_embeddings': 'perturbjax.analysis.alignment:align',
    'mean_deltas': 'perturbjax.analysis.deltas:mean_deltas',
    'neighbours': 'perturbjax.analysis.vectors:neighbours',
    'principal_components': 'perturbjax.analysis.vectors:principal_components',
    'target_recall': 'perturbjax.analysis.targets:target_recall',
    'what_if': 'perturbjax.analysis.whatif:what_if',
    'draw_what_if': 'perturbjax.analysis.whatif:draw',
}

__all__ = [
    'InputError',
    'Learner',
    'Model',
    'Query',
    'Sizes',
    '__version__',
    'additive',
    'align_embeddings',
    'axis_table',
    'context_mean',
    'cpa',
    'decoded',
    'draw_what_if',
    'flax_model',
    'gears',
    'kernel',
    'ledger',
    'linear',
    'linear_contexts',
    'linear_transfer',
    'load',
    'low_rank',
    'lpm',
    'mean',
    'mean_deltas',
    'nearest',
    'neighbours',
    'no_change',
    'own_readout',
    'perturbation_mean',
    'principal_components',
    'read_embeddings',
    'register_model',
    'report',
    'run',
    'scgpt',
    'simulate',
    'target_recall',
    'two_way',
    'what_if',
]


def __getattr__(name: str) -> Any:
    if name == '__version__':
        value: Any = _version()
    elif name in _SURFACE:
        value = pkgutil.resolve_name(_SURFACE[name])
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    """The version that is installed; `unknown` for a copy of the source that is not."""
    import importlib.metadata

    try:
        return importlib.metadata.version('perturbjax')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown'
