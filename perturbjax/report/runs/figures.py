"""One figure of many runs: a panel for each screen, a row for each model, and a panel of ranks."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from perturbjax.evaluation.anchors import PERFECT
from perturbjax.evaluation.scoreboard import Board
from perturbjax.evaluation.scoreboard_table import by_column, models_with_scores
from perturbjax.report.canvas import BLUE, GREY, drawing, nothing, shorten
from perturbjax.report.results.figures import LEAST_ANCHORED, draw_anchored
from perturbjax.report.results.models import is_judged

# At most this many panels stand side by side.
_ABREAST = 4
# In points: a panel, the names beside it, a row, and what is above and below the rows.
_PANEL, _NAMES, _ROW, _AROUND = 130, 110, 17, 84

_MISSING: dict[str, Any] = {
    'ha': 'center',
    'va': 'center',
    'size': 8.5,
    'color': '#6b6b6b',
    'bbox': {'pad': 1, 'facecolor': 'white', 'linewidth': 0},
}


def scoreboard(board: Board) -> Axes:
    """Draws each model's anchored score with its interval, a panel per column, and the ranks in the first panel.

    Dots of models to be judged are filled, those of simple rules hollow. Broken lines mark 0, the mean of the
    context, and 1, a repeat of the experiment, or a perfect prediction where the axis says so. Scores below -1 are
    arrows. In the panel of ranks a dot is the mean, and the bar goes from the best to the worst rank.

    Args:
      board: as `evaluation.scoreboard.compare` returns it.

    Returns:
      The first panel; `scoreboard(board).figure` is the whole.
    """
    models, columns = models_with_scores(board), by_column(board)
    has_ranks = bool(len(board.ranks))
    count = len(columns) + has_ranks
    abreast, lines = min(count, _ABREAST), math.ceil(count / _ABREAST)
    with drawing(None, max(lines, 1) * (_ROW * len(models) + _AROUND), _NAMES + _PANEL * max(abreast, 2)) as axes:
        if not columns:
            return nothing(axes, f'No model has an anchored score by {board.metric}.')
        figure: Any = axes.figure
        axes.remove()
        figure.suptitle(f'Anchored score by {board.metric}', x=0.01, ha='left', size=10)
        panels = list(figure.subplots(lines, abreast, sharey=True, squeeze=False).flat)
        for panel in panels[count:]:
            panel.remove()
        _name_rows(panels[0], models)
        if has_ranks:
            _draw_ranks(panels[0], board.ranks, models)
        limits = _limits(board.scores)
        for panel, (column, rows) in zip(panels[has_ranks:count], columns.items(), strict=True):
            _draw_column(panel, column, rows, models)
            panel.set_xlim(*limits)
        return panels[0]


def _name_rows(axes: Axes, models: list[str]) -> None:
    """Names the rows of all panels, which share them."""
    axes.set_yticks(range(len(models)), [shorten(model, 18) for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)


def _draw_ranks(axes: Axes, ranks: pd.DataFrame, models: list[str]) -> None:
    row: Any
    for row in ranks.itertuples():
        y = models.index(row.model)
        axes.plot([row.best_rank, row.worst_rank], [y, y], color=GREY, linewidth=3, solid_capstyle='round', zorder=1)
        face = BLUE if is_judged(row.model) else 'white'
        axes.plot([row.mean_rank], [y], 'D', markersize=6, markeredgecolor=BLUE, markerfacecolor=face)
        axes.text(1.04, y, f'{row.mean_rank:.2f}', transform=axes.get_yaxis_transform(), va='center')
    axes.set_xlim(0.7, len(ranks) + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4, min_n_ticks=1))
    _dress(axes, 'mean rank', f'over {ranks["screens"].iloc[0]}; left is better', len(models))


def _draw_column(axes: Axes, column: str, rows: Mapping[str, Any], models: list[str]) -> None:
    axes.axvline(0, color='black', linewidth=1, linestyle=(0, (4, 2)), zorder=0)
    axes.axvline(1, color='black', linewidth=1, linestyle=(0, (1, 1)), zorder=0)
    for y, model in enumerate(models):
        row = rows.get(model)
        if row is None or np.isnan(row.anchored):
            why = 'not run' if row is None else 'no score'
            axes.text(0.5, y, why, **_MISSING, transform=axes.get_yaxis_transform())
        else:
            draw_anchored(axes, y, row)
    any_row = next(iter(rows.values()))
    top = 'perfect' if any_row.anchor == PERFECT else 'a repeat'
    _dress(axes, column, f'1: {top}; n = {max(row.perturbations for row in rows.values())}', len(models))


def _dress(axes: Axes, title: str, label: str, rows: int) -> None:
    """What all panels have: a title, a label, and a faint line through each row, by which the eye finds its name."""
    axes.hlines(range(rows), 0, 1, color='#e4e4e4', linewidth=0.8, transform=axes.get_yaxis_transform(), zorder=-1)
    axes.set_title('\n'.join(textwrap.wrap(shorten(title, 40), 21)))
    axes.set_xlabel(label)
    axes.tick_params(axis='y', length=0)
    axes.spines['left'].set_visible(False)


def _limits(scores: pd.DataFrame) -> tuple[float, float]:
    """The limits of all panels, so that a score lies at the same place in each."""
    low, high = scores['anchored_low'].min(), scores['anchored_high'].max()
    return max(min(0.0, low), LEAST_ANCHORED) - 0.08, max(1.0, high) + 0.08
