"""The page: all of it is there, all of it is escaped, and it needs nothing else."""

import html.parser
import re
from xml.etree.ElementTree import tostring

import numpy as np
import pandas as pd
import pytest
from results_for_tests import EVIL, results

from perturbjax.evaluation.coverage import COLUMNS
from perturbjax.evaluation.metrics import METRICS
from perturbjax.evaluation.published import Beside
from perturbjax.report import report_page
from perturbjax.report.elements import tag
from perturbjax.report.results import sections
from perturbjax.report.results import tables as page_tables

CONFIG = {'seed': 7, 'data': {'path': EVIL, 'fields': {}}, 'models': [{'name': 'lpm'}], 'split': {'seeds': [13, 14]}}


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects them and the text; tables as lists of rows of cells."""

    def __init__(self, text):
        super().__init__()
        self.source = text
        self.open, self.tags, self.text, self.tables = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ('meta', 'wbr'):
            self.open.append(tag)
        if tag == 'table':
            self.tables.append([])
        elif tag == 'tr':
            self.tables[-1].append([])
        elif tag in ('td', 'th'):
            self.tables[-1][-1].append('')

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if 'td' in self.open or 'th' in self.open:
            self.tables[-1][-1][-1] += f'{data} ' if 'small' in self.open else data

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

    def table(self, *head):
        """The first table whose head begins so."""
        return next(rows for rows in self.tables if all(map(str.startswith, rows[0], head)))


def part(elements):
    """A part of the page on its own: the whole takes its time to draw."""
    return Page(tostring(tag('div', *elements), encoding='unicode', method='html'))


@pytest.fixture(scope='module')
def full():
    return Page(report_page(results(), CONFIG))


def test_all_parts_are_there(full):
    text = ''.join(full.text)
    for part in (
        'lpm beats it.', 'few profiles', 'Scores', 'Next to the simple rules', 'Can these metrics be read here?',
        'Profile by profile', 'Predicted and observed changes', 'By number of readouts', 'Genetic interactions',
        'Do predictions differ', 'Training', 'seed: 7', '13, 14', 'Versions and seeds', 'jax', 'matplotlib',
    ):  # fmt: skip
        assert part in text
    for name, metric in METRICS.items():
        assert name in text
        assert f'{metric.range}. Source: {metric.source}.' in text
        assert metric.definition in text
    # forest, calibration, 2 strips, 3 changes of 2 models (a third predicts nothing), 4 curves, collapse,
    # interactions, training, linear sweep
    assert full.count('svg') == full.count('figure') == full.count('figcaption') == 19


def test_the_verdict_comes_first(full):
    text = ''.join(full.text)
    assert text.index('lpm beats it.') < text.index('Notes') < text.index('no_change')


def test_what_users_named_is_escaped(full):
    assert full.count('script') == 0
    assert '<script' not in full.source.lower()
    assert ''.join(full.text).count(EVIL) >= 10


def test_the_page_stands_alone(full):
    assert not {'script', 'link', 'img', 'iframe', 'image', 'foreignobject'} & {tag for tag, _ in full.tags}
    attributes = [each for _, given in full.tags for each in given.items()]
    assert 'src' not in dict(attributes)
    assert all(value.startswith('#') for name, value in attributes if name.endswith('href'))
    assert not any(name.startswith('on') for name, _ in attributes)
    assert not re.search(r'url\((?!#)|@import|https?:', full.source)


def test_ids_are_unique_and_links_lead_somewhere(full):
    ids = [given['id'] for _, given in full.tags if 'id' in given]
    assert len(ids) == len(set(ids))
    links = {given['href'][1:] for _, given in full.tags if 'href' in given}
    clips = set(re.findall(r'url\(#([^)]*)\)', full.source))
    assert links | clips <= set(ids)
    assert links & {'scores', 'settings'} == {'scores', 'settings'}


def test_pictures_have_words(full):
    assert all(given['role'] == 'img' and given['aria-label'] for tag, given in full.tags if tag == 'svg')


def test_the_page_is_the_same_on_every_run(full):
    assert report_page(results(), CONFIG) == full.source


def test_scores_stand_with_interval_coverage_and_calibration(full):
    head, *rows = full.table('model', 'coverage', 'l2')
    lower = [name for name, metric in METRICS.items() if metric.lower_is_better]
    marks = ('✓\xa0calibrated here', '✗\xa0not calibrated here: DRF 0.0200 [-0.0800, 0.120]', 'calibration not known')
    positions = [list(METRICS).index(name) for name in lower]
    assert [cell.strip() for cell in head[2:]] == [f'{n}{marks[i % 3]}' for n, i in zip(lower, positions)]
    cells = {row[0]: [cell.strip() for cell in row[1:]] for row in rows}
    assert cells['lpm'][:2] == ['100.0%n = 40', '★ 0.800[0.750, 0.850]']
    assert cells['silent'][1] == '-'
    groups = [row[0] for row in rows if len(row) == 1]
    assert groups == ['simple rules', 'models']
    assert [row[0] for row in rows].index('models') == 3


def test_the_best_is_marked_by_more_than_colour(full):
    bold = [given for _, given in full.tags if 'best' in given.get('class', '').split()]
    assert len(bold) == len(METRICS) == sum('★ ' in text for text in full.text if text != '★ and bold') - 1


def test_controls_are_no_candidates_for_the_best():
    found = part(sections.scores(results({'mean': 1.0, 'permuted_labels': 0.5})))
    rows = found.table('model', 'coverage', 'l2')
    assert [row[0] for row in rows if len(row) == 1] == ['simple rules', 'controls']
    assert {row[0] for row in rows if any('★' in cell for cell in row)} == {'mean'}


def test_metrics_that_are_not_calibrated_are_grey_all_the_way(full):
    cells = [given for tag, given in full.tags if tag in ('td', 'th') and 'off' in given.get('class', '').split()]
    greyed = len([position for position in range(len(METRICS)) if position % 3 == 1])
    # In both tables of scores a head and six models; in that of differences a head and four models.
    assert len(cells) == greyed * (7 + 5)


def test_differences_stand_with_interval_ratio_and_p(full):
    head, *rows = full.table('metric', 'lpm')
    assert head == ['metric', 'lpm', 'wild', 'silent', EVIL]
    cells = {' '.join(row[0].split()): [cell.strip() for cell in row[1:]] for row in rows}
    expected = '-0.200 better[-0.250, -0.150] × 0.800 [0.750, 0.850] p = 0.0100'
    assert cells['l2minus mean'][0] == expected
    assert cells['l2minus mean'][2] == '-'
    assert cells['r2minus mean'][0] == '-0.200 worse[-0.250, -0.150] p = 0.0100'


@pytest.mark.parametrize(
    ('metric', 'low', 'high', 'word'),
    [
        ('l2', -2, -1, 'better'),
        ('l2', 1, 2, 'worse'),
        ('l2', -1, 1, 'unclear'),
        ('l2', -1, 0, 'unclear'),
        ('l2', np.nan, np.nan, 'unclear'),
        ('r2', 1, 2, 'better'),
        ('r2', -2, -1, 'worse'),
    ],
)
def test_outcome(metric, low, high, word):
    row = results().summary.iloc[0].copy()
    row[['metric', 'difference', 'difference_low', 'difference_high']] = metric, (low + high) / 2, low, high
    assert page_tables.outcome(row) == word


def test_many_models_have_several_tables_of_differences():
    given = results({'mean': 1.0} | {f'model{position}': 0.5 for position in range(30)})
    found = part(page_tables.difference_tables(given.summary, given.calibration))
    assert [len(rows[0]) - 1 for rows in found.tables] == [6] * 5
    assert found.tables[1][0][1] == 'model6'


def test_controls_have_a_table(full):
    head, first, second, third, *_ = full.table('metric', 'calibrated')
    assert head[2:4] == ['DRF', 'BDS']
    cells = ['0.750', '2.00', '3.00', '1.00', '0.500', '0.750']
    assert [cell.strip() for cell in first] == ['l2', '✓ yes', '0.500[0.400, 0.600]', *cells]
    assert [cell.strip() for cell in second] == ['rmse', '✗ no', '0.0200[-0.0800, 0.120]', *cells]
    assert [cell.strip() for cell in third] == ['mse', 'not known', '-', *cells]


def test_without_replicates_calibration_is_not_known():
    given = results(calibration=results().calibration.iloc[:0], calibration_unknown='all contexts are new')
    found = part([*sections.scores(given), *sections.comparison(given), *sections.controls(given)])
    assert 'Calibration is not known: all contexts are new.' in ''.join(found.text)
    assert all('calibration not known' in cell for cell in found.table('model', 'coverage', 'l2')[0][2:])
    assert not [given for _, given in found.tags if 'off' in given.get('class', '').split()]
    assert 'Grey:' not in ''.join(found.text)


def test_metrics_without_a_value_are_named_below():
    given = results()
    given.summary.loc[given.summary['metric'].isin(['mse', 'des']), ['value', 'low', 'high']] = np.nan
    found = part(sections.scores(given))
    assert 'Not defined on these data: mse, des.' in ''.join(found.text)
    assert not any(cell.startswith('mse') for cell in found.table('model', 'coverage', 'l2')[0])


def test_interactions_have_tables_notes_and_a_curve(full):
    assert full.table('screen', 'delta')[1] == ['screen', '0', '0.500', '2']
    assert full.table('model', 'screen', 'auprc')[1] == ['no_change', 'screen', '0.625', '0.750']
    assert 'No interactions are called in other.' in full.text


def test_without_nulls_the_notes_stay():
    doubles = results().doubles
    given = results(doubles=doubles._replace(nulls=doubles.nulls.iloc[:0], curves=doubles.curves.iloc[:0]))
    found = part(sections.genetic_interactions(given))
    assert 'No interactions are called in other.' in found.text


def test_little_is_said_of_little():
    silent = results({'mean': np.nan}, profiles=1)
    silent.scores['value'] = np.nan
    silent = silent._replace(doubles=None, training=None, linear_sweep=None, curves=silent.curves.iloc[:0], notes=[])
    found = Page(report_page(silent, {}))
    text = ''.join(found.text)
    assert not any(part in text for part in ('Notes', 'Training', 'Genetic interactions', 'By number of readouts'))
    assert 'Not defined on these data: l2' in text


@pytest.mark.parametrize(('ratios', 'profiles'), [({'mean': 1.0}, 1), ({'mean': 1.0, 'lpm': np.nan}, 2)])
def test_few_models_and_profiles(ratios, profiles):
    found = Page(report_page(results(ratios, profiles=profiles), {}))
    assert found.count('svg') > 8
    assert 'nan' not in ''.join(found.text)


def test_intervals_are_shown_where_a_model_has_a_spread():
    assert sections.intervals(results()) == []
    coverage = pd.DataFrame([('lpm', 0.5, 0.41, 1234, 0.38, 0.44)], columns=COLUMNS)
    found = part(sections.intervals(results(interval_coverage=coverage)))
    assert [text for text in found.text if text in ('lpm', '0.500', '0.410', '1,234', '0.380', '0.440')] == [
        'lpm', '0.500', '0.410', '1,234', '0.380', '0.440'
    ]  # fmt: skip


def test_published_scores_stand_in_their_own_rows_with_what_was_selected():
    assert sections.published(results()) == []
    values = [f'{name}{end}' for name in ('l2', 'ratio', 'pearson_delta') for end in ('', '_low', '_high')]
    nan = np.nan
    lpm = ('lpm', 'this run', 62, 2.5, 2, 3, 0.5, 0.4, 0.6, nan, nan, nan)
    cpa = ('cpa', 'published', 61, 12.25, 11, 13, nan, nan, nan, 0.5, nan, nan)
    scores = pd.DataFrame([lpm, cpa], columns=['model', 'source', 'perturbations', *values])
    found = part(sections.published(results(published=Beside(scores, ['CPA was selected.', EVIL]))))
    table = found.table('model', 'perturbations', 'l2')
    assert [row[0] for row in table[1:]] == ['this run', 'lpm', 'published', 'cpa']
    assert table[2][1:] == ['62', '2.50[2.00, 3.00] ', '0.500[0.400, 0.600] ', '-']
    assert table[4][1:] == ['61', '12.2[11.0, 13.0] ', '-', '0.500']
    assert {'CPA was selected.', EVIL} <= set(found.text)


def test_too_few_duplicates_are_not_known_in_the_table():
    few = results().calibration.assign(duplicates=2, calibrated=pd.array([None] * len(METRICS), 'boolean'))
    text = ''.join(part(sections.controls(results(calibration=few))).text)
    assert 'This rests on 2 pairs of context and perturbation with replicates' in text
    assert text.count('not known') == len(METRICS) + 1
