"""HTML and SVG as a tree of elements, so that whatever a user named is escaped as it is written."""

from typing import Any
from xml.etree.ElementTree import Element


def tag(_name: str, *children: Any, **attributes: Any) -> Element:
    """An element; children are elements or text, and `stroke_width` is the attribute stroke-width."""
    element = Element(_name, {key.strip('_').replace('_', '-'): str(value) for key, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or '') + str(child)
        else:
            element.text = (element.text or '') + str(child)
    return element
