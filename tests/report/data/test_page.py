"""The page and the text say all that was found; the figures draw it."""

import html.parser
import itertools
import re

import numpy as np
import pandas as pd
import pytest
from screens_for_tests import measurements, two_contexts

from perturbjax.quality.inspection import inspect
from perturbjax.report.data.figures import MOST_NUMBERED, arranged, heat_map
from perturbjax.report.data.page import summary_page, summary_text
from perturbjax.screens.screen import assemble

VOID = {'meta', 'wbr', 'br', 'path', 'use'}


class Balanced(html.parser.HTMLParser):
    """Raises where an element is closed that is not the one open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def found():
    return inspect(two_contexts())


def test_the_page_is_whole_and_needs_nothing_else(found):
    page = summary_page(found, {'source': 'wide', 'fields': {'context': 'cell', 'where': {}}})
    parser = Balanced()
    parser.feed(page)
    assert not parser.open
    assert parser.seen.count('svg') == 3
    assert 'http' not in page.replace('http://www.w3.org', '')
    text = ' '.join(re.sub(r'<[^>]+>', ' ', page.partition('</style>')[2]).split())
    for sentence in (*found.verdict, *found.facts.values(), *found.suspicions):
        assert ' '.join(sentence.split()).replace('&', '&amp;').replace('>', '&gt;') in text


def test_the_text_says_the_same(found):
    text = summary_text(found)
    for sentence in (*found.verdict, *found.suspicions):
        assert sentence in text
    assert '| a       | 3             | 1               | 2        | 2 ' in text
    assert (
        '| Shared perturbations | a | b |\n|----------------------|---|---|\n| a                    | 3 | 1 |' in text
    )
    assert '| screen | log1p | 2        | 6        | 2 single, 1 double | 2        | 8.3%    | 1 ' in text


def test_names_are_escaped():
    rows = [('<b>&', 'control', (1,)), ('<b>&', '<i>g', (2,)), ('$a$', 'control', (3,))]
    page = summary_page(inspect(assemble([measurements(rows, ['<x>'], '"s"')], ['log1p'])), {'path': '<p>'})
    assert '<b>&' not in page
    assert '&lt;b&gt;&amp;' in page
    Balanced().feed(page)


def test_one_context_has_nothing_to_compare():
    found = inspect(assemble([measurements([('a', 'g', (1,))], ['x'])], ['fitness']))
    assert 'svg' not in summary_page(found, {}).partition('</style>')[2]
    assert 'Shared perturbations' not in summary_text(found)


def test_a_long_list_of_suspicions_is_cut(found):
    text = summary_text(found._replace(suspicions=[f'odd {i}' for i in range(100)]))
    assert 'odd 39' in text
    assert 'odd 40' not in text
    assert '… and 60 more of this kind.' in text


def counts(groups):
    """Contexts of one group share all perturbations, others none."""
    groups = np.asarray(groups)
    names = [f'{group}{i}' for i, group in enumerate(groups)]
    return pd.DataFrame(5 * (groups[:, None] == groups), names, names)


def test_few_contexts_have_numbers():
    axes = heat_map(counts([0, 1, 0]))
    assert [text.get_text() for text in axes.texts] == ['5', '0', '5', '0', '5', '0', '5', '0', '5']
    assert [label.get_text() for label in axes.get_yticklabels()] == ['00', '11', '02']
    np.testing.assert_array_equal(axes.collections[0].get_array(), counts([0, 1, 0]))


def test_correlations_are_not_known_everywhere():
    table = pd.DataFrame([[0.7, -0.25], [-0.25, np.nan]], ['a', 'b'], ['a', 'b'])
    axes = heat_map(table)
    assert [text.get_text() for text in axes.texts] == ['.70', '-.25', '-.25']
    assert axes.collections[0].get_array().mask.tolist() == [[False, False], [False, True]]
    assert axes.collections[0].get_clim() == (-1, 1)


def test_many_contexts_are_arranged_by_what_they_share():
    table = counts([i % 3 for i in range(30)])
    order = arranged(table)
    assert sorted(order) == sorted(table.index)
    assert len([1 for one, other in itertools.pairwise(order) if one[0] != other[0]]) == 2
    assert not heat_map(table.loc[order, order]).texts
    assert arranged(counts(range(MOST_NUMBERED))) == list(counts(range(MOST_NUMBERED)).index)


def test_a_hundred_contexts_are_a_picture():
    page = summary_page(inspect(_hundred()), {})
    assert len(page) < 1_000_000
    assert 'data:image/png' in page


def _hundred():
    rows = [(f'c{i}', name, (i, 1.0, 2.0)) for i in range(100) for name in ('control', 'g')]
    return assemble([measurements(rows, ['x', 'y', 'z'])], ['log1p'])
