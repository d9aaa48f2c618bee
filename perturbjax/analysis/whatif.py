"""What if: which perturbations would move one readout of one context most, by models of several seeds."""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from perturbjax.analysis.completion import FittedModel, complete, read_model
from perturbjax.errors import InputError
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import combine, parts

TRAINING, HELD_OUT, SOME, NEVER, UNKNOWN = 'in training', 'held out', 'in some trainings', 'never', 'unknown'

# Okabe and Ito's blue and vermilion.
_UP, _DOWN = '#d55e00', '#0072b2'


def what_if(
    folders: Sequence[str | os.PathLike],
    context: str,
    readout: str,
    top: int = 10,
    perturbations: Sequence[str] = (),
    compendium: Compendium | None = None,
) -> pd.DataFrame:
    """The perturbations predicted to move a readout most: the `top` upwards and the `top` downwards.

    Args:
      folders: checkpoints `WORKDIR/checkpoints/MODEL/SPLIT_SEED`, of one model with several seeds.
      context, readout: names.
      top: in each direction; 0 = all that any model predicts.
      perturbations: names, combinations too; all single ones of the vocabularies unless given.
      compendium: what the models were fitted on; needed for models other than LPM, and to know
        what was measured.

    Returns:
      One row per perturbation, the largest change first: context, readout, perturbation, change
      (from control, mean over the models, on the screens' scale), spread (standard deviation over
      the models; NaN for one), low and high (the least and the largest), models (how many predict
      it) and measured: whether (context, perturbation) had this readout `in training` of the
      models, `in some trainings`, or measured but `held out` of all; `never` was it measured, or it
      is `unknown`: without the compendium only what a split holds out is known.

    Raises:
      InputError: a folder is no checkpoint, a name is in no vocabulary, or nothing is predicted.
    """
    if not folders:
        raise InputError('what_if: no checkpoint is given; give folders WORKDIR/checkpoints/MODEL/SEED.')
    models = [read_model(folder, compendium) for folder in folders]
    asked = list(dict.fromkeys(combine(parts(name)) for name in perturbations))
    unknown = [name for name in asked if not any(_known(model, [name]) for model in models)]
    if unknown:
        models[0].about.vocabulary.perturbation_ids(unknown)  # raises, with a hint
    changes = pd.concat([_changes(model, context, readout, asked) for model in models], axis=1).dropna(how='all')
    if changes.empty:
        raise InputError(f'what_if: no model predicts {readout!r} in {context!r}; its training measured too little.')
    table = _both_ends(_summary(changes, context, readout), top)
    measured = _measured(compendium, context, readout)
    splits = [_held_out(model.about.split, context) for model in models]
    return table.assign(measured=[_status(name, measured, splits) for name in table['perturbation']])


def _known(model: FittedModel, perturbations: Sequence[str]) -> list[str]:
    """Those perturbations that are in the model's vocabulary."""
    knows = model.about.vocabulary.knows_perturbation(perturbations)
    return list(itertools.compress(perturbations, knows))


def _changes(model: FittedModel, context: str, readout: str, asked: Sequence[str]) -> pd.Series:
    """A model's changes `[P]` of the perturbations asked for that it knows; of all its own where none are named."""
    known = _known(model, asked)
    if asked and not known:
        return pd.Series(dtype=np.float32)
    return complete(model, context, known, [readout])[readout]


def _summary(changes: pd.DataFrame, context: str, readout: str) -> pd.DataFrame:
    """Over the models, the columns of `changes`; the largest change first."""
    over_models = changes.agg(['mean', 'std', 'min', 'max', 'count'], axis=1)
    table = over_models.set_axis(['change', 'spread', 'low', 'high', 'models'], axis=1).astype({'models': int})
    table = table.sort_values('change', ascending=False, kind='stable').rename_axis('perturbation').reset_index()
    return pd.concat([pd.DataFrame({'context': context, 'readout': readout}, table.index), table], axis=1)


def _both_ends(table: pd.DataFrame, top: int) -> pd.DataFrame:
    """The first and the last `top` rows, none twice; all for 0."""
    if not top or len(table) <= 2 * top:
        return table
    return pd.concat([table.head(top), table.tail(top)], ignore_index=True)


def _measured(compendium: Compendium | None, context: str, readout: str) -> set[tuple[str, str]] | None:
    """The (screen, perturbation) that have a value of the readout in the context; None where nobody can say."""
    if compendium is None:
        return None
    names, found = compendium.vocabulary, set()
    wanted, column = names.context_ids([context])[0], names.readout_ids([readout])[0]
    for screen in compendium.screens:
        values = screen.values[:, screen.readout == column]
        rows = (screen.context == wanted) & (~np.isnan(values)).any(axis=1)
        found |= {(screen.name, name) for name in names.perturbation_names(screen.perturbation[rows])}
    return found


def _held_out(split: Mapping[str, Any], context: str) -> set[tuple[str, str]]:
    """The (screen, perturbation) of a context that a split keeps from training."""
    lists = (split.get(role, []) for role in ('validation', 'test', 'unused'))
    return {(screen, name) for rows in lists for screen, where, name in rows if where == context}


def _status(name: str, measured: set[tuple[str, str]] | None, splits: Sequence[set[tuple[str, str]]]) -> str:
    if measured is None:
        held_out = [any(each == name for _, each in split) for split in splits]
        return HELD_OUT if all(held_out) else UNKNOWN
    pairs = {pair for pair in measured if pair[1] == name}
    trained = [bool(pairs - split) for split in splits]
    if not pairs:
        return NEVER
    return TRAINING if all(trained) else SOME if any(trained) else HELD_OUT


def draw(table: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draws what `what_if` returns: a dot per perturbation, a bar for the spread over models.

    Dots are filled where the pair was in training. Without `axes` there is a figure of its own,
    `axes.figure`, to be shown or saved.
    """
    if axes is None:
        figure = Figure(figsize=(6, 1.2 + 0.25 * len(table)), layout='constrained')
        axes = figure.add_subplot()
    y = np.arange(len(table))[::-1]
    colours = np.where(table['change'] > 0, _UP, _DOWN)
    faces = np.where(table['measured'].isin([TRAINING, SOME]), colours, 'white')
    axes.axvline(0, color='#111', linewidth=0.8)
    axes.hlines(y, table['change'] - table['spread'], table['change'] + table['spread'], colors=list(colours))
    axes.scatter(table['change'], y, c=list(faces), edgecolors=list(colours), zorder=2)
    axes.set_yticks(y, list(table['perturbation']))
    readout, context = table.iloc[0][['readout', 'context']]
    axes.set_xlabel(f'predicted change of {readout} in {context}\n(filled: was in training)')
    return axes
