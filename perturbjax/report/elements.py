"""HTML and SVG as a tree of elements, so that every name a user chose is escaped when it is written."""

import io
import re
import warnings
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import matplotlib
from matplotlib.axes import Axes

_SAVING: Any = {'svg.fonttype': 'none', 'svg.hashsalt': 'perturbjax'}
_NO_METADATA = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
# Left out of the SVG: the page sets the font, and a rotation by 0 does nothing.
_SUPERFLUOUS = re.compile(r' ?font-family: [^;]*;?| ?rotate\(-?0 [^)]*\)')


def tag(_name: str, *children: Any, **attributes: Any) -> Element:
    """An element; children are elements or text. `aria_label=` sets aria-label; empty attributes are left out."""
    given = {key.strip('_').replace('_', '-'): str(value) for key, value in attributes.items() if value != ''}
    element = Element(_name, given)
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or '') + str(child)
        else:
            element.text = (element.text or '') + str(child)
    return element


def breakable(name: object) -> Iterator[Any]:
    """The parts of a name that the browser may break after an underscore."""
    first, *rest = str(name).split('_')
    yield first
    for part in rest:
        yield from ('_', tag('wbr'), part)


def picture(axes: Axes, name: str, description: str) -> Element:
    """The figure of the axes as an SVG element; text stays text, and numbers have two digits.

    Args:
      axes: the axes of the figure.
      name: a name that no other picture of the page has; ids begin with it.
      description: the text for readers who cannot see the picture.
    """
    figure: Any = axes.get_figure()
    file = io.StringIO()
    with matplotlib.rc_context(_SAVING), warnings.catch_warnings():
        # matplotlib's font only decides how much room is reserved; the reader's fonts have more letters.
        warnings.filterwarnings('ignore', 'Glyph .* missing from')
        figure.savefig(file, format='svg', metadata=_NO_METADATA)
    svg = fromstring(file.getvalue())
    ids = {each: f'{name}-{number}' for number, each in enumerate(_referred(svg))}
    _clean(svg, ids)
    box = svg.get('viewBox', '')
    svg.attrib.clear()
    svg.attrib.update({'viewBox': box, 'role': 'img', 'aria-label': description})
    svg.insert(0, tag('title', description))
    return svg


def _referred(svg: Element) -> list[str]:
    """The ids that the picture itself refers to."""
    values = [value for element in svg.iter() for key, value in element.items() if not key.endswith('id')]
    return list(dict.fromkeys(each for value in values for each in re.findall(r'(?:^|url\()#([^)]+)', value)))


def _clean(element: Element, ids: dict[str, str]) -> None:
    """Changes the element: removes namespaces, metadata and spaces, renames ids, and removes unused ids."""
    element.tag = element.tag.rpartition('}')[2]
    element.text = (element.text or '').strip() or None
    element.tail = None
    old, given = dict(element.items()), {}
    for key, value in old.items():
        key = key.rpartition('}')[2]
        if key == 'id':
            value = ids.get(value, '')
        elif '#' in value and key != 'style':
            value = re.sub(r'#([^)]+)', lambda found: f'#{ids[found[1]]}', value)
        else:
            value = re.sub(r'\d+\.\d{3,}', lambda found: f'{float(found[0]):.2f}', _SUPERFLUOUS.sub('', value))
        if value.strip():
            given[key] = ' '.join(value.split())
    element.attrib.clear()
    element.attrib.update(given)
    for child in list(element):
        if child.tag.rpartition('}')[2] in ('style', 'metadata'):
            element.remove(child)
        else:
            _clean(child, ids)
