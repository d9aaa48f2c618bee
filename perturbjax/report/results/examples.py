"""Predicted against observed changes of single perturbations: the best, the median and the worst of a model."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.results import Results
from perturbjax.evaluation.tables import number
from perturbjax.report.canvas import BLUE, drawing, is_judged, nothing, shorten
from perturbjax.screens.scales import find_scale

EXAMPLES = ('best', 'median', 'worst')
# Three panels stand side by side where there is room: a narrow figure has larger letters.
_WIDTH = 290
# The readouts that are drawn of a profile.
MOST_READOUTS = 500
_PROFILE = ['split', 'screen', 'context', 'perturbation']


def judged(results: Results) -> list[str]:
    """The models that are no simple rules, in the order of tables; the best simple rule where there are none."""
    rows = results.summary[results.summary['metric'] == next(iter(METRICS))]
    models = [str(model) for model in rows['model'] if is_judged(model)]
    return models or [str(model) for model in rows.sort_values('ratio', kind='stable')['model'][:1]]


def examples(results: Results, model: str, metric: str = '') -> dict[str, Any]:
    """A model's best, median and worst held-out profiles: their rows in `results.scores`, by `EXAMPLES`.

    Profiles are ordered by the metric over that of the `mean` rule where lower is better, else by the
    metric. With two profiles there is no median; with one it is the best.

    Args:
      metric: one of METRICS; the first where it is empty.
    """
    metric = metric or next(iter(METRICS))
    rows = results.scores[(results.scores['model'] == model) & (results.scores['metric'] == metric)]
    lower = METRICS[metric].lower_is_better
    order = rows['value'] / rows['reference'] if lower else -rows['value']
    order = (order if np.isfinite(order).any() else rows['value']).replace([np.inf, -np.inf], np.nan).dropna()
    rows = rows.loc[order.sort_values(kind='stable').index]
    places = {(len(rows) - 1) // 2: 'median', len(rows) - 1: 'worst', 0: 'best'}
    return {name: rows.iloc[place] for place, name in sorted(places.items())} if len(rows) else {}


def changes(
    results: Results, axes: Axes | None = None, model: str = '', which: str = 'median', metric: str = ''
) -> Axes:
    """Predicted against observed change from control in every readout of one held-out profile.

    The title says which profile, how the two correlate (pearson_delta) and their l2, as in scores.csv. A
    perfect prediction lies on the broken line.

    Args:
      model: the first that is no simple rule where it is empty.
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
    """Observed and predicted minus control, where all are known, each `[readouts]`."""
    predictions = results.predictions
    is_row = np.logical_and.reduce([predictions.obs[name].astype(str) == str(row[name]) for name in _PROFILE])
    profile = predictions[np.flatnonzero(is_row)[:1]]
    control = np.asarray(profile.layers['control'])[0]
    observed, predicted = (np.asarray(profile.layers[name])[0] - control for name in ('truth', row.model))
    known = np.isfinite(observed) & np.isfinite(predicted)
    return observed[known], predicted[known]


def _spread(values: np.ndarray) -> np.ndarray:
    """At most MOST_READOUTS of them, evenly over their order: the extremes are among them."""
    count = min(MOST_READOUTS, len(values))
    return np.argsort(values, kind='stable')[np.linspace(0, len(values) - 1, count).round().astype(int)]


def _make_square(axes: Axes, observed: np.ndarray, predicted: np.ndarray) -> None:
    """The same scale both ways."""
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
