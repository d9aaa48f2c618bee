"""What all figures share: size, style, shortened names, legends, and pens that differ in more than colour."""

import contextlib
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# The width of a figure in points; on a phone a point is about a pixel.
WIDTH = 340
# The height of a row in points: a line of text, and room to draw below it.
_ROW = 36
# Okabe and Ito's colours, which colour-blind readers can tell apart; without yellow, which is lost on white.
BLUE, VERMILION, GREEN, BLACK, GREY = '#0072B2', '#D55E00', '#009E73', '#000000', '#8c8c8c'
_COLOURS = (BLUE, VERMILION, GREEN, BLACK, '#CC79A7', '#E69F00', '#56B4E9', '#5c5c5c')
_DASHES = ((), (6, 2), (2, 1.5), (8, 2, 2, 2), (1, 1), (10, 3), (4, 1, 1, 1, 1, 1), (3, 4))
PENS = tuple(
    {'color': colour, 'linestyle': (0, dashes) if dashes else '-', 'marker': marker}
    for colour, dashes, marker in zip(_COLOURS, _DASHES, 'os^DvPX*', strict=True)
)
_STYLE = {
    # This font comes with matplotlib and is wide, so the room reserved for text is the same everywhere and is
    # enough for other fonts.
    'font.family': ['DejaVu Sans'],
    'font.size': 10,
    'axes.labelsize': 10,
    'axes.titlesize': 10,
    'xtick.labelsize': 9.5,
    'ytick.labelsize': 9.5,
    'axes.titlelocation': 'left',
    'axes.edgecolor': '#444444',
    'axes.linewidth': 0.8,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.fontsize': 9.5,
    'legend.title_fontsize': 10,
    'legend.frameon': False,
    'lines.linewidth': 1.5,
    'lines.markersize': 4.5,
    # A name such as `a$b$` is no formula.
    'text.parse_math': False,
}


@contextlib.contextmanager
def drawing(axes: Axes | None, height: float, width: float = WIDTH) -> Iterator[Axes]:
    """Gives axes to draw on: the ones given, or new ones in the style of the report, of that size in points."""
    with style.context(_STYLE, after_reset=axes is None):
        if axes is None:
            axes = Figure(figsize=(width / 72, height / 72), layout='constrained').add_subplot()
        yield axes


def nothing(axes: Axes, sentence: str) -> Axes:
    """Writes on the axes why there is nothing to draw; `axes.has_data()` stays False."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, transform=axes.transAxes, ha='center', va='center')
    return axes


def shorten(name: object, most: int) -> str:
    """The name on one line; the middle is left out if it has more than `most` letters (wide letters count two)."""
    text = ''.join(letter if letter.isprintable() else ' ' for letter in str(name))
    if sum(map(_wide, text)) <= most:
        return text
    tail = (most - 1) // 3
    return f'{_start(text, most - 1 - tail)}…{_start(text[::-1], tail)[::-1]}'


def _wide(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in 'WF' else 1


def _start(text: str, most: int) -> str:
    """The longest start of the text that has room."""
    end = len(text)
    while sum(map(_wide, text[:end])) > most:
        end -= 1
    return text[:end]


def draw_line(axes: Axes, x: np.ndarray, y: np.ndarray, name: str, pen: Mapping | None) -> Line2D:
    """Draws a line with a few markers on it, or a thin grey line if there is no pen."""
    if pen is None:
        (line,) = axes.plot(x, y, color=GREY, linewidth=0.7, zorder=1)
    else:
        (line,) = axes.plot(x, y, **pen, markevery=max(1, len(x) // 6), label=name)
    return line


def key(axes: Axes, title: str, lines: Mapping[str, Line2D]) -> None:
    """Draws the legend above the axes; its title says what the y axis shows. Lines without a pen share an entry."""
    shown = {name: line for name, line in lines.items() if line.get_label() == name}
    others = [line for name, line in lines.items() if name not in shown]
    if others:
        shown[f'{len(others)} other{"s" * (len(others) > 1)}'] = others[0]
    columns, letters = _columns(shown)
    legend = axes.legend(
        list(shown.values()),
        [shorten(name, letters) for name in shown],
        title=title,
        alignment='left',
        ncols=columns,
        loc='lower left',
        bbox_to_anchor=(0, 1),
        borderaxespad=0,
        borderpad=0.2,
        handlelength=3.2,
        columnspacing=1,
        labelspacing=0.3,
    )
    legend.get_title().set_fontweight('bold')


def key_height(names: Sequence[str]) -> float:
    """The height of a legend with these entries, in points."""
    columns, _ = _columns(list(names)[: len(PENS) + 1])
    return 20 + 15 * math.ceil(min(len(names), len(PENS) + 1) / columns)


def _columns(names: Sequence[str] | Mapping) -> tuple[int, int]:
    """The number of columns of a legend, and how many letters of a name fit into one."""
    return (1, 40) if max(map(len, names), default=0) > 18 else (2, 18)


def rows_height(rows: int) -> float:
    """The height of a figure with that many rows, in points."""
    return _ROW * rows + 46


def draw_rows(axes: Axes, names: Sequence[str], remarks: Sequence[str], bold: Sequence[bool], label: str) -> None:
    """Prepares rows at y = 0, 1, ... from the top: a line with a name and a remark, and room to draw below it.

    Args:
      axes: to draw on.
      names: of the rows.
      remarks: one for each row, at the right end of its line.
      bold: which names are printed bold.
      label: what the x axis shows.
    """
    for row, (name, remark, strong) in enumerate(zip(names, remarks, bold, strict=True)):
        line: dict[str, Any] = {'transform': axes.get_yaxis_transform(), 'va': 'bottom'}
        axes.text(0, row - 0.2, shorten(name, 45 - len(remark)), fontweight='bold' if strong else 'normal', **line)
        axes.text(1, row - 0.2, remark, ha='right', **line)
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.set_yticks([])
    axes.spines[['left', 'right', 'top']].set_visible(False)
    axes.set_xlabel(label)


def draw_guide(axes: Axes, x: float, rows: int, dashes: Sequence[float]) -> None:
    """Draws a vertical line at x through the rows, interrupted where their names and remarks are."""
    for row in range(rows):
        axes.plot([x, x], [row - 0.06, row + 0.42], color='black', linewidth=1, linestyle=(0, dashes), zorder=0)
