"""The summary as a Markdown table, to be read and pasted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from perturbjax.evaluation.metrics import ALL_METRICS, MORE_METRICS
from perturbjax.evaluation.scores import BASELINE
from perturbjax.evaluation.summary import CONTROLS, NEARLY_ALL
from perturbjax.evaluation.weighting import WEIGHTED_BY

# The tables show the ratio to the baseline for these metrics.
RATIOS = ('l2', 'rmse')
# The metrics of the table in the terminal, besides those that a config adds; the report and summary.csv have all.
HEADLINE = ('l2', 'rmse', 'pearson_delta', 'pearson_delta_perturbed_mean', 'weighted_r2_delta', 'pds_l1', 'des')


def best(summary: pd.DataFrame) -> pd.Series:
    """Which rows are the best of their metric, bool, among the models that predict nearly every measured value.

    A model with gaps is left out, because it answers an easier or harder question.
    """
    value = summary['value'].where((summary['coverage'] >= NEARLY_ALL) & ~summary['model'].isin(CONTROLS))
    value = value * summary['metric'].map(lambda name: ALL_METRICS[name].sign)
    return value == value.groupby(summary['metric']).transform('min')


def number(value: Any) -> str:
    """Three significant digits; `-` for a missing value."""
    if np.isnan(value):
        return '-'
    return f'{value:#.3g}'.rstrip('.') if 1e-3 <= abs(value) < 999.5 else f'{value:.3g}'


def span(low: Any, high: Any) -> str:
    """An interval as `[low, high]`; an empty string if it is not known."""
    return '' if np.isnan(low) else f'[{number(low)}, {number(high)}]'


def summary_table(summary: pd.DataFrame, width: int = 120, metrics: Sequence[str] = (*HEADLINE, *MORE_METRICS)) -> str:
    """The summary as Markdown tables, aligned so that they can be read as plain text too.

    Models are rows, metrics are columns, and a cell is `value [low, high]`. Metrics without any value are left
    out. Columns that do not fit go to another table.

    Args:
      summary: as `summary.summarise` returns it.
      width: most characters in a line.
      metrics: names of the metrics to show; all if the summary has none of them.
    """
    chosen = summary[summary['metric'].isin(metrics)]
    summary = chosen if len(chosen) else summary
    summary = summary[summary.groupby('metric')['value'].transform('count') > 0]
    shown = list(summary['metric'].unique())
    lower = [name for name in shown if ALL_METRICS[name].lower_is_better]
    higher = [name for name in shown if name not in lower]
    legend = [
        f'Lower is better: {", ".join(lower) or "none"}. Higher is better: {", ".join(higher) or "none"}.',
        'In brackets: 95% bootstrap interval over (context, perturbation); n is how many there are.',
        f'/ {BASELINE}: ratio to the {BASELINE} baseline over the same values. '
        f'`*`: best of the models with a coverage of {NEARLY_ALL:.0%} or more.',
        *(f'Profiles count by their weights ({rule}).' for rule in summary.get(WEIGHTED_BY, pd.Series()).unique()),
    ]
    return '\n\n'.join('\n'.join(lines) for lines in [*map(markdown, in_width(_columns(summary), width)), legend])


def in_width(columns: list[list[str]], width: int) -> list[list[list[str]]]:
    """The columns in as many tables as it takes for lines of that width; each begins with the first column."""
    blocks = [columns[:1]]
    for column in columns[1:]:
        if len(blocks[-1]) > 1 and len(markdown([*blocks[-1], column])[0]) > width:
            blocks.append(columns[:1])
        blocks[-1] = [*blocks[-1], column]
    return blocks


def _columns(summary: pd.DataFrame) -> list[list[str]]:
    """The columns of the table, each a head and one cell per model."""
    by_model = summary.groupby('model', sort=False)
    columns = [
        ['model', *by_model.groups],
        ['n', *by_model['perturbations'].max().astype(str)],
        ['coverage', *by_model['coverage'].first().map('{:.1%}'.format)],
    ]
    summary = summary.assign(mark=np.where(best(summary), '*', ''))
    for metric in summary['metric'].unique():
        rows = list(summary[summary['metric'] == metric].itertuples())
        columns.append([metric, *(f'{number(row.value)}{row.mark} {span(row.low, row.high)}' for row in rows)])
        if metric in RATIOS:
            ratios = (f'{number(row.ratio)} {span(row.ratio_low, row.ratio_high)}' for row in rows)
            columns.append([f'{metric} / {BASELINE}', *ratios])
    return columns


def markdown(columns: list[list[str]]) -> list[str]:
    """The lines of a Markdown table; each column is a list, head first, and is padded to its longest cell."""
    padded = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    head, *body = ('| ' + ' | '.join(row) + ' |' for row in zip(*padded))
    return [head, '|' + '|'.join('-' * (len(column[0]) + 2) for column in padded) + '|', *body]
