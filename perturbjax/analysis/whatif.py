"""What if: which perturbations would change a readout of a context most, predicted by models of several seeds."""

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
from perturbjax.models import Model
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import combine, parts

TRAINING, HELD_OUT, SOME, NEVER, UNKNOWN = 'in training', 'held out', 'in some trainings', 'never', 'unknown'

# Okabe and Ito's vermilion and blue.
_UP, _DOWN = '#d55e00', '#0072b2'


def what_if(
    folders: str | os.PathLike | Sequence[str | os.PathLike],
    context: str,
    readout: str,
    top: int = 10,
    perturbations: Sequence[str] = (),
    compendium: Compendium | None = None,
    models: Mapping[str, Model] | None = None,
) -> pd.DataFrame:
    """The perturbations that are predicted to change a readout most, `top` upwards and `top` downwards.

    Args:
      folders: a checkpoint `WORKDIR/checkpoints/MODEL/SPLIT_SEED`, or those of several seeds of one model.
      context: name of the context.
      readout: name of the readout.
      top: number of perturbations in each direction; 0 for all that any model predicts.
      perturbations: names, also of combinations; all single perturbations of the vocabularies if empty.
      compendium: the screens that the models were fitted on. Needed for closed-form models, and to tell what
        was measured.
      models: models of your own by label, as they were given to `run`; see `completion.read_model`.

    Returns:
      One row per perturbation, the largest change first. Columns: context, readout, perturbation; change (from
      control, mean over the models, on the scale of the screens); spread (standard deviation over the models;
      NaN for one model); low and high (the smallest and the largest change); models (how many predict it); and
      measured, which says whether this readout of (context, perturbation) was `in training` of all models, `in
      some trainings`, measured but `held out` of all, or `never` measured. Without the compendium only what a
      split holds out can be told, and the rest is `unknown`.

    Raises:
      InputError: a folder is no checkpoint, a name is in no vocabulary, or nothing is predicted.
    """
    if isinstance(folders, str | os.PathLike):
        folders = [folders]
    if not folders:
        raise InputError('what_if: no checkpoint is named; give folders WORKDIR/checkpoints/MODEL/SPLIT_SEED.')
    fitted = [read_model(folder, compendium, models) for folder in folders]
    asked = list(dict.fromkeys(combine(parts(name)) for name in perturbations))
    unknown = [name for name in asked if not any(_known(model, [name]) for model in fitted)]
    if unknown:
        fitted[0].about.vocabulary.perturbation_ids(unknown)  # raises, with a hint
    changes = pd.concat([_changes(model, context, readout, asked) for model in fitted], axis=1).dropna(how='all')
    if changes.empty:
        raise InputError(f'what_if: no model predicts {readout!r} in {context!r}; too little was measured.')
    table = _both_ends(_summary(changes, context, readout), top)
    measured = _measured(compendium, context, readout)
    splits = [_held_out(model.about.split, context) for model in fitted]
    return table.assign(measured=[_status(name, measured, splits) for name in table['perturbation']])


def _known(model: FittedModel, perturbations: Sequence[str]) -> list[str]:
    """The perturbations that are in the vocabulary of the model."""
    knows = model.about.vocabulary.knows_perturbation(perturbations)
    return list(itertools.compress(perturbations, knows))


def _changes(model: FittedModel, context: str, readout: str, asked: Sequence[str]) -> pd.Series:
    """A model's changes `[P]` for the perturbations asked for that it knows, or for all that it knows if none."""
    known = _known(model, asked)
    if asked and not known:
        return pd.Series(dtype=np.float32)
    return complete(model, context, known, [readout])[readout]


def _summary(changes: pd.DataFrame, context: str, readout: str) -> pd.DataFrame:
    """Summarises `changes` (perturbations x models) over the models; the largest change comes first."""
    over_models = changes.agg(['mean', 'std', 'min', 'max', 'count'], axis=1)
    table = over_models.set_axis(['change', 'spread', 'low', 'high', 'models'], axis=1).astype({'models': int})
    table = table.sort_values('change', ascending=False, kind='stable').rename_axis('perturbation').reset_index()
    return pd.concat([pd.DataFrame({'context': context, 'readout': readout}, table.index), table], axis=1)


def _both_ends(table: pd.DataFrame, top: int) -> pd.DataFrame:
    """The first and the last `top` rows, no row twice; all rows if `top` is 0."""
    if not top or len(table) <= 2 * top:
        return table
    return pd.concat([table.head(top), table.tail(top)], ignore_index=True)


def _measured(compendium: Compendium | None, context: str, readout: str) -> set[tuple[str, str]] | None:
    """The (screen, perturbation) with a value of the readout in the context; None without the compendium."""
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
    """Draws the table of `what_if`: a dot for each perturbation, with a bar for the spread over models.

    Dots are filled if the pair was in training.

    Args:
      table: as `what_if` returns it.
      axes: axes to draw on; a new figure, `axes.figure`, if None.
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
    readout, context = map(_short, table.iloc[0][['readout', 'context']])
    names = list(map(_short, table['perturbation']))
    axes.set_yticks(y, names, parse_math=False)  # a name such as `a$b$` is no formula
    axes.set_xlabel(f'predicted change of {readout} in {context}\n(filled: was in training)', parse_math=False)
    return axes


def _short(name: str) -> str:
    """The name, of which the middle is left out where it is very long."""
    return name if len(name) <= 60 else f'{name[:40]}…{name[-19:]}'
