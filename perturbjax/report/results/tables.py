"""The tables of the report as HTML."""

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import pandas as pd
from pandas.api.types import is_string_dtype

from perturbjax.evaluation.metrics import ALL_METRICS
from perturbjax.evaluation.summary import BASELINES, CONTROLS, UNCLEAR, outcome
from perturbjax.evaluation.tables import best, number, span
from perturbjax.report.components import column_head, table
from perturbjax.report.elements import breakable, tag

# At most this many models in one table of differences.
_MOST_MODELS = 6
_CONTROLS = {
    'bds': 'BDS',
    'negative': 'uninformative',
    'permuted': 'permuted',
    'duplicate': 'duplicate',
    'interpolated': 'interpolated duplicate',
    'drf_interpolated': 'DRF, interpolated',
}
_GROUPS = ('simple rules', 'models', 'controls')


def score_tables(summary: pd.DataFrame, calibration: pd.DataFrame) -> list[Element]:
    """A table of the metrics where lower is better, and one of the others; models are rows, metrics columns.

    Metrics without any value are named below the tables.
    """
    can_be_best = summary[~summary['model'].isin(CONTROLS)]
    summary = summary.assign(best=best(can_be_best).reindex(summary.index, fill_value=False))
    known = list(summary['metric'][summary['value'].notna()].unique())
    marks = {metric: _mark(metric, calibration) for metric in known}
    tables = []
    for lower, title in ((True, 'Errors: lower is better'), (False, 'Agreement: higher is better')):
        names = [name for name in known if ALL_METRICS[name].lower_is_better == lower]
        chosen = summary[summary['metric'].isin(names)]
        if len(chosen):
            tables.append(_score_table(title, chosen, marks))
    missing = [name for name in summary['metric'].unique() if name not in known]
    return tables + [tag('p', f'Not defined on these data: {", ".join(missing)}.{_reason(missing)}')] * bool(missing)


def _reason(missing: Sequence[str]) -> str:
    """Why metrics of responding readouts may not be defined."""
    need = [name for name in missing if ALL_METRICS[name].needs]
    if not need:
        return ''
    return f' Which readouts respond ({", ".join(need)}) is known only of profiles that have replicates.'


def _mark(metric: str, calibration: pd.DataFrame) -> tuple[str, str]:
    """What the head of a metric's column says about its calibration, and the CSS class of the column."""
    rows = calibration[calibration['metric'] == metric]
    if rows.empty or pd.isna(rows['calibrated'].iloc[0]):
        return 'calibration not known', ''
    row = rows.iloc[0]
    if row['calibrated']:
        return '✓\u00a0calibrated here', ''
    return f'✗\u00a0not calibrated here: DRF {number(row["drf"])} {span(row["drf_low"], row["drf_high"])}', 'off'


def _score_table(title: str, summary: pd.DataFrame, marks: dict[str, tuple[str, str]]) -> Element:
    head = [column_head('model'), column_head('coverage')]
    for metric in summary['metric'].unique():
        text, kind = marks[metric]
        head.append(tag('th', *breakable(metric), tag('small', text), scope='col', class_=kind))
    rows = [(str(model), list(each.itertuples())) for model, each in summary.groupby('model', sort=False)]
    body = []
    for group in _GROUPS:
        members = [row for row in rows if _group(row[0]) == group]
        if members:
            body.append(tag('tr', tag('th', group, colspan=len(head), scope='rowgroup'), class_='group'))
            body += [_score_row(model, metrics, marks) for model, metrics in members]
    return table(head, body, title)


def _group(model: str) -> str:
    return _GROUPS[0] if model in BASELINES else _GROUPS[2] if model in CONTROLS else _GROUPS[1]


def _score_row(model: str, metrics: list[Any], marks: dict[str, tuple[str, str]]) -> Element:
    cells = [
        tag('th', *breakable(model), scope='row'),
        tag('td', f'{metrics[0].coverage:.1%}', tag('small', f'n = {max(each.perturbations for each in metrics)}')),
    ]
    for each in metrics:
        kinds = [marks[each.metric][1], 'best' if each.best else '']
        interval = tag('small', span(each.low, each.high))
        cells.append(tag('td', '★ ' * each.best, number(each.value), interval, class_=' '.join(filter(None, kinds))))
    return tag('tr', *cells)


def difference_tables(summary: pd.DataFrame, calibration: pd.DataFrame) -> list[Element]:
    """How far each model is from the best simple rule; metrics are rows, the models to be judged columns."""
    rows = summary[~summary['model'].isin(BASELINES + CONTROLS) & (summary['baseline'] != '')]
    models = list(rows['model'].unique())
    chunks = [models[start : start + _MOST_MODELS] for start in range(0, len(models), _MOST_MODELS)]
    return [_difference_table(rows[rows['model'].isin(chunk)], calibration) for chunk in chunks]


def _difference_table(rows: pd.DataFrame, calibration: pd.DataFrame) -> Element:
    models = list(rows['model'].unique())
    body = []
    for metric, each in rows.groupby('metric', sort=False):
        kind = _mark(str(metric), calibration)[1]
        by_model = {row.model: row for row in each.itertuples()}
        cells = [_difference(by_model.get(model), kind) for model in models]
        rule = tag('small', 'minus ', *breakable(each['baseline'].iloc[0]))
        body.append(tag('tr', tag('th', *breakable(str(metric)), rule, scope='row', class_=kind), *cells))
    return table([column_head('metric'), *map(column_head, models)], body)


def _difference(row: Any, kind: str) -> Element:
    """The cell of a model: its difference from the best simple rule, the outcome, and the corrected p-value."""
    if row is None or np.isnan(row.difference):
        return tag('td', '-', class_=kind)
    interval = f'[{_signed(row.difference_low)}, {_signed(row.difference_high)}]'
    lines = [tag('small', interval if np.isfinite(row.difference_low) else '')]
    if np.isfinite(row.baseline_ratio):
        ratio = f'× {number(row.baseline_ratio)} {span(row.baseline_ratio_low, row.baseline_ratio_high)}'
        lines.append(tag('small', ratio))
    lines.append(tag('small', _p_value(row.p_value)))
    word = outcome(row)
    return tag('td', f'{_signed(row.difference)} ', word if word == UNCLEAR else tag('b', word), *lines, class_=kind)


def _p_value(value: float) -> str:
    if np.isnan(value):
        return 'p not known'
    return 'p < 0.001' if value < 0.001 else f'p = {number(value)}'


def _signed(value: float) -> str:
    return f'{"+" if value > 0 else ""}{number(value)}'


def calibration_table(calibration: pd.DataFrame) -> Element:
    """The calibration of every metric: its controls and what follows from them."""
    body = map(_calibration_row, calibration.itertuples())
    heads = [column_head('calibrated', 'text'), column_head('DRF'), *map(column_head, _CONTROLS.values())]
    return table([column_head('metric'), *heads], body)


def _calibration_row(row: Any) -> Element:
    known = 'not known' if pd.isna(row.calibrated) else '✓ yes' if row.calibrated else '✗ no'
    drf = tag('td', number(row.drf), tag('small', span(row.drf_low, row.drf_high)))
    cells = [tag('td', number(getattr(row, name))) for name in _CONTROLS]
    return tag('tr', tag('th', *breakable(row.metric), scope='row'), tag('td', known, class_='text'), drf, *cells)


def published_table(scores: pd.DataFrame) -> Element:
    """The scores of a run and the published ones, each with its interval, as `evaluation.published` gives them."""
    heads = ['model', 'perturbations', 'l2', '× the rule', 'pearson_delta']
    body = []
    for source, rows in scores.groupby('source', sort=False):
        body.append(tag('tr', tag('th', source, colspan=len(heads), scope='rowgroup'), class_='group'))
        body += map(_published_row, rows.itertuples())
    return table(map(column_head, heads), body)


def _published_row(row: Any) -> Element:
    cells = [tag('th', *breakable(row.model), scope='row'), tag('td', f'{row.perturbations:,}')]
    for name in ('l2', 'ratio', 'pearson_delta'):
        low, high = (getattr(row, f'{name}_{end}') for end in ('low', 'high'))
        cells.append(tag('td', number(getattr(row, name)), tag('small', span(low, high))))
    return tag('tr', *cells)


def plain_table(frame: pd.DataFrame) -> Element:
    """Any table; the first column heads the rows, and numbers have three digits."""
    body = []
    for first, *rest in frame.to_numpy(object):
        body.append(tag('tr', tag('th', *breakable(first), scope='row'), *map(_plain_cell, rest)))
    return table((column_head(name, 'text' if is_string_dtype(frame[name]) else '') for name in frame), body)


def _plain_cell(value: Any) -> Element:
    if isinstance(value, str):
        return tag('td', value, class_='text')
    return tag('td', number(value) if isinstance(value, float) else f'{value:,}')


def definitions(summary: pd.DataFrame) -> Element:
    """What each metric of the summary means."""
    items = []
    for name in summary['metric'].unique():
        metric = ALL_METRICS[name]
        better = 'Lower is better' if metric.lower_is_better else 'Higher is better'
        about = tag('small', f'{better}; {metric.range}. Source: {metric.source}.')
        items.append(tag('li', tag('b', *breakable(name)), f': {metric.definition}', about))
    return tag('ul', *items, class_='apart')
