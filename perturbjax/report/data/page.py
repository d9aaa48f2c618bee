"""The page (and the same as text) that says what data were prepared, and whether contexts can learn from others."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import pandas as pd

from perturbjax.evaluation.tables import markdown, number
from perturbjax.quality.inspection import QUANTILES, Inspection
from perturbjax.quality.shares import percent
from perturbjax.report.components import bullets, column_head, figure, lead, nested, table
from perturbjax.report.data.figures import MOST_NUMBERED, arranged, heat_map
from perturbjax.report.elements import breakable, tag
from perturbjax.report.page import document

# Each column as its head and its cells.
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
    'Elsewhere: in another context. Agreement: the correlation between what sets a perturbation apart here (its '
    "profile minus the mean of the context's perturbed profiles) and the same in another context, over the readouts "
    'that both have; the median over perturbations and over the other contexts. In screens of one or two readouts it '
    'is over the perturbations that both have. Agreement of a repeat: what repeating the experiment would reach, '
    'estimated from two halves of its rows with the formula of Spearman and Brown; another context can hardly agree '
    'better.'
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
    """Returns the page as HTML text; `settings` are the data settings of the config."""
    sections: dict[str, Sequence[Element]] = {
        'Worth a look': bullets(_shortened(inspection.suspicions), 'apart'),
        'What contexts share': [_gallery(inspection)] if len(inspection.contexts) > 1 else [],
        'Contexts': [_html(_contexts(inspection)), tag('p', _LEGEND)],
        'Screens': [_html(_screens(inspection))],
        'Settings of the data': [tag('div', nested(settings))],
    }
    return document('What there is to learn from', [lead(inspection.verdict, inspection.facts)], sections)


def summary_text(inspection: Inspection) -> str:
    """Returns the same as plain text, without figures."""
    facts = [f'{name}: {value}' for name, value in inspection.facts.items()]
    odd = [f'- {each}' for each in _shortened(inspection.suspicions)]
    parts = [
        [*inspection.verdict],
        facts,
        ['Worth a look:', *odd] if odd else [],
        markdown(_lists(_contexts(inspection))),
        markdown(_lists(_square(inspection.perturbations))) if 1 < len(inspection.contexts) <= MOST_NUMBERED else [],
        markdown(_lists(_screens(inspection))),
    ]
    return '\n\n'.join('\n'.join(lines) for lines in parts if lines) + '\n'


def _shortened(sentences: Sequence[str]) -> list[str]:
    left = len(sentences) - _MOST_SUSPICIONS
    return [*sentences[:_MOST_SUSPICIONS], *([f'… and {left} more of this kind.'] if left > 0 else [])]


def _gallery(inspection: Inspection) -> Element:
    order = arranged(inspection.perturbations)
    figures = []
    for name, caption in _CAPTIONS.items():
        counts = getattr(inspection, name).loc[order, order]
        darkest = '' if name == 'agreement' else f' White is none, the darkest {counts.to_numpy().max():,}.'
        figures.append(figure(heat_map(counts), name, caption + darkest))
    return tag('div', *figures, class_='figures three' if len(order) <= MOST_NUMBERED else 'figures')


def _screens(inspection: Inspection) -> Table:
    screens = inspection.screens.assign(missing=[percent(share, 1) for share in inspection.screens['missing']])
    return [(head, _cells(screens[name])) for name, head in _SCREENS.items()]


def _contexts(inspection: Inspection) -> Table:
    contexts = inspection.contexts.rename_axis('context').reset_index()
    combined = (contexts['elsewhere'] != contexts['parts_elsewhere']).any()
    return [(head, _cells(contexts[name])) for name, head in _CONTEXTS.items() if combined or name != 'parts_elsewhere']


def _square(counts: pd.DataFrame) -> Table:
    return [
        ('Shared perturbations', _cells(pd.Series(counts.index))),
        *((str(name), _cells(counts[name])) for name in counts),
    ]


def _cells(column: pd.Series) -> list[str]:
    if pd.api.types.is_integer_dtype(column):
        return [f'{value:,}' for value in column]
    return [number(value) for value in column] if pd.api.types.is_float_dtype(column) else [*map(str, column)]


def _html(columns: Table) -> Element:
    rows = (
        tag('tr', tag('th', *breakable(first), scope='row'), *(tag('td', each) for each in rest))
        for first, *rest in zip(*(cells for _, cells in columns))
    )
    return table((column_head(head) for head, _ in columns), rows)


def _lists(columns: Table) -> list[list[str]]:
    """Each column as one list, its head first."""
    return [[head, *cells] for head, cells in columns]
