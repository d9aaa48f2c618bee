"""The pieces of a page, and that the HTML kit knows no page."""

import ast
import pathlib
from xml.etree.ElementTree import tostring

from perturbjax import report
from perturbjax.report.components import bullets, column_head, lead, nested, pairs, read_pairs, table
from perturbjax.report.elements import tag


def html(element):
    return tostring(element, encoding='unicode', method='html')


def test_bullets_and_a_lead_leave_out_what_is_empty():
    assert bullets([]) == []
    assert html(bullets(['a & b'], 'apart')[0]) == '<ul class="apart"><li>a &amp; b</li></ul>'
    assert html(lead([], {'Screens': 2})) == '<div class="lead"><dl><dt>Screens</dt><dd>2</dd></dl></div>'
    assert '<div class="verdict"><p>It wins.</p></div>' in html(lead(['It wins.'], {}))


def test_names_and_values_are_read_back_from_a_page():
    given = {'jax': '0.10', '<b>': '</dd><dt>x</dt>', 'a & b': 'two\nlines'}
    assert read_pairs(f'<p>{html(pairs(given))}</p><dl></dl>{html(pairs({"python": "3"}))}') == given | {'python': '3'}


def test_settings_are_nested_lists():
    assert html(nested({'a': {'b': [1, 2]}})) == '<ul><li><b>a</b>: <ul><li><b>b</b>: 1, 2</li></ul></li></ul>'
    assert [nested(value) for value in (None, '', {}, 3)] == ['none', 'none', 'none', '3']


def test_a_table_scrolls_and_may_have_a_caption():
    rows = [tag('tr', tag('td', '1'))]
    assert html(table([column_head('n')], rows)).startswith('<div class="scroll" tabindex="0"><table><thead><tr><th')
    assert '<table><caption>Sizes</caption><thead>' in html(table([column_head('n')], rows, 'Sizes'))


def test_the_kit_imports_no_page():
    folder = pathlib.Path(report.__file__).parent
    for name in ('elements', 'components', 'page', 'canvas'):
        tree = ast.parse((folder / f'{name}.py').read_text())
        modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        ours = {module for module in modules if module.startswith('perturbjax')}
        assert ours <= {f'perturbjax.report.{kit}' for kit in ('elements', 'components', 'page', 'canvas')}
