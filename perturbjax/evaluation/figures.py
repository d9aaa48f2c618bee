"""The report's figures: small SVGs, to be read on a phone and in black and white."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd

from perturbjax.evaluation.elements import tag
from perturbjax.evaluation.scores import BASELINE
from perturbjax.evaluation.tables import number, span

# Lines are told apart by dashes in black and white, and by Okabe and Ito's colours.
_DASHES = ('none', '6 3', '2 2', '9 3 2 3', '14 4')
_COLOURS = ('#000000', '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#7a6a00')
# Figures are this many units wide; on a phone a unit is about a pixel.
_WIDTH = 360
# A ratio above this is drawn at the edge, as an arrow.
_MOST = 2.0
# Longer names are cut where they would run into the numbers.
_LONGEST = 30


def _axis(values: np.ndarray, start: float, stop: float, log: bool = False) -> tuple[Callable[[float], float], list]:
    """Where each value stands when all are spread from start to stop, and the round values to label."""
    scale = np.log10 if log else np.asarray
    low, high = float(scale(np.nanmin(values))), float(scale(np.nanmax(values)))
    margin = 0.05 * (high - low) or 0.05
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(float(np.interp(scale(value), (low, high), (start, stop))), 1)

    if log and high - low > 1:
        powers = range(int(np.floor(low)), int(np.ceil(high)))
        digits = (1, 2, 5) if high - low < 3 else (1,)
        levels = [digit * 10.0**power for power in powers for digit in digits]
        return place, [level for level in levels if low <= np.log10(level) <= high]
    return place, _round_values(*((10**low, 10**high) if log else (low, high)))


def _round_values(low: float, high: float) -> list[float]:
    """Three to six evenly spaced round values from low to high."""
    power = 10.0 ** np.floor(np.log10(high - low))
    step = next(power * each for each in (0.1, 0.2, 0.25, 0.5, 1, 2) if (high - low) / (power * each) <= 6)
    return [float(f'{step * each:.10g}') for each in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _line(xs: tuple[float, float], ys: tuple[float, float], **style: Any) -> Element:
    return tag('line', x1=xs[0], x2=xs[1], y1=ys[0], y2=ys[1], **({'stroke': '#111'} | style))


def _text(text: Any, x: float, y: float, anchor: str = 'start', **style: Any) -> Element:
    return tag('text', text, x=x, y=y, text_anchor=anchor, **style)


def _figure(drawn: Iterable[Element], height: float, caption: str) -> Element:
    picture = tag('svg', *drawn, viewBox=f'0 0 {_WIDTH} {height}', role='img')
    return tag('figure', picture, tag('figcaption', caption))


def forest(rows: pd.DataFrame) -> Element:
    """Each model's ratio to the baseline with its interval; a broken line stands at 1."""
    rows = rows[np.isfinite(rows['ratio'])]
    ends = rows[['ratio', 'ratio_low', 'ratio_high']].clip(upper=_MOST).to_numpy()
    x, ticks = _axis(np.append(ends, 1), 8, _WIDTH - 8)
    bottom = 36 * len(rows) + 8
    drawn = [_line((x(1), x(1)), (0, bottom), stroke_dasharray='4 3'), _line((8, _WIDTH - 8), (bottom, bottom))]
    drawn += [_text(f'{tick:g}', x(tick), bottom + 14, 'middle') for tick in ticks]
    for place, row in enumerate(rows.itertuples()):
        drawn += _forest_row(row, x, 36 * place + 14)
    caption = (
        f'{rows["metric"].iloc[0]} as a ratio to that of the {BASELINE} baseline (broken line), with its 95% interval; '
        'further left is better.'
    )
    return _figure(drawn, bottom + 20, caption)


def _forest_row(row: Any, x: Callable[[float], float], y: int) -> Iterator[Element]:
    """Name and numbers on one line; below it the interval and a dot, or an arrow where they are too far right."""
    halo: dict[str, Any] = {'stroke': '#fff', 'stroke_width': 4, 'paint_order': 'stroke'}
    name = row.model if len(row.model) <= _LONGEST else f'{row.model[: _LONGEST - 1]}…'
    yield _text(name, 8, y, font_weight='bold', **halo)
    yield _text(f'{number(row.ratio)} {span(row.ratio_low, row.ratio_high)}', _WIDTH - 8, y, 'end', **halo)
    if row.ratio > _MOST:
        yield _text('▶', _WIDTH - 8, y + 15, 'end')
        return
    if np.isfinite(row.ratio_low):
        ends = x(row.ratio_low), x(row.ratio_high)
        yield _line(ends, (y + 11, y + 11), stroke_width=2)
        yield from (_line((end, end), (y + 6, y + 16)) for end in ends)
    yield tag('circle', cx=x(row.ratio), cy=y + 11, r=3)


def lines(curve: pd.DataFrame) -> Element:
    """The columns against the index under a legend; logarithmic where every value is positive."""
    values = curve.to_numpy()
    log = bool(np.nanmin(values) > 0)
    top, left, right = 16 * curve.shape[1] + 8, 44, _WIDTH - 8
    bottom = top + 180
    x, steps = _axis(curve.index.to_numpy(float), left, right)
    y, levels = _axis(values, bottom, top, log)
    drawn = [
        _line((left, right), (bottom, bottom)),
        *(_text(f'{each:g}', x(each), bottom + 14, 'middle') for each in steps),
    ]
    for level in levels:
        drawn.append(_line((left, right), (y(level), y(level)), stroke='#ccc'))
        drawn.append(_text(f'{level:g}', left - 4, y(level) + 4, 'end'))
    for place, name in enumerate(curve):
        known = curve[name].dropna()
        points = list(zip(map(x, known.index), map(y, known)))
        drawn += _one_line(str(name), points, place)
    caption = f'Against the {curve.index.name or "step"}{", on a logarithmic scale" * log}.'
    return _figure(drawn, bottom + 20, caption)


def _one_line(name: str, points: list[tuple[float, float]], place: int) -> Iterator[Element]:
    """The line with a dot at its end, and its entry in the legend."""
    pen = {'stroke': _COLOURS[place % len(_COLOURS)], 'stroke_dasharray': _DASHES[place % len(_DASHES)]}
    yield tag('polyline', points=' '.join(f'{x},{y}' for x, y in points), fill='none', stroke_width=1.5, **pen)
    yield tag('circle', cx=points[-1][0], cy=points[-1][1], r=2.5, fill=pen['stroke'])
    yield _line((44, 80), (16 * place + 8, 16 * place + 8), stroke_width=1.5, **pen)
    yield _text(name, 88, 16 * place + 12)
