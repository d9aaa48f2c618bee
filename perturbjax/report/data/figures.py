"""Heat maps of contexts x contexts: what they share, and how alike they respond."""

import numpy as np
import pandas as pd
import scipy.cluster.hierarchy
import scipy.spatial.distance
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize

from perturbjax.report.canvas import BLUE, VERMILION, WIDTH, drawing, nothing, shorten

# With more contexts than this, cells have no numbers, and contexts that share much are neighbours.
MOST_NUMBERED = 12
# The number of names that can be read side by side.
_MOST_NAMED = 60
_EMPTY = '#f0f0f0'
_COUNTS = LinearSegmentedColormap.from_list('counts', ['#ffffff', BLUE])
_CORRELATIONS = LinearSegmentedColormap.from_list('correlations', [VERMILION, '#ffffff', BLUE])


def heat_map(table: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draws a table `[C, C]` of counts (whole numbers) or correlations; white is 0, grey is not known.

    Args:
      table: as `quality.overlap` or `quality.agreement` returns it.
      axes: axes to draw on; new ones if None.
    """
    counts = all(np.issubdtype(dtype, np.integer) for dtype in table.dtypes)
    high = max(int(table.to_numpy().max()), 1) if counts else 1
    with drawing(axes, *_size(len(table))) as axes:
        if not len(table):
            return nothing(axes, 'There is no context.')
        axes.set_facecolor(_EMPTY)
        norm = Normalize(0 if counts else -1, high)
        values = np.ma.masked_invalid(table.to_numpy(float))
        many = len(table) > MOST_NUMBERED
        axes.pcolormesh(values, cmap=_COUNTS if counts else _CORRELATIONS, norm=norm, rasterized=many)
        if not many:
            _write_numbers(axes, table, counts, high)
        _name(axes, [str(name) for name in table.index])
    return axes


def arranged(shared: pd.DataFrame) -> list[str]:
    """The contexts, ordered so that those that share much are neighbours; few contexts keep their order.

    Args:
      shared: counts `[C, C]`.
    """
    if len(shared) <= MOST_NUMBERED:
        return list(shared.index)
    counts = shared.to_numpy(float)
    total = np.sqrt(np.outer(np.diag(counts), np.diag(counts)))
    apart = 1 - counts / np.maximum(total, 1)
    np.fill_diagonal(apart, 0)
    tree = scipy.cluster.hierarchy.linkage(scipy.spatial.distance.squareform(apart, checks=False), 'average')
    return [shared.index[i] for i in scipy.cluster.hierarchy.leaves_list(tree)]


def _size(contexts: int) -> tuple[float, float]:
    """The height and the width of the figure in points."""
    if contexts <= MOST_NUMBERED:
        return 110 + 24 * contexts, WIDTH
    return 2 * WIDTH, 2 * WIDTH


def _write_numbers(axes: Axes, table: pd.DataFrame, counts: bool, high: int) -> None:
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if not np.isnan(value):
            text = f'{value}' if counts else f'{value:.2f}'.replace('0.', '.')
            dark = abs(value) > 0.6 * high
            axes.text(column + 0.5, row + 0.5, text, ha='center', va='center', color='white' if dark else 'black')


def _name(axes: Axes, names: list[str]) -> None:
    every = -(-len(names) // _MOST_NAMED)
    positions, shown = np.arange(len(names))[::every] + 0.5, [shorten(name, 22) for name in names[::every]]
    axes.set_xticks(positions, shown, rotation=90)
    axes.set_yticks(positions, shown)
    axes.set_ylim(len(names), 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
