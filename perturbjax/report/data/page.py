"""One page, and the same as text, that says what was prepared and whether there is anything to transfer."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd
from matplotlib.axes import Axes

from perturbjax.evaluation.tables import number
from perturbjax.quality.inspection import QUANTILES, Inspection
from perturbjax.report.data.figures import MOST_NUMBERED, arranged, heat_map
from perturbjax.report.elements import breakable, picture, tag
from perturbjax.report.page import document, nested, pairs, scrolling

# Columns as heads and cells.
Table = list[tuple[str, list[str]]]

_MOST_SUSPICIONS = 40
_SCREENS = {
    'screen': 'Screen',
    'scale': 'Scale',
    'contexts': 'Contexts',
    'profiles': 'Profiles',
    'orders': 'Perturbations',
    'readouts': 'Readouts',
    'missing': 'Missing',
    'rows': 'Rows in a profile',
    **{name: name.capitalize() for name in QUANTILES},
}
_CONTEXTS = {
    'context': 'Context',
    'perturbations': 'Perturbations',
    'elsewhere': '… elsewhere too',
    'parts_elsewhere': '… all parts elsewhere',
    'readouts': 'Readouts',
    'readouts_elsewhere': '… elsewhere too',
    'rows': 'Rows',
    'control_rows': '… of control',
    'alike': 'Agreement with others',
    'repeat': 'Agreement of a repeat',
}
_LEGEND = (
    'Elsewhere: in another context. Agreement: what sets a perturbation apart (its profile minus the mean of the '
    "context's perturbed profiles) is correlated with the same in another context, over the readouts that both have; "
    'the median over perturbations, and here over the other contexts. Of a repeat: what the same experiment once more '
    'would reach, told from two halves of its rows by the formula of Spearman and Brown: no context can do much better.'
)
_COUNTED = 'On the diagonal: how many the context has.'
_CAPTIONS = {
    'perturbations': f'Perturbations that both contexts measured. {_COUNTED}',
    'readouts': f'Readouts that both contexts measured. {_COUNTED}',
    'agreement': (
        'Agreement of what sets perturbations apart: median Pearson correlation, from -1 (red) by 0 (white) to 1 '
        '(blue); on the diagonal what a repeat of the experiment would reach. Grey: not known.'
    ),
}


def summary_page(inspection: Inspection, settings: Mapping[str, Any]) -> str:
    """The page as HTML; `settings` are those of the data."""
    verdict = tag('div', *(tag('p', each) for each in inspection.verdict), class_='verdict')
    odd = _shortened(inspection.suspicions)
    sections: dict[str, Sequence[Element]] = {
        'Worth a look': [tag('ul', *(tag('li', each) for each in odd), class_='apart')] if odd else [],
        'What contexts share': [_gallery(inspection)] if len(inspection.contexts) > 1 else [],
        'Contexts': [_html(_contexts(inspection)), tag('p', _LEGEND)],
        'Screens': [_html(_screens(inspection))],
        'Settings of the data': [tag('div', nested(settings))],
    }
    return document(
        'What there is to learn from', [tag('div', verdict, pairs(inspection.facts), class_='lead')], sections
    )


def summary_text(inspection: Inspection) -> str:
    """The same as plain text, without figures."""
    facts = [f'{name}: {value}' for name, value in inspection.facts.items()]
    odd = [f'- {each}' for each in _shortened(inspection.suspicions)]
    parts = [
        [*inspection.verdict],
        facts,
        ['Worth a look:', *odd] if odd else [],
        _plain(_contexts(inspection)),
        _plain(_square(inspection.perturbations)) if 1 < len(inspection.contexts) <= MOST_NUMBERED else [],
        _plain(_screens(inspection)),
    ]
    return '\n\n'.join('\n'.join(lines) for lines in parts if lines) + '\n'


def _shortened(sentences: Sequence[str]) -> list[str]:
    left = len(sentences) - _MOST_SUSPICIONS
    return [*sentences[:_MOST_SUSPICIONS], *([f'… and {left} more of this kind.'] if left > 0 else [])]


def _gallery(inspection: Inspection) -> Element:
    order = arranged(inspection.perturbations)
    figures = []
    for name, caption in _CAPTIONS.items():
        table = getattr(inspection, name).loc[order, order]
        darkest = '' if name == 'agreement' else f' White is none, the darkest {table.to_numpy().max():,}.'
        figures.append(_figure(heat_map(table), name, caption + darkest))
    return tag('div', *figures, class_='figures three' if len(order) <= MOST_NUMBERED else 'figures')


def _figure(axes: Axes, name: str, caption: str) -> Element:
    return tag('figure', picture(axes, name, caption), tag('figcaption', caption))


def _screens(inspection: Inspection) -> Table:
    table = inspection.screens.assign(missing=inspection.screens['missing'].map('{:.1%}'.format))
    return [(head, _cells(table[name])) for name, head in _SCREENS.items()]


def _contexts(inspection: Inspection) -> Table:
    table = inspection.contexts.rename_axis('context').reset_index()
    combined = (table['elsewhere'] != table['parts_elsewhere']).any()
    return [(head, _cells(table[name])) for name, head in _CONTEXTS.items() if combined or name != 'parts_elsewhere']


def _square(table: pd.DataFrame) -> Table:
    return [
        ('Shared perturbations', _cells(pd.Series(table.index))),
        *((str(name), _cells(table[name])) for name in table),
    ]


def _cells(column: pd.Series) -> list[str]:
    if pd.api.types.is_integer_dtype(column):
        return [f'{value:,}' for value in column]
    return [number(value) for value in column] if pd.api.types.is_float_dtype(column) else [*map(str, column)]


def _html(table: Table) -> Element:
    heads = (tag('th', *breakable(head), scope='col') for head, _ in table)
    rows = (
        tag('tr', tag('th', *breakable(first), scope='row'), *(tag('td', each) for each in rest))
        for first, *rest in zip(*(cells for _, cells in table))
    )
    return scrolling(tag('table', tag('thead', tag('tr', *heads)), tag('tbody', *rows)))


def _plain(table: Table) -> list[str]:
    """The lines of a Markdown table, aligned to be read as it is."""
    columns = [[head, *cells] for head, cells in table]
    padded = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    head, *body = ('| ' + ' | '.join(row) + ' |' for row in zip(*padded))
    return [head, '|' + '|'.join('-' * (len(column[0]) + 2) for column in padded) + '|', *body]
