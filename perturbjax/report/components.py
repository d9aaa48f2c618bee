"""The pieces that a page is made of: lists, tables, and figures with captions."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from matplotlib.axes import Axes

from perturbjax.report.elements import breakable, picture, tag


def lead(verdict: Sequence[str], items: Mapping[str, Any]) -> Element:
    """The head of a page: the verdict in sentences, and beside it names and values."""
    sentences = [tag('div', *(tag('p', each) for each in verdict), class_='verdict')] if verdict else []
    return tag('div', *sentences, pairs(items), class_='lead')


def bullets(sentences: Iterable[str], kind: str = '') -> list[Element]:
    """A bullet list of sentences; an empty list if there are none."""
    items = [tag('li', each) for each in sentences]
    return [tag('ul', *items, class_=kind)] if items else []


def pairs(items: Mapping[str, Any]) -> Element:
    """Names and values, as a definition list."""
    return tag('dl', *(tag(kind, text) for pair in items.items() for kind, text in zip(('dt', 'dd'), pair)))


def read_pairs(page: str) -> dict[str, str]:
    """The names and values of all the lists that `pairs` put on a page."""
    found = re.findall('<dt>(.*?)</dt><dd>(.*?)</dd>', page, re.DOTALL)
    return {html.unescape(name): html.unescape(value) for name, value in found}


def nested(value: Any) -> Any:
    """Settings as a nested list; plain text for a value that is not nested."""
    if isinstance(value, Mapping) and value:
        return tag('ul', *(tag('li', tag('b', key), ': ', nested(each)) for key, each in value.items()))
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping | list | tuple) for each in value):
        return tag('ul', *(tag('li', nested(each)) for each in value))
    if isinstance(value, list | tuple):
        value = ', '.join(map(str, value))
    return 'none' if value is None or value in ('', {}) else str(value)


def column_head(name: object, kind: str = '') -> Element:
    """The head cell of a column."""
    return tag('th', *breakable(name), scope='col', class_=kind)


def table(heads: Iterable[Element], rows: Iterable[Element], caption: str = '') -> Element:
    """A table that scrolls sideways if it is wider than the page.

    Args:
      heads: the head cells, as `column_head` makes them.
      rows: the rows, `tr` elements.
      caption: a title above the table.
    """
    title = [tag('caption', caption)] if caption else []
    whole = tag('table', *title, tag('thead', tag('tr', *heads)), tag('tbody', *rows))
    return tag('div', whole, class_='scroll', tabindex=0)


def figure(axes: Axes, name: str, caption: str) -> Element:
    """A figure with its caption; the name must be unique on the page."""
    return tag('figure', picture(axes, name, caption), tag('figcaption', caption))


def gallery(name: str, drawn: Iterable[tuple[Axes, str]], kind: str = 'figures') -> list[Element]:
    """Figures with their captions, side by side if there is room; figures without data are left out."""
    figures = [
        figure(axes, f'{name}-{position}', caption) for position, (axes, caption) in enumerate(drawn) if axes.has_data()
    ]
    return [tag('div', *figures, class_=kind)] if figures else []


def beside(tables: list[Element], figures: list[Element]) -> Element:
    """Tables with their figures next to them, or below them if there is no room."""
    return tag('div', *tables, *(figure for each in figures for figure in each), class_='beside')
