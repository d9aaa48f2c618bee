"""Predicted against observed changes of single profiles: the best, the median and the worst of a model."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from perturbjax.evaluation.metrics import ALL_METRICS
from perturbjax.evaluation.results import Results
from perturbjax.evaluation.tables import number
from perturbjax.report.canvas import BLUE, drawing, nothing, shorten
from perturbjax.report.results.models import first_metric, is_judged
from perturbjax.screens.scales import find_scale

EXAMPLES = ('best', 'median', 'worst')
# Three of these figures stand side by side; a narrow figure has larger letters.
_WIDTH = 290
# At most this many readouts of a profile are drawn.
MOST_READOUTS = 500
_PROFILE = ['split', 'screen', 'context', 'perturbation']


def judged(results: Results) -> list[str]:
    """The models to be judged, in the order of the tables; the best simple rule if there are none."""
    rows = results.summary[results.summary['metric'] == first_metric(results)]
    models = [str(model) for model in rows['model'] if is_judged(model)]
    return models or [str(model) for model in rows.sort_values('ratio', kind='stable')['model'][:1]]


def examples(results: Results, model: str, metric: str = '') -> dict[str, Any]:
    """A model's best, median and worst held-out profiles: their rows in `results.scores`, by `EXAMPLES`.

    If lower is better, profiles are ordered by the ratio of the metric to that of the `mean` rule; otherwise
    by the metric itself. Two profiles are the best and the worst; a single one is the best.

    Args:
      results: the judged predictions.
      model: its label.
      metric: one of those judged by; the first if empty.
    """
    metric = metric or first_metric(results)
    rows = results.scores[(results.scores['model'] == model) & (results.scores['metric'] == metric)]
    lower = ALL_METRICS[metric].lower_is_better
    order = rows['value'] / rows['reference'] if lower else -rows['value']
    order = (order if np.isfinite(order).any() else rows['value']).replace([np.inf, -np.inf], np.nan).dropna()
    rows = rows.loc[order.sort_values(kind='stable').index]
    rank = {(len(rows) - 1) // 2: 'median', len(rows) - 1: 'worst', 0: 'best'}
    return {name: rows.iloc[row] for row, name in sorted(rank.items())} if len(rows) else {}


def changes(
    results: Results, axes: Axes | None = None, model: str = '', which: str = 'median', metric: str = ''
) -> Axes:
    """Draws predicted against observed changes from control, a dot for each readout of one held-out profile.

    The title names the profile and gives pearson_delta and l2 as in scores.csv. Perfect predictions lie on
    the broken line.

    Args:
      results: the judged predictions.
      axes: axes to draw on; new ones if None.
      model: a label; the first model to be judged if empty.
      which: best, median or worst, by the metric.
      metric: see `examples`.
    """
    model = model or judged(results)[0]
    row = examples(results, model, metric).get(which)
    with drawing(axes, _WIDTH + 40, _WIDTH) as axes:
        if row is None:
            return nothing(axes, f'There is no {which} profile of {shorten(model, 20)}.')
        observed, predicted = _changes(results, row)
        axes.axhline(0, color='#cccccc', linewidth=0.8, zorder=0)
        axes.axvline(0, color='#cccccc', linewidth=0.8, zorder=0)
        axes.axline((0, 0), slope=1, color='black', linestyle=(0, (4, 3)), linewidth=1, zorder=0)
        shown = _spread(observed)
        alpha = float(np.clip(8 / np.sqrt(len(shown) or 1), 0.35, 0.8))
        axes.plot(observed[shown], predicted[shown], 'o', color=BLUE, markersize=4, markeredgewidth=0, alpha=alpha)
        _make_square(axes, observed, predicted)
        axes.set_title(
            f'{which}: {shorten(row.perturbation, 36)}\n{shorten(row.context, 14)}; {_numbers(results, row)}'
        )
        axes.set_xlabel(f'observed change\n({_unit(results, row.screen)})')
        axes.set_ylabel('predicted change')
        return axes


def _changes(results: Results, row: Any) -> tuple[np.ndarray, np.ndarray]:
    """The observed and the predicted change from control, each `[readouts]`, for readouts where both are known."""
    predictions = results.predictions
    is_row = np.logical_and.reduce([predictions.obs[name].astype(str) == str(row[name]) for name in _PROFILE])
    profile = predictions[np.flatnonzero(is_row)[:1]]
    control = np.asarray(profile.layers['control'])[0]
    observed, predicted = (np.asarray(profile.layers[name])[0] - control for name in ('truth', row.model))
    known = np.isfinite(observed) & np.isfinite(predicted)
    return observed[known], predicted[known]


def _spread(values: np.ndarray) -> np.ndarray:
    """Positions of at most MOST_READOUTS values, evenly spread over their order, both extremes included."""
    count = min(MOST_READOUTS, len(values))
    return np.argsort(values, kind='stable')[np.linspace(0, len(values) - 1, count).round().astype(int)]


def _make_square(axes: Axes, observed: np.ndarray, predicted: np.ndarray) -> None:
    """Gives both axes the same scale."""
    both = np.concatenate([observed, predicted, [0.0]])
    low, high = float(both.min()), float(both.max())
    margin = 0.05 * (high - low) or 1.0
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    axes.set_aspect('equal', adjustable='box')


def _numbers(results: Results, row: Any) -> str:
    scores = results.scores
    same = np.logical_and.reduce([scores[name] == row[name] for name in ('model', *_PROFILE)])
    values = scores[same].set_index('metric')['value']
    correlation = values.get('pearson_delta', np.nan)
    r = f'r = {number(correlation)}' if np.isfinite(correlation) else 'r is not defined'
    return f'{r}, L2 = {number(values.get("l2", np.nan))}'


def _unit(results: Results, screen: str) -> str:
    return find_scale(results.predictions.uns['scale'][screen]).unit
