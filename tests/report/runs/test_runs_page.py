"""The figure and the page of many runs."""

import html.parser

import numpy as np
import pytest
from ledger_for_tests import EVIL, board_of, frame
from matplotlib.text import Text

from perturbjax import report
from perturbjax.evaluation.scoreboard import compare
from perturbjax.report.runs.page import scoreboard_page


def dots(axes, marker):
    """The positions of all marks of a shape that are drawn alone."""
    lines = [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata()) == 1]
    return sorted((line.get_ydata()[0], line.get_xdata()[0]) for line in lines)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_panel_for_each_column_and_one_of_ranks():
    board = compare(board_of({'norman': {'lpm': 0.5, 'mean': -3.0}, 'horn': {'lpm': 0.25, 'mean': 0.5, 'linear': 0.1}}))
    ranks, horn, norman = report.scoreboard(board).figure.axes
    assert [label.get_text() for label in ranks.get_yticklabels()] == ['lpm', 'mean', 'linear']
    assert dots(ranks, 'D') == [(0, 1.5), (1, 1.5)]
    assert texts(ranks) == ['1.50', '1.50']
    assert [axes.get_title(loc='left') for axes in (horn, norman)] == ['horn', 'norman']
    assert dots(horn, 'o') == [(0, 0.25), (1, 0.5), (2, 0.1)]
    assert dots(norman, 'o') == [(0, 0.5)]
    assert dots(norman, '<') == [(1, -1)]
    assert texts(norman) == ['not run']
    assert horn.get_xlim() == norman.get_xlim()
    assert norman.get_ylim() == (2.5, -0.5)


def test_without_ranks_there_is_no_panel_of_them():
    board = compare(board_of({'a': {'lpm': 0.5}, 'b': {'mean': 0.5}}))
    assert [axes.get_title(loc='left') for axes in report.scoreboard(board).figure.axes] == ['a', 'b']


def test_many_columns_go_on_in_the_next_line():
    scores = {f'screen {number}': {'lpm': 0.5} for number in range(9)}
    figure = report.scoreboard(compare(board_of(scores))).figure
    assert len(figure.axes) == 10
    assert np.ptp([axes.get_subplotspec().rowspan.start for axes in figure.axes]) == 2
    figure.draw_without_rendering()
    words = [text for text in figure.findobj(Text) if any(map(str.isalpha, text.get_text())) and text.get_visible()]
    places = [text.get_window_extent() for text in words]
    assert len(words) == 1 + 3 + 2 * 10  # the title, the name of the model in each line, titles and labels of panels
    assert not any(one.overlaps(other) for i, one in enumerate(places) for other in places[:i])


def test_nothing_to_draw_is_said():
    axes = report.scoreboard(compare(frame({'anchored': None})))
    assert not axes.has_data()
    assert texts(axes) == ['No model has an anchored score by l2.']


class Page(html.parser.HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_names_are_names_on_the_page():
    scores = {name: dict.fromkeys(EVIL, 0.5) for name in ('norman', '<i>screen</i>')}
    text = scoreboard_page(compare(board_of(scores).assign(workdir='<u>run</u>')))
    page = Page(text)
    assert not page.tags & {'i', 'u', 'script', 'b'}
    assert {*EVIL, '<i>screen</i>', '<u>run</u>', '2.50', '0.500 [0.400, 0.600]'} <= set(page.texts)
    assert 'svg' in page.tags
    assert 'http' not in text.replace('http://www.w3.org', '')


@pytest.mark.parametrize('scores', [{'a': {'lpm': None}}, {'a': {'lpm': 0.5}, 'b': {'mean': 0.5}}])
def test_a_page_without_ranks(scores):
    assert 'What to know' in Page(scoreboard_page(compare(board_of(scores)))).texts
