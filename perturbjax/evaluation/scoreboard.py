"""Many runs compared: the anchored scores of models on screens, and their mean ranks.

A column of the board is one screen with one split: rows of runs are compared only where data and split have the same
hash. Of several runs of a model in a column the newest counts, not the best, for a choice by the test score flatters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from perturbjax.errors import InputError, did_you_mean
from perturbjax.evaluation.scoreboard_notes import notes_on
from perturbjax.evaluation.summary import CONTROLS

# What two runs must have in common to be compared.
SAME = ('data_hash', 'split_hash')
# What is added to the name of a screen, in this order, until no two columns have one name.
_APART = ('split', 'contexts', 'split_hash', 'data_hash')


class Board(NamedTuple):
    """The comparison of many runs by one metric.

    Attributes:
      metric: its name.
      scores: a row per model and column: `column`, its name, and the row of the run that counts, see
        `ledger.runs.COLUMNS`. Models are in the order of their rank, those without one last.
      ranks: see `mean_ranks`.
      notes: sentences about what was left out, and what to know before comparing.
    """

    metric: str
    scores: pd.DataFrame
    ranks: pd.DataFrame
    notes: Sequence[str]


def compare(frame: pd.DataFrame, metric: str = 'l2', models: Sequence[str] = (), screens: Sequence[str] = ()) -> Board:
    """Compares the runs of a ledger by the anchored score of a metric.

    Ranks are among models that all have a score on the same columns. If `models` is empty, all columns are kept in
    which any model has a score, and the models with a score on all of them are ranked; else these models are, on
    the columns on which all of them have one.

    Args:
      frame: as `ledger.read` returns it.
      metric: name of a metric.
      models: the models to compare; all, without controls, if empty.
      screens: names of screens or columns; all if empty.

    Raises:
      InputError: a name is not in the ledger.
    """
    rows = frame.assign(column=column_names(frame))
    rows = rows[~rows['model'].isin(CONTROLS)]
    for names, known, what in (
        ((metric,), rows['metric'], 'metric'),
        (models, rows['model'], 'model'),
        (screens, pd.concat([rows['screen'], rows['column']]), 'screen'),
    ):
        _check_known(names, list(known.unique()), what)
    rows = rows[rows['metric'] == metric]
    if models:
        rows = rows[rows['model'].isin(models)]
    if screens:
        rows = rows[rows['screen'].isin(screens) | rows['column'].isin(screens)]
    scores = newest(rows)
    ranked = comparable(scores, bool(models))
    ranks = mean_ranks(ranked)
    order = list(dict.fromkeys([*ranks['model'], *scores['model']]))
    scores = scores.sort_values('model', key=lambda names: names.map(order.index), kind='stable')
    return Board(metric, scores.reset_index(drop=True), ranks, notes_on(rows, scores, ranked))


def _check_known(names: Sequence[str], known: list[str], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f'the ledger has no {what} {unknown[0]!r}; {did_you_mean(unknown[0], known)}')


def column_names(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's column: that of the screen, and what it takes to tell it from others."""
    names, columns = _shortened(frame['screen']), frame[SAME[0]] + ' ' + frame[SAME[1]]
    for part in _APART:
        several = columns.groupby(names).transform('nunique') > 1
        tells = frame[part].groupby(names).transform('nunique') > 1
        names = names.where(~(several & tells), names + ', ' + frame[part].str[: 40 if part in _APART[:2] else 8])
    return names


def _shortened(names: pd.Series, most: int = 32) -> pd.Series:
    """Names without their middle, where they are long and this leaves them different."""
    short = names.where(names.str.len() <= most, names.str[: most - 11] + '…' + names.str[-10:])
    return short.where(names.groupby(short).transform('nunique') == 1, names)


def newest(rows: pd.DataFrame) -> pd.DataFrame:
    """The row that counts for each column and model: evaluated last, or added last in the same minute."""
    rows = rows.sort_values('evaluated', kind='stable').drop_duplicates(['column', 'model'], keep='last')
    return rows.sort_values('column', kind='stable').reset_index(drop=True)


def comparable(scores: pd.DataFrame, all_models: bool = False) -> pd.DataFrame:
    """The anchored scores of models x columns of which none is missing, so that they can be ranked.

    Args:
      scores: as `newest` returns it.
      all_models: keep all models, and the columns in which all have a score; otherwise the columns in which any model
        has one, and the models that have one in all of them.
    """
    grid = scores.pivot(index='model', columns='column', values='anchored').dropna(axis='columns', how='all')
    return grid.dropna(axis='columns' if all_models else 'index', how='any')


def mean_ranks(grid: pd.DataFrame) -> pd.DataFrame:
    """The ranks of models, the best first; the highest score has rank 1, and equal scores share the mean of theirs.

    Args:
      grid: scores of models x columns, none missing.

    Returns:
      Columns model, mean_rank, best_rank, worst_rank, screens (the number of columns); empty without any column.

    Example:
      >>> grid = pd.DataFrame({'norman': [0.5, 0.5, 0.1], 'horn': [0.2, 0.9, 0.1]}, index=['lpm', 'low_rank', 'linear'])
      >>> mean_ranks(grid)[['model', 'mean_rank']].values.tolist()
      [['low_rank', 1.25], ['lpm', 1.75], ['linear', 3.0]]
    """
    ranks = grid.rank(ascending=False)
    table = pd.DataFrame(
        {'mean_rank': ranks.mean(axis=1), 'best_rank': ranks.min(axis=1), 'worst_rank': ranks.max(axis=1)}
    )
    table = table.dropna().sort_values('mean_rank', kind='stable').rename_axis('model').reset_index()
    return table.assign(screens=len(grid.columns))
