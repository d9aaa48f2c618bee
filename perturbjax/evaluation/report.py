"""One HTML page that says how the models did: it needs no network, no scripts and no other file."""

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, tostring

import numpy as np
import pandas as pd

from perturbjax.evaluation.doubles import Doubles
from perturbjax.evaluation.elements import tag
from perturbjax.evaluation.figures import forest, lines
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.scores import BASELINE, Compared
from perturbjax.evaluation.tables import NEARLY_ALL, RATIOS, best, number, span

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 74rem; margin: 0 auto;
       padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, ul, dl { max-width: 46rem; margin: .5rem 0; }
ul { padding-left: 1.2rem; }
li ul { margin: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .15rem 1rem; }
dt { font-weight: 600; }
dd { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: right; border-bottom: 1px solid #bbb; vertical-align: top; }
td { white-space: nowrap; }
thead th { border-bottom: 2px solid #111; max-width: 6rem; overflow-wrap: normal; }
th:first-child { text-align: left; position: sticky; left: 0; background: #fff; min-width: 7.5rem; max-width: 9rem; }
small { display: block; color: #444; font-weight: normal; }
.best { font-weight: 700; }
.narrow { display: none; }
figure { margin: 0; max-width: 32rem; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
@media screen and (max-width: 70rem) { .narrow { display: block; } }
@media print { .scroll { overflow: visible; } table { font-size: .6rem; } th, td { padding: .2rem; } }
"""
_PACKAGES = ('perturbjax', 'jax', 'flax', 'optax', 'numpy')


def report_page(
    summary: pd.DataFrame,
    config: Mapping[str, Any],
    notes: Sequence[str],
    facts: Mapping[str, Any],
    collapsed: pd.DataFrame,
    doubles: Doubles | None = None,
    curve: pd.DataFrame | None = None,
) -> str:
    """The page as text.

    Args:
      summary: as `scores.summarise` gives it.
      config: the settings, nested as they are.
      notes: sentences on what could not be predicted or judged.
      facts: short names and values for the head of the page, such as the data and the split.
      collapsed: as `controls.collapse` gives it.
      doubles: as `doubles.judge_doubles` gives it.
      curve: of training; its index is the epoch or step, and each of its columns is drawn as a line.
    """
    ratios, curve = _ratios(summary), _finite(curve)
    versions = {'python': platform.python_version()} | {name: _version(name) for name in _PACKAGES}
    sections = {
        'Scores': _scores(summary),
        'Notes': [tag('ul', *(tag('li', note) for note in notes))] if notes else [],
        f'Error next to the {BASELINE} baseline': [] if ratios is None else [forest(ratios)],
        'Do predictions differ between perturbations?': _collapse(collapsed),
        'Genetic interactions': [] if doubles is None else _interactions(doubles),
        'Training': [lines(curve)] if curve.size else [],
        'What the metrics mean': [_definitions()],
        'Settings': [_nested(config)],
        'Versions': [_pairs(versions)],
    }
    title = 'How well held-out perturbations were predicted'
    body = [tag('h1', title), *([] if ratios is None else _verdict(ratios)), _pairs(facts)]
    for heading, content in sections.items():
        body += [tag('h2', heading), *content] if content else []
    head = tag(
        'head',
        tag('meta', charset='utf-8'),
        tag('meta', name='viewport', content='width=device-width, initial-scale=1'),
        tag('title', title),
        tag('style', _STYLE),
    )
    page = tag('html', head, tag('body', *body), lang='en')
    return '<!doctype html>\n' + tostring(page, encoding='unicode', method='html')


def facts(compared: Compared) -> dict[str, str]:
    """What was held out, for the head of the page."""
    profiles = compared.profiles
    held_out = profiles[['context', 'perturbation']].drop_duplicates()
    return {
        'Held out': f'{len(held_out)} pairs of context and perturbation, {len(profiles)} profiles',
        'Contexts': _shown(profiles['context'].unique()),
        'Splits': _shown(profiles['split'].unique()),
        'Screens': _shown(profiles['screen'].unique()),
        'Measured values': f'{compared.measured.sum():,}',
    }


def notes(compared: Compared, summary: pd.DataFrame) -> list[str]:
    """What the reader should know of before comparing: gaps, few pairs."""
    coverage = summary.groupby('model', sort=False)['coverage'].first()
    gaps = [
        f'{model} predicts {share:.1%} of the measured values; its scores are over those alone, '
        'and its ratio compares it with the baseline over the same.'
        for model, share in coverage[coverage < 1].items()
    ]
    pairs = len(compared.profiles[['context', 'perturbation']].drop_duplicates())
    few = [f'Only {pairs} pairs are held out: the intervals rest on few, and are wide or too narrow.'] * (pairs < 10)
    return [*few, *gaps]


def _shown(names: Any, most: int = 8) -> str:
    names = [str(name) for name in names]
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')


def _pairs(items: Mapping[str, Any]) -> Element:
    return tag('dl', *(tag(kind, text) for pair in items.items() for kind, text in zip(('dt', 'dd'), pair)))


def _nested(value: Any) -> Any:
    """Settings as a nested list; text where nothing is nested."""
    if isinstance(value, Mapping) and value:
        return tag('ul', *(tag('li', tag('b', key), ': ', _nested(each)) for key, each in value.items()))
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping | list | tuple) for each in value):
        return tag('ul', *(tag('li', _nested(each)) for each in value))
    if isinstance(value, list | tuple):
        value = ', '.join(map(str, value))
    return 'none' if value is None or value in ('', {}) else str(value)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return 'not installed'


def _definitions() -> Element:
    items = []
    for name, metric in METRICS.items():
        better = 'lower is better' if metric.lower_is_better else 'higher is better'
        items.append(tag('li', tag('b', name), f' ({better}): {metric.definition}'))
    return tag('ul', *items)


def _scores(summary: pd.DataFrame) -> list[Element]:
    """The table of scores and how to read it."""
    head = [_head('model'), _head('n'), _head('coverage')]
    for name in summary['metric'].unique():
        head.append(_head(name, 'lower is better' if METRICS[name].lower_is_better else 'higher is better'))
        if name in RATIOS:
            head.append(_head(f'{name} / {BASELINE}', 'below 1 is better'))
    models = summary.assign(best=best(summary)).groupby('model', sort=False)
    body = [_row(str(model), list(rows.itertuples())) for model, rows in models]
    table = tag('table', tag('thead', tag('tr', *head)), tag('tbody', *body))
    legend = (
        'In brackets: 95% bootstrap interval over (context, perturbation); n is how many there are. '
        f'{" and ".join(RATIOS)} / {BASELINE}: the ratio to the {BASELINE} baseline over the same values. '
        'Coverage: the share of the measured held-out values that the model predicts. '
        f'★: the best value among the models that predict at least {NEARLY_ALL:.0%} of them; '
        'where intervals overlap, it may be so by chance.'
    )
    hint = tag('small', 'The table scrolls sideways.', class_='narrow')
    return [hint, tag('div', table, class_='scroll'), tag('p', legend)]


def _interactions(doubles: Doubles) -> list[Element]:
    """What was called, and who foresees it."""
    notes = [tag('p', note) for note in doubles.notes]
    if doubles.nulls.empty:
        return notes
    ranking = doubles.ranking.groupby(['screen', 'model'], sort=False)[['auprc', 'auroc']].mean().reset_index()
    legend = (
        'Observed minus additive, called against the empirical null at a local false discovery rate of 5%; a misfit '
        'far above 1 says that the null does not describe the values. Models are ranked by how far they depart from '
        'the additive prediction (mean over splits): AUPRC by chance is the share called, AUROC by chance 0.5.'
    )
    return [_plain_table(doubles.nulls), _plain_table(ranking), tag('p', legend), *notes]


def _plain_table(table: pd.DataFrame) -> Element:
    """Any table: its first column heads the rows, numbers to three digits."""
    head = tag('thead', tag('tr', *map(_head, table.columns)))
    body = []
    for first, *rest in table.itertuples(index=False):
        cells = (tag('td', number(each) if isinstance(each, float) else each) for each in rest)
        body.append(tag('tr', tag('th', *_breakable(str(first)), scope='row'), *cells))
    return tag('div', tag('table', head, tag('tbody', *body)), class_='scroll')


def _collapse(collapsed: pd.DataFrame) -> list[Element]:
    """The collapse check and how to read it."""
    models = collapsed[collapsed['model'] != 'truth']
    models = models.rename(columns={'correlation': 'its predictions', 'truth': 'the truths, same pairs and values'})
    legend = (
        'Mean correlation between the changes from control of two different perturbations. A model far above '
        'the truths says nearly the same of every perturbation; -: it says no change at all.'
    )
    return [_plain_table(models), tag('p', legend)]


def _head(name: str, remark: str = '') -> Element:
    return tag('th', *_breakable(name), tag('small', remark), scope='col')


def _breakable(name: str) -> Iterator[Any]:
    """A name that may go to a next line after an underscore."""
    first, *rest = name.split('_')
    yield first
    for part in rest:
        yield from ('_', tag('wbr'), part)


def _row(model: str, metrics: list[Any]) -> Element:
    """A model's row, of its rows in the summary."""
    cells = [
        tag('th', *_breakable(model), scope='row'),
        tag('td', max(each.perturbations for each in metrics)),
        tag('td', f'{metrics[0].coverage:.1%}'),
    ]
    for each in metrics:
        interval = tag('small', span(each.low, each.high))
        if each.best:
            cells.append(tag('td', f'★ {number(each.value)}', interval, class_='best'))
        else:
            cells.append(tag('td', number(each.value), interval))
        if each.metric in RATIOS:
            cells.append(tag('td', number(each.ratio), tag('small', span(each.ratio_low, each.ratio_high))))
    return tag('tr', *cells)


def _ratios(summary: pd.DataFrame) -> pd.DataFrame | None:
    """The rows of the other models for the first metric whose ratio to the baseline is known."""
    for metric in RATIOS:
        rows = summary[(summary['metric'] == metric) & (summary['model'] != BASELINE)]
        if np.isfinite(rows['ratio']).any():
            return rows
    return None


def _verdict(ratios: pd.DataFrame) -> list[Element]:
    """Which models beat the baseline, and which do not."""
    low, high = ratios['ratio_low'], ratios['ratio_high']
    outcomes = {
        'better': high < 1,
        'no different, as far as these data show': (low <= 1) & (high >= 1),
        'worse': low > 1,
        'not to be said, with so few held-out perturbations predicted': low.isna(),
    }
    items = [
        tag('li', f'{outcome}: ', tag('b', ', '.join(ratios['model'][which])))
        for outcome, which in outcomes.items()
        if which.any()
    ]
    metric = ratios['metric'].iloc[0]
    question = f'Next to the {BASELINE} baseline, judging by the 95% interval of the ratio in {metric}, these are'
    return [tag('p', question), tag('ul', *items)]


def _finite(curve: pd.DataFrame | None) -> pd.DataFrame:
    """The columns that can be drawn, with NaN where a value cannot."""
    if curve is None:
        return pd.DataFrame()
    return curve.astype(float).replace([np.inf, -np.inf], np.nan).dropna(axis='columns', how='all')
