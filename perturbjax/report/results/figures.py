"""Figures with a row per model or metric, for the report and for notebooks.

Every function draws on the axes given, or on a new figure (`forest(results).figure`), and returns the axes.
If there is nothing to draw, it writes the reason on the axes, and `axes.has_data()` is False.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from perturbjax.evaluation.anchors import REPEAT
from perturbjax.evaluation.metrics import ALL_METRICS
from perturbjax.evaluation.results import Results
from perturbjax.evaluation.scores import BASELINE
from perturbjax.evaluation.tables import number, span
from perturbjax.report.canvas import (
    BLUE,
    GREY,
    VERMILION,
    draw_guide,
    draw_rows,
    drawing,
    nothing,
    rows_height,
)
from perturbjax.report.results.models import first_metric, is_judged, reach

# A larger ratio is drawn as an arrow at the edge.
MOST_RATIO = 2.0
# A smaller anchored score is drawn as an arrow at the edge.
LEAST_ANCHORED = -1.0
# At most this many dots in a strip plot, over all rows.
MOST_DOTS = 3000
# How far below the middle of their row marks are drawn, under the name.
_DOWN = 0.14
_INTERVAL: dict[str, Any] = {'color': 'black', 'linewidth': 1.2, 'markersize': 6, 'zorder': 1}


def forest(results: Results, axes: Axes | None = None, metric: str = '') -> Axes:
    """Draws each model's ratio to the `mean` rule as a dot with its 95% interval; a broken line marks 1.

    Dots of models to be judged are filled, those of simple rules hollow. A ratio above `MOST_RATIO` is an arrow
    at the edge.

    Args:
      results: the judged predictions.
      axes: axes to draw on; new ones if None.
      metric: a metric that has ratios; the first of them if empty.
    """
    rows = _ratios(results.summary, metric)
    with drawing(axes, rows_height(len(rows))) as axes:
        if rows.empty:
            return nothing(axes, f'No ratio to the {BASELINE} rule is known.')
        draw_guide(axes, 1, len(rows), (4, 2))
        remarks = [f'{number(row.ratio)} {span(row.ratio_low, row.ratio_high)}' for row in rows.itertuples()]
        label = f'{rows["metric"].iloc[0]} / that of {BASELINE} (left is better)'
        draw_rows(axes, list(rows['model']), remarks, list(map(is_judged, rows['model'])), label)
        for position, row in enumerate(rows.itertuples()):
            _draw_ratio(axes, position + _DOWN, row)
        axes.margins(x=0.04)
        return axes


def anchored(results: Results, axes: Axes | None = None, metric: str = '') -> Axes:
    """Draws each model's anchored score as a dot with its 95% interval, between broken lines at 0 and 1.

    0 is the mean of the training perturbations in the context, 1 a repeat of the experiment, or a perfect
    prediction where nothing has replicates. Scores below -1 are arrows at the edge.

    Args:
      results: the judged predictions.
      axes: axes to draw on; new ones if None.
      metric: a metric that has anchored scores; the first of them if empty.
    """
    rows = results.summary[results.summary['anchored'].notna()]
    rows = rows[rows['metric'] == (metric or next(iter(rows['metric']), ''))]
    with drawing(axes, rows_height(len(rows))) as axes:
        if rows.empty:
            return nothing(axes, 'No metric has a score between an uninformative prediction and a repeat.')
        draw_guide(axes, 0, len(rows), (4, 2))
        draw_guide(axes, 1, len(rows), (1, 1))
        remarks = [f'{number(row.anchored)} {span(row.anchored_low, row.anchored_high)}' for row in rows.itertuples()]
        top = 'a repeat' if rows['anchor'].iloc[0] == REPEAT else 'perfect'
        label = f'{rows["metric"].iloc[0]} (0: context mean, 1: {top})'
        draw_rows(axes, list(rows['model']), remarks, list(map(is_judged, rows['model'])), label)
        for position, row in enumerate(rows.itertuples()):
            draw_anchored(axes, position + _DOWN, row)
        axes.set_xlim(max(_left(rows[['anchored_low']]), LEAST_ANCHORED - 0.05), max(1.05, rows['anchored_high'].max()))
        return axes


def draw_anchored(axes: Axes, y: float, row: Any) -> None:
    """Draws an anchored score with its interval; `row` is one of a summary. Below `LEAST_ANCHORED` it is an arrow."""
    if row.anchored_high > LEAST_ANCHORED:
        _draw_interval(axes, y, max(row.anchored_low, LEAST_ANCHORED), row.anchored_high)
    marker = 'o' if row.anchored >= LEAST_ANCHORED else '<'
    axes.plot([max(row.anchored, LEAST_ANCHORED)], [y], marker=marker, **_mark(row.model))


def _ratios(summary: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of the models whose ratio is known, for that metric, or the first that has ratios."""
    rows = summary[np.isfinite(summary['ratio']) & (summary['model'] != BASELINE)]
    return rows[rows['metric'] == (metric or next(iter(rows['metric']), ''))]


def _draw_ratio(axes: Axes, y: float, row: Any) -> None:
    if row.ratio_low < MOST_RATIO < row.ratio_high:
        axes.plot([row.ratio_low, MOST_RATIO], [y, y], marker='|', markevery=[0], **_INTERVAL)
        axes.plot([MOST_RATIO], [y], marker='>', **_INTERVAL | {'markersize': 4})
    elif row.ratio_high <= MOST_RATIO:
        _draw_interval(axes, y, row.ratio_low, row.ratio_high)
    if row.ratio > MOST_RATIO:
        axes.plot([MOST_RATIO], [y], marker='>', **_mark(row.model))
    else:
        axes.plot([row.ratio], [y], marker='o', **_mark(row.model))


def _draw_interval(axes: Axes, y: float, low: float, high: float) -> None:
    axes.plot([low, high], [y, y], marker='|', **_INTERVAL)


def _mark(model: str) -> dict[str, Any]:
    """The style of a mark without a line; filled for models to be judged."""
    judged = is_judged(model)
    return {
        'linestyle': 'none',
        'markersize': 6,
        'markeredgecolor': BLUE if judged else 'black',
        'markerfacecolor': BLUE if judged else 'white',
    }


def strip(results: Results, axes: Axes | None = None, metric: str = '') -> Axes:
    """Draws one metric of every held-out profile as a dot, a row per model, and the median as a bar.

    If there are many profiles, a row shows some of them, evenly spread over their order. Values far beyond
    those of the simple rules are arrows at the edge.

    Args:
      results: the judged predictions.
      axes: axes to draw on; new ones if None.
      metric: one of those judged by; the first if empty.
    """
    metric = metric or first_metric(results)
    scores = results.scores[(results.scores['metric'] == metric) & np.isfinite(results.scores['value'])]
    values = {str(model): np.sort(rows['value']) for model, rows in scores.groupby('model', sort=False, observed=True)}
    with drawing(axes, rows_height(len(values))) as axes:
        if not values:
            return nothing(axes, f'{metric} is not defined for any profile.')
        remarks = [f'median {number(np.median(each))}, n = {len(each):,}' for each in values.values()]
        better = 'left' if ALL_METRICS[metric].lower_is_better else 'right'
        label = f'{metric} of a held-out profile ({better} is better)'
        draw_rows(axes, list(values), remarks, list(map(is_judged, values)), label)
        limits, most = reach(values), max(MOST_DOTS // len(values), 50)
        for row, (model, each) in enumerate(values.items()):
            _draw_dots(axes, row + _DOWN, _spread(each, most), limits, BLUE if is_judged(model) else GREY)
            middle = np.clip(np.median(each), *limits)
            axes.plot([middle, middle], row + _DOWN + np.array([-0.22, 0.22]), color='black', linewidth=2)
        return axes


def _spread(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the sorted values, evenly spread, both ends included."""
    return values[np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)]


def _draw_dots(axes: Axes, y: float, values: np.ndarray, limits: tuple[float, float], colour: str) -> None:
    """Draws sorted values as dots, moved up and down by the golden ratio: evenly, and the same on every run."""
    heights = y + 0.34 * ((np.arange(len(values)) * 0.618034) % 1 - 0.5)
    alpha = float(np.clip(10 / np.sqrt(len(values)), 0.25, 0.8))
    pen: dict[str, Any] = {'color': colour, 'markersize': 4, 'markeredgewidth': 0, 'alpha': alpha}
    low, high = limits
    for which, marker in ((values < low, '<'), (values > high, '>'), ((values >= low) & (values <= high), 'o')):
        if which.any():
            axes.plot(np.clip(values[which], low, high), heights[which], marker, **pen)


def calibration(results: Results, axes: Axes | None = None) -> Axes:
    """Draws the dynamic range fraction of every metric, from an uninformative (0) to a perfect (1) prediction.

    A dot is the technical duplicate with its 95% interval, filled if the metric is calibrated; a diamond is
    the interpolated duplicate.
    """
    rows = results.calibration[np.isfinite(results.calibration['drf'].astype(float))]
    rows = rows.assign(calibrated=rows['calibrated'].fillna(False).astype(bool))
    with drawing(axes, rows_height(len(rows))) as axes:
        if rows.empty:
            return nothing(axes, 'Calibration is not known.')
        draw_guide(axes, 0, len(rows), (4, 2))
        draw_guide(axes, 1, len(rows), (1, 1))
        remarks = [f'{number(row.drf)} {span(row.drf_low, row.drf_high)}' for row in rows.itertuples()]
        label = 'dynamic range fraction (0: uninformative, 1: perfect)'
        draw_rows(axes, list(rows['metric']), remarks, list(rows['calibrated']), label)
        for position, row in enumerate(rows.itertuples()):
            _draw_calibration(axes, position + _DOWN, row)
        axes.set_xlim(_left(rows[['drf', 'drf_low', 'drf_interpolated']]), 1.05)
        return axes


def _draw_calibration(axes: Axes, y: float, row: Any) -> None:
    if np.isfinite(row.drf_low):
        _draw_interval(axes, y, row.drf_low, row.drf_high)
    axes.plot([row.drf_interpolated], [y], 'D', markersize=4.5, markeredgecolor=VERMILION, markerfacecolor='white')
    face = BLUE if row.calibrated else 'white'
    axes.plot([row.drf], [y], 'o', markersize=6, markeredgecolor=BLUE, markerfacecolor=face)


def collapse(results: Results, axes: Axes | None = None) -> Axes:
    """Draws how alike the predicted changes of different perturbations are (dot) beside the truth (bar), by model."""
    rows = results.collapse
    rows = rows[(rows['model'] != 'truth') & np.isfinite(rows['correlation'])]
    with drawing(axes, rows_height(len(rows))) as axes:
        if rows.empty:
            return nothing(axes, 'No two predicted changes can be compared.')
        remarks = [f'{number(row.correlation)}, truth {number(row.truth)}' for row in rows.itertuples()]
        label = 'mean correlation between the changes of two perturbations'
        draw_rows(axes, list(rows['model']), remarks, list(map(is_judged, rows['model'])), label)
        for position, row in enumerate(rows.itertuples()):
            y = position + _DOWN
            axes.plot([row.truth, row.correlation], [y, y], color=GREY, linewidth=1.2, zorder=1)
            axes.plot([row.truth], [y], marker='|', markersize=11, markeredgewidth=2.5, color='black')
            axes.plot([row.correlation], [y], marker='o', **_mark(row.model))
        axes.set_xlim(_left(rows[['correlation', 'truth']]), 1.05)
        return axes


def _left(values: pd.DataFrame) -> float:
    """The left end of an axis that includes 0."""
    return min(0.0, float(np.nanmin(values.to_numpy(float)))) - 0.05
