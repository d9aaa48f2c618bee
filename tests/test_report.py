"""The page: all of it is there, all of it is escaped, and it needs nothing else."""

import html.parser
import re

import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation import figures
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.report import report_page

EVIL = '<script>alert("x")</script> & \'co\''


def make_summary(ratios):
    """A summary in which each model has one ratio (value, low, high) in every metric."""
    rows = [
        (model, metric, place + 0.5, place + 0.25, place + 0.75, *ratio, 1.0, 40, 2)
        for place, (model, ratio) in enumerate(ratios.items())
        for metric in METRICS
    ]
    columns = ['model', 'metric', 'value', 'low', 'high', 'ratio', 'ratio_low', 'ratio_high']
    columns += ['coverage', 'perturbations', 'splits']
    return pd.DataFrame(rows, columns=columns)


RATIOS = {
    'mean': (1, 1, 1),
    'lpm': (0.8, 0.7, 0.9),
    'linear': (0.98, 0.9, 1.05),
    'no_change': (1.3, 1.2, 1.4),
    'wild': (40, 30, 50),
    'silent': (np.nan, np.nan, np.nan),
    EVIL: (0.9, np.nan, np.nan),
}
CURVE = pd.DataFrame(
    {'training loss': [3.0, 1.0, 0.5, 0.4], EVIL: [np.nan, 1.5, np.nan, np.inf], 'empty': [np.nan] * 4},
    index=pd.Index([1, 2, 3, 4], name='epoch'),
)


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects them and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ('meta', 'wbr'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


def page(summary, config=None, notes=(), facts=None, curve=None):
    rows = [(model, 0.5, 0.25) for model in ['truth', *summary['model'].unique()]]
    collapsed = pd.DataFrame(rows, columns=['model', 'correlation', 'truth'])
    return Page(report_page(summary, config or {}, list(notes), facts or {}, collapsed, None, curve))


@pytest.fixture
def full():
    config = {'seed': 7, 'data': {'path': EVIL, 'fields': {}}, 'models': [{'name': 'lpm'}], 'seeds': [13, 14]}
    return page(make_summary(RATIOS), config, ['3 profiles', EVIL], curve=CURVE, facts={'Data': EVIL, EVIL: 1})


def test_all_parts_are_there(full):
    text = ''.join(full.text)
    for part in ('Scores', 'Notes', '3 profiles', 'Training', 'Settings', 'seed: 7', '13, 14', 'Versions', 'jax'):
        assert part in text
    for name, metric in METRICS.items():
        assert name in text
        assert metric.definition in text
    assert full.count('tr') == 2 * (1 + len(RATIOS))
    assert full.count('svg') == 2


def test_what_users_named_is_escaped(full):
    assert full.count('script') == 0
    # model: table, forest plot and verdict; curve; note; path; fact twice.
    assert ''.join(full.text).count(EVIL[:20]) >= 7


def test_the_page_stands_alone(full):
    assert not {'script', 'link', 'img', 'iframe'} & {tag for tag, _ in full.tags}
    attributes = {name for _, given in full.tags for name in given}
    assert not {'src', 'href'} & attributes
    assert not any(name.startswith('on') for name in attributes)
    assert not re.search(r'url\(|@import|https?:', ''.join(full.text))


def test_the_verdict_follows_the_intervals(full):
    text = ''.join(full.text)
    assert 'better: lpm' in text
    assert 'no different, as far as these data show: linear' in text
    assert 'worse: no_change, wild' in text
    assert f'predicted: silent, {EVIL[:8]}' in text


def test_the_best_is_marked_by_more_than_colour(full):
    marked = [text for text in full.text if '★ ' in text]
    assert sum(('class', 'best') in given.items() for _, given in full.tags) == len(METRICS) == len(marked)


def test_the_forest_plot_places_ratios(full):
    circles = [float(given['cx']) for tag, given in full.tags if tag == 'circle'][:4]
    one = next(float(given['x1']) for tag, given in full.tags if given.get('stroke-dasharray') == '4 3')
    lpm, linear, no_change, evil = circles
    assert lpm < evil < linear < one < no_change
    assert full.text.count('▶') == 1  # beyond the edge


def test_lines_are_told_apart_without_colour(full):
    lines = [given for tag, given in full.tags if tag == 'polyline']
    assert len(lines) == 2  # the empty column is left out
    assert len({given['stroke-dasharray'] for given in lines}) == 2
    heights = [float(point.split(',')[1]) for point in lines[0]['points'].split()]
    assert heights == sorted(heights)  # the loss falls: down the page
    assert len(lines[1]['points'].split()) == 1


def test_without_ratio_curve_or_notes():
    found = page(make_summary({'mean': (1, 1, 1)}), curve=pd.DataFrame({'loss': [np.nan]}))
    assert found.count('svg') == 0
    assert 'Notes' not in found.text


@pytest.mark.parametrize('values', [[2.0, 2.0], [-1.0, 3.0], [1e-6, 1e6], [5.0], [0.0, 0.0]])
def test_any_curve_can_be_drawn(values):
    found = page(make_summary(RATIOS), curve=pd.DataFrame({'loss': values}))
    points = next(given['points'] for tag, given in found.tags if tag == 'polyline')
    assert np.isfinite([float(number) for number in re.findall(r'[^ ,]+', points)]).all()


@pytest.mark.parametrize(('low', 'high'), [(0, 1), (0.68, 0.71), (-3, 400), (0.999999, 1.000001), (1e-9, 2e-9)])
def test_round_values(low, high):
    values = figures._round_values(low, high)
    assert 2 <= len(values) <= 7
    assert low <= values[0] < values[-1] <= high * (1 + 1e-12)
    np.testing.assert_allclose(np.diff(values), values[1] - values[0], rtol=1e-3)
