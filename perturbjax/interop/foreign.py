"""Predictions between us and other tools: what they are, whom their names mean, how ours are cut for them."""

import itertools
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import anndata
import numpy as np
from absl import logging
from etils import epath

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.vocabulary import combine, parts, perturbation_type, target

# How other tools write control, or the part of a name that stands for "and nothing else"; GEARS
# joins the parts of control, of which there are none, to ''.
CONTROLS = ('control', 'ctrl', 'non-targeting', '')
CONTEXTS = ('context', 'celltype', 'cell_type')


class Foreign(NamedTuple):
    """Another tool's predictions, as its file names them.

    Attributes:
      conditions: perturbations `[Q]` as `vocabulary.combine` writes them, without control parts.
      contexts: their contexts `[Q]`; None where the file names none.
      readouts: names `[M]`, each once.
      values: float32 `[Q, M]`, on the scale of the screen; NaN = not predicted.
    """

    conditions: list[str]
    contexts: list[str] | None
    readouts: list[str]
    values: np.ndarray


def canonical(name: str) -> str:
    """A condition with its parts sorted and control parts left out; `_` stays, for `match` to resolve.

    `'B+A'` gives `'A+B'`, `'ctrl+A'` gives `'A'`, `'ctrl'` and `''` give `'control'`.
    """
    return combine(part for part in parts(name) if part not in CONTROLS)


def match(conditions: Iterable[str], known: Iterable[str]) -> list[list[str]]:
    """The known perturbations that each canonical condition can mean: none, one, or more (it is ambiguous).

    A condition that is known means itself. Of others the parts may be joined by `+` or `_`, which
    names hold too: every way to split at `_` into parts of known perturbations counts. A type that
    one of the two names leaves out is no difference.
    """
    by_targets: dict[tuple[str, ...], list[str]] = {}
    for name in dict.fromkeys(known):
        by_targets.setdefault(_targets(parts(name)), []).append(name)
    everyone = {name for names in by_targets.values() for name in names}
    targets = set(itertools.chain(*by_targets))

    def meanings(condition: str) -> list[str]:
        if condition in everyone:
            return [condition]
        ways = itertools.product(*(_ways(part.split('_'), targets) for part in parts(condition)))
        readings = [tuple(itertools.chain(*way)) for way in ways]
        found = [(way, name) for way in readings for name in by_targets.get(_targets(way), ())]
        return sorted({name for way, name in found if _same_types(way, parts(name))})

    return [meanings(condition) for condition in conditions]


def _targets(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(target(name) for name in names))


def _ways(pieces: list[str], targets: set[str]) -> list[tuple[str, ...]]:
    """Every way to join neighbouring pieces so that each is a known target, or control, which is left out."""
    if not pieces:
        return [()]
    ways = []
    for place in range(1, len(pieces) + 1):
        head = '_'.join(pieces[:place])
        if target(head) in targets or head in CONTROLS[:-1]:
            heads = () if head in CONTROLS else (head,)
            ways += [(*heads, *rest) for rest in _ways(pieces[place:], targets)]
    return ways


def _same_types(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether parts with the same targets have the same types, as far as both say them."""
    pairs = zip(*(sorted(names, key=lambda name: (target(name), name)) for names in (some, others)), strict=True)
    return all('' in types or len(types) == 1 for types in ({*map(perturbation_type, pair)} for pair in pairs))


def plain_names(names: Sequence[str]) -> list[str]:
    """Perturbations without types, as other tools know them; with types where two would else be the same."""
    plain = [combine(map(target, parts(name))) for name in names]
    return plain if len(set(plain)) == len(set(names)) else list(names)


def cut(
    predictions: anndata.AnnData, model: str, folder: epath.PathLike, by: Sequence[str]
) -> list[tuple[epath.Path, anndata.AnnData]]:
    """The profiles and readouts that a model predicts, a block for each value of the columns `by` of obs.

    Each block comes with its folder: `folder` itself, and within it one for each column that has
    several values, as `folder/13/K562`. What the model does not predict is left out and told.
    Raises InputError where that is everything, or there is no such model.
    """
    models = [str(name) for name in predictions.uns['models']]
    if model not in models:
        raise InputError(f'predictions: there is no model {model!r}; {did_you_mean(model, models)}')
    known = ~np.isnan(predictions.layers[model])
    predicted = np.flatnonzero(known.any(axis=1))
    if not len(predicted):
        raise InputError(f'predictions: {model!r} predicts nothing, so there is nothing to write.')
    if len(predicted) < len(known):
        silent = predictions.obs['perturbation'][~known.any(axis=1)]
        logging.warning('%s: %d profiles without a prediction are left out: %s.', model, len(silent), listed(silent))
    several = [predictions.obs[name].nunique() > 1 for name in by]
    blocks = []
    for values, places in predictions.obs.iloc[predicted].groupby(list(by), observed=True).indices.items():
        names = [urllib.parse.quote(str(value), safe=' +,()') for value in itertools.compress(values, several)]
        rows = predicted[places]
        blocks.append((epath.Path(folder).joinpath(*names), predictions[rows, known[rows].any(axis=0)]))
    return blocks
