"""Predictions of other tools: what they hold, what their names mean, and how our predictions are cut for them."""

import itertools
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import anndata
import numpy as np
from absl import logging
from etils import epath

from perturbjax.errors import InputError, did_you_mean, listed
from perturbjax.screens.vocabulary import combine, parts, perturbation_type, target_gene

# How other tools write control, or the part of a name that stands for "and nothing else". GEARS writes
# control as '', because it joins the parts of a name and control has none.
CONTROLS = ('control', 'ctrl', 'non-targeting', '')
CONTEXTS = ('context', 'celltype', 'cell_type')


class Foreign(NamedTuple):
    """Another tool's predictions, with the names of its file.

    Attributes:
      conditions: perturbations `[Q]` as `vocabulary.combine` writes them, without control parts.
      contexts: the contexts of the conditions, `[Q]`; None if the file names none.
      readouts: names `[M]`, each once.
      values: float32 `[Q, M]`, on the scale of the screen; NaN = not predicted.
    """

    conditions: list[str]
    contexts: list[str] | None
    readouts: list[str]
    values: np.ndarray


def canonical_condition(name: str) -> str:
    """The name of a condition with sorted parts and without control parts; `match` resolves any `_` in it.

    `'B+A'` gives `'A+B'`, `'ctrl+A'` gives `'A'`, `'ctrl'` and `''` give `'control'`.
    """
    return combine(part for part in parts(name) if part not in CONTROLS)


def match(conditions: Iterable[str], known: Iterable[str]) -> list[list[str]]:
    """The known perturbations that each canonical condition can mean: none, one, or several if it is ambiguous.

    A condition that is a known name means that perturbation. In other conditions, parts may be joined by `+` or
    `_`. Names can contain `_` too, so every way to split at `_` into parts of known perturbations counts. A
    type that only one of the two names states is no difference.
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
    return tuple(sorted(target_gene(name) for name in names))


def _ways(pieces: list[str], targets: set[str]) -> list[tuple[str, ...]]:
    """Every way to join neighbouring pieces to known genes or control; control is left out of the result."""
    if not pieces:
        return [()]
    ways = []
    for end in range(1, len(pieces) + 1):
        head = '_'.join(pieces[:end])
        if target_gene(head) in targets or head in CONTROLS[:-1]:
            heads = () if head in CONTROLS else (head,)
            ways += [(*heads, *rest) for rest in _ways(pieces[end:], targets)]
    return ways


def _same_types(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether parts with the same targets have the same types, as far as both names state types."""
    pairs = zip(*(sorted(names, key=lambda name: (target_gene(name), name)) for names in (some, others)), strict=True)
    return all('' in types or len(types) == 1 for types in ({*map(perturbation_type, pair)} for pair in pairs))


def plain_names(names: Sequence[str]) -> list[str]:
    """Perturbation names without types, as other tools know them; types stay if two names would be the same."""
    plain = [combine(map(target_gene, parts(name))) for name in names]
    return plain if len(set(plain)) == len(set(names)) else list(names)


def cut(
    predictions: anndata.AnnData, model: str, folder: epath.PathLike, by: Sequence[str]
) -> list[tuple[epath.Path, anndata.AnnData]]:
    """The profiles and readouts that a model predicts, in a block for each combination of values of `by`.

    Profiles without a prediction are left out, with a warning.

    Args:
      predictions: as `prediction.file.stack` returns them.
      model: one of the models in it.
      folder: local or `gs://`.
      by: columns of obs.

    Returns:
      Each block with its folder: `folder`, and below it one level for each column with several values, such as
      `folder/13/K562`.

    Raises:
      InputError: there is no such model, or it predicts nothing.
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
    for values, members in predictions.obs.iloc[predicted].groupby(list(by), observed=True).indices.items():
        names = [urllib.parse.quote(str(value), safe=' +,()') for value in itertools.compress(values, several)]
        rows = predicted[members]
        blocks.append((epath.Path(folder).joinpath(*names), predictions[rows, known[rows].any(axis=0)]))
    return blocks
