"""What to know before comparing runs, in sentences: what has no rank and why, and what was chosen among several."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from perturbjax.errors import listed
from perturbjax.evaluation.anchors import REPEAT
from perturbjax.evaluation.statistics import LEAST_CLUSTERS
from perturbjax.evaluation.summary import NEARLY_ALL
from perturbjax.evaluation.tables import number


def notes_on(rows: pd.DataFrame, scores: pd.DataFrame, ranked: pd.DataFrame) -> list[str]:
    """The sentences.

    Args:
      rows: the rows of one metric of all runs, with their `column`.
      scores: those that count, see `scoreboard.newest`.
      ranked: the scores that are ranked, see `scoreboard.comparable`.
    """
    return [*_left_out(scores, ranked), *_not_ranked(scores, ranked), *_apart(scores), *_several(rows, scores)]


def why_missing(row: Any) -> str:
    """Why a row has no anchored score, in a few words; None stands for a run that there is not. See `anchors`."""
    if row is None:
        return 'not run'
    if pd.isna(row.value):
        return 'not defined'
    if row.coverage < NEARLY_ALL:
        return f'coverage {row.coverage:.1%}'
    if row.perturbations < LEAST_CLUSTERS:
        return f'only {row.perturbations} perturbations'
    return (
        f'{row.metric} is not calibrated' if row.anchor == REPEAT else f'{row.metric} does not tell the anchors apart'
    )


def _left_out(scores: pd.DataFrame, ranked: pd.DataFrame) -> Iterator[str]:
    """Columns that count in no rank."""
    models = list(scores['model'].unique())
    for column, rows in scores[~scores['column'].isin(ranked.columns)].groupby('column', sort=True):
        known = set(rows['model'][rows['anchored'].notna()])
        if known:
            lack = [name for name in models if name not in known]
            yield f'{column} counts in no rank: {listed(lack)} {"has" if len(lack) == 1 else "have"} no score there.'
        else:
            # What holds for a model that predicts everything is the reason for all.
            row = next(rows.sort_values('coverage', ascending=False, kind='stable').itertuples())
            yield f'{column} counts in no rank: no model has a score there ({row.model}: {why_missing(row)}).'


def _not_ranked(scores: pd.DataFrame, ranked: pd.DataFrame) -> Iterator[str]:
    """Models without a rank, each with the first of the columns that count and where it has no score."""
    by_place: dict[tuple, Any] = {(row.column, row.model): row for row in scores.itertuples()}
    found = []
    for model in (name for name in scores['model'].unique() if name not in ranked.index):
        rows = {str(column): by_place.get((column, model)) for column in ranked.columns}
        lack = [
            f'{why_missing(row)} on {column}' for column, row in rows.items() if row is None or pd.isna(row.anchored)
        ]
        if lack:
            found.append(f'{model} ({lack[0]}' + (f', and {len(lack) - 1} more)' if len(lack) > 1 else ')'))
    if found:
        yield f'Without a rank, for want of a score on every column that counts: {", ".join(found)}.'
    if ranked.empty and len(ranked.columns):
        yield 'No model has a score on all of them, so there are no ranks; choose models or screens to compare.'


def _apart(scores: pd.DataFrame) -> Iterator[str]:
    """Screens that stand in several columns."""
    for screen, rows in scores.groupby('screen', sort=False):
        if (count := rows['column'].nunique()) > 1:
            yield f'{screen} stands in {count} columns, for their data or held-out profiles differ.'


def _several(rows: pd.DataFrame, scores: pd.DataFrame) -> Iterator[str]:
    """Models whose score in a column was chosen among several that differ, and runs of several versions."""
    chosen: dict[tuple[str, str], list[str]] = {}
    shown: dict[tuple, Any] = {(row.column, row.model): row.workdir for row in scores.itertuples()}
    for (column, model), each in rows.groupby(['column', 'model'], sort=False):
        if each['anchored'].map(number).nunique() > 1:
            chosen.setdefault((str(column), shown[column, model]), []).append(str(model))
    for (column, workdir), models in chosen.items():
        yield f'{column}: runs of {listed(models)} differ; the newest counts ({workdir}).'
    versions = scores['perturbjax'].unique()
    if len(versions) > 1:
        yield f'The runs are of several versions of perturbjax ({", ".join(versions)}); CHANGELOG.md says what moved.'
