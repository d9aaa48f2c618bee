"""Figures with a line per model, told apart by colour, dashes and marker; called like those of `figures`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from perturbjax.evaluation.results import Results
from perturbjax.evaluation.scores import BASELINE
from perturbjax.report.canvas import PENS, draw_line, drawing, key, key_height, nothing
from perturbjax.report.results.models import pens, reach

_HEIGHT = 190
_RANKINGS = {'control': 'highest in control', 'delta': 'that change most'}
# The curves of several splits are averaged at these true positive rates.
_RATES = np.linspace(0.01, 1, 100)


def readout_curve(results: Results, axes: Axes | None = None, metric: str = 'l2', ranking: str = 'control') -> Axes:
    """Draws a metric over the first n readouts against n (logarithmic), a line per model.

    Lines far beyond those of the simple rules leave the axes.

    Args:
      results: the judged predictions.
      axes: axes to draw on; new ones if None.
      metric: l2 or pearson_delta.
      ranking: which readouts come first: control (highest in control) or delta (the largest true change).
    """
    rows = results.curves
    rows = rows[(rows['metric'] == metric) & (rows['ranking'] == ranking) & np.isfinite(rows['value'].astype(float))]
    lines = {str(model): each.set_index('n')['value'] for model, each in rows.groupby('model', sort=False)}
    title = f'{metric} over the n readouts {_RANKINGS[ranking]}'
    axes = _draw(axes, lines, pens(results), title, 'n', log=('x',))
    _cut(axes, {name: line.to_numpy(float) for name, line in lines.items()})
    return axes


def _cut(axes: Axes, values: Mapping[str, np.ndarray]) -> None:
    """Limits the y axis, so that lines far beyond those of the simple rules leave the axes."""
    low, high = reach(values)
    inside = [value for each in values.values() for value in each if low <= value <= high]
    if len(inside) < sum(map(len, values.values())):
        margin = 0.05 * (max(inside) - min(inside))
        axes.set_ylim(min(inside) - margin, max(inside) + margin)


def interaction_curve(results: Results, axes: Axes | None = None, screen: str = '') -> Axes:
    """Draws how well models predict the called interactions: true positive rate by false discovery proportion.

    A line is the mean over splits of the false discovery proportion at each true positive rate. The vertical
    broken line is chance. Further left and up is better.

    Args:
      results: the judged predictions.
      axes: axes to draw on; new ones if None.
      screen: its name; the first if empty.
    """
    doubles = results.doubles
    if doubles is None or doubles.curves.empty:
        why = 'No combination beside an additive model is held out.' if doubles is None else 'No null could be fitted.'
        with drawing(axes, 60) as axes:
            return nothing(axes, why)
    screen = screen or str(doubles.curves['screen'].iloc[0])
    rows = doubles.curves[doubles.curves['screen'] == screen].dropna()
    lines = {str(model): _mean_curve(each) for model, each in rows.groupby('model', sort=False, observed=True)}
    axes = _draw(axes, lines, pens(results), 'true positive rate', 'false discovery proportion')
    ranking = doubles.ranking[doubles.ranking['screen'] == screen]
    if lines and ranking['ranked'].sum():
        chance = 1 - ranking['positives'].sum() / ranking['ranked'].sum()
        axes.axvline(chance, color='black', linestyle=(0, (4, 3)), linewidth=1, zorder=0)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return axes


def _mean_curve(rows: pd.DataFrame) -> pd.Series:
    """True positive rate by the false discovery proportion at which it is first reached, averaged over splits."""
    curves = []
    for _, each in rows.groupby('split'):
        first = np.searchsorted(each['true_positive_rate'], _RATES - 1e-9)
        curves.append(each['false_discovery_proportion'].to_numpy()[np.minimum(first, len(each) - 1)])
    return pd.Series(_RATES, index=np.mean(curves, axis=0))


def training_curve(results: Results, axes: Axes | None = None) -> Axes:
    """Draws errors against the epoch or step, a line each; the y axis is logarithmic if all values are positive."""
    curve = pd.DataFrame() if results.training is None else results.training.astype(float)
    lines = {str(name): curve[name][np.isfinite(curve[name])] for name in curve}
    lines = {name: line for name, line in lines.items() if len(line)}
    log = ('y',) if all((line > 0).all() for line in lines.values()) else ()
    return _draw(axes, lines, dict(zip(lines, PENS)), 'error', str(curve.index.name or 'step'), log)


def linear_sweep_curve(results: Results, axes: Axes | None = None) -> Axes:
    """Draws the L2 of the linear model as a ratio to that of `mean` by rank, a line per ridge, mean over splits."""
    sweep = pd.DataFrame(columns=['ridge', 'rank', 'ratio']) if results.linear_sweep is None else results.linear_sweep
    means = sweep.dropna(subset='ratio').groupby(['ridge', 'rank'])['ratio'].mean()
    lines = {f'ridge {ridge:g}': rows.droplevel('ridge') for ridge, rows in means.groupby(level='ridge')}
    title = f'L2 of the linear model / that of {BASELINE}'
    axes = _draw(axes, lines, dict(zip(lines, PENS)), title, 'rank', log=('x',))
    if lines:
        axes.axhline(1, color='black', linestyle=(0, (4, 3)), linewidth=1, zorder=0)
    return axes


def _draw(
    axes: Axes | None,
    lines: Mapping[str, pd.Series],
    drawn_with: Mapping[str, Any],
    title: str,
    label: str,
    log: Sequence[str] = (),
) -> Axes:
    """Draws the lines, values against their index, under a legend with that title."""
    with drawing(axes, _HEIGHT + key_height(list(lines))) as axes:
        if not lines:
            return nothing(axes, 'There is nothing to draw.')
        drawn = {
            name: draw_line(axes, line.index.to_numpy(float), line.to_numpy(float), name, drawn_with.get(name))
            for name, line in lines.items()
        }
        for direction in log:
            _make_logarithmic(axes, direction)
        axes.set_xlabel(label)
        axes.grid(axis='y', color='#dddddd', linewidth=0.6)
        axes.set_axisbelow(True)
        key(axes, title, drawn)
        return axes


def _make_logarithmic(axes: Axes, direction: str) -> None:
    """Makes an axis logarithmic, with plain numbers as labels, and enough labels if the axis is short."""
    axis = axes.xaxis if direction == 'x' else axes.yaxis
    axes.set(**{f'{direction}scale': 'log'})
    low, high = axis.get_view_interval()
    if high < 3 * low:
        axis.set_major_locator(MaxNLocator(5, integer=direction == 'x'))
    else:
        decades = np.log10(high) - np.log10(low)
        digits = (1, 2, 3, 5) if decades < 1 else (1, 2, 5) if decades < 2.5 else (1, 3) if decades < 3.5 else (1,)
        axis.set_major_locator(LogLocator(subs=digits, numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
