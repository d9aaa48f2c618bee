"""Figures: what is drawn, with awkward names, gaps, and little or much to draw."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from results_for_tests import EVIL, READOUTS, results

from perturbjax import report
from perturbjax.evaluation.metrics import METRICS
from perturbjax.report import canvas, elements
from perturbjax.report.results.examples import examples, judged
from perturbjax.report.results.figures import LEAST_ANCHORED, MOST_DOTS, MOST_RATIO
from perturbjax.report.results.models import pens

FIGURES = (
    report.anchored,
    report.forest,
    report.strip,
    report.calibration,
    report.changes,
    report.readout_curve,
    report.collapse,
    report.interaction_curve,
    report.training_curve,
    report.linear_sweep_curve,
)


def marks(axes, marker):
    """The positions (x, y) of all marks of a shape."""
    return [(x, y) for line in axes.lines if line.get_marker() == marker for x, y in zip(*map(list, line.get_data()))]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def lines(axes):
    """The lines of the key by name."""
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith('_child')}


def key(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_anchored_scores_lie_between_two_lines():
    axes = report.anchored(results())
    np.testing.assert_allclose([x for x, _ in marks(axes, 'o')], [-0.25, 0, 0.2, 0.1], atol=1e-9)
    assert marks(axes, '<')[0][0] == LEAST_ANCHORED
    lines_at = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == '--'}
    assert lines_at == {0, 1}
    assert axes.get_xlabel() == 'l2 (0: context mean, 1: a repeat)'
    assert '0.200 [0.150, 0.250]' in texts(axes)
    assert 'silent' not in texts(axes)


def test_forest_has_a_dot_and_an_interval_for_each_known_ratio():
    axes = report.forest(results())
    assert [x for x, _ in marks(axes, 'o')] == [1.25, 0.8, 0.9]
    assert marks(axes, '>')[0][0] == MOST_RATIO
    intervals = [line.get_xdata() for line in axes.lines if line.get_marker() == '|']
    np.testing.assert_allclose(intervals, [[1.2, 1.3], [0.75, 0.85], [0.85, 0.95]])
    assert {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == '--'} == {1}
    assert '0.800 [0.750, 0.850]' in texts(axes)
    assert 'mean' not in texts(axes)
    assert 'silent' not in texts(axes)
    heights = [y for _, y in marks(axes, 'o')]
    assert heights == sorted(heights)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_models_are_told_from_simple_rules_by_weight_and_filling():
    axes = report.forest(results())
    weights = {text.get_text(): text.get_fontweight() for text in axes.texts}
    assert (weights['lpm'], weights['no_change']) == ('bold', 'normal')
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == 'o']
    assert faces == ['white', canvas.BLUE, canvas.BLUE]


def test_forest_takes_the_first_metric_with_ratios():
    given = results()
    summary = given.summary.copy()
    summary.loc[summary['metric'] == 'l2', ['ratio', 'ratio_low', 'ratio_high']] = np.nan
    assert report.forest(given._replace(summary=summary)).get_xlabel().startswith('rmse / that of mean')
    assert report.forest(given, metric='mae').get_xlabel().startswith('mae')


def test_an_interval_that_goes_beyond_the_axis_has_no_end_there():
    given = results({'mean': 1.0, 'lpm': 1.98})
    axes = report.forest(given)
    assert marks(axes, '>') == [(MOST_RATIO, marks(axes, 'o')[0][1])]
    interval = next(line for line in axes.lines if line.get_marker() == '|')
    assert (interval.get_xdata()[0], interval.get_markevery()) == (pytest.approx(1.93), [0])


def test_a_ratio_without_interval_is_a_dot():
    given = results({'mean': 1.0, 'lpm': 0.8})
    given.summary[['ratio_low', 'ratio_high']] = np.nan
    axes = report.forest(given)
    assert len(marks(axes, 'o')) == 1
    assert not marks(axes, '|')
    assert '0.800 ' in texts(axes)


def test_strip_has_a_dot_per_profile_and_the_median():
    axes = report.strip(results({'mean': 1.0, 'lpm': 0.5}))
    assert [x for x, _ in marks(axes, 'o')] == [1, 2, 3, 4, 0.5, 1, 1.5, 2]
    bars = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == '-']
    assert bars == [2.5, 1.25]
    assert 'median 1.25, n = 4' in texts(axes)
    assert axes.get_xlabel() == 'l2 of a held-out profile (left is better)'
    assert report.strip(results(), metric='r2').get_xlabel() == 'r2 of a held-out profile (right is better)'


def test_strip_is_the_same_on_every_run_and_stays_in_its_row():
    first, second = (marks(report.strip(results(profiles=100)), 'o') for _ in range(2))
    assert first == second
    assert all(abs(y - round(y)) < 0.45 for _, y in first)


def test_strip_draws_a_part_of_very_many_profiles():
    axes = report.strip(results({'mean': 1.0, 'lpm': 0.5}, profiles=4000))
    drawn = [x for x, _ in marks(axes, 'o')]
    assert len(drawn) == MOST_DOTS
    assert {1, 4000, 0.5, 2000} <= set(drawn)
    assert 'median 1e+03, n = 4,000' in texts(axes)


def test_strip_does_not_let_one_model_press_the_others_together():
    axes = report.strip(results())
    assert [x for x, _ in marks(axes, '>')] == [5 + 1.5 * 4] * 4
    assert axes.get_xlim()[1] < 12


def test_calibration_shows_known_fractions():
    axes = report.calibration(results())
    known = [name for position, name in enumerate(METRICS) if position % 3 != 2]
    assert [x for x, _ in marks(axes, 'o')] == [(0.5, 0.02)[position % 2] for position in range(len(known))]
    assert [x for x, _ in marks(axes, 'D')] == [0.75] * len(known)
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == 'o']
    assert faces[:2] == [canvas.BLUE, 'white']
    assert axes.get_xlim()[0] < -0.08


def test_collapse_stands_beside_the_truth():
    axes = report.collapse(results({'mean': 1.0, 'lpm': 0.5}))
    assert [x for x, _ in marks(axes, 'o')] == [0.5, 0.25]
    assert [x for x, _ in marks(axes, '|')] == [0.25, 0.25]
    assert 'truth' not in texts(axes)


@pytest.mark.parametrize(
    ('which', 'name', 'l2'), [('best', 'G0', '0.800'), ('median', 'G1', '1.60'), ('worst', 'G3', '3.20')]
)
def test_changes_of_the_best_the_median_and_the_worst(which, name, l2):
    axes = report.changes(results(), which=which)
    assert axes.get_title(loc='left') == f'{which}: CRISPRi_{name}\nK562; r = {l2}, L2 = {l2}'
    np.testing.assert_allclose(sorted(marks(axes, 'o')), [(1, 0.8), (2, 1.6), (3, 2.4)])
    assert axes.get_xlim() == axes.get_ylim()
    assert 'ln(1 + counts per 10,000)' in axes.get_xlabel()


def test_changes_leave_out_what_is_missing():
    given = results()
    given.predictions.layers['lpm'][:, 1] = np.nan
    given.predictions.layers['truth'][:, 0] = np.nan
    np.testing.assert_allclose(marks(report.changes(given), 'o'), [(3, 2.4)])
    given.predictions.layers['truth'][:] = np.nan
    assert not marks(report.changes(given), 'o')


def test_changes_without_a_correlation_say_so():
    given = results()
    given.scores.loc[given.scores['metric'] == 'pearson_delta', 'value'] = np.nan
    assert 'r is not defined' in report.changes(given).get_title(loc='left')


def test_changes_draw_a_part_of_very_many_readouts(monkeypatch):
    monkeypatch.setattr('perturbjax.report.results.examples.MOST_READOUTS', 2)
    assert sorted(x for x, _ in marks(report.changes(results()), 'o')) == [1, READOUTS]


def test_examples_are_ordered_by_the_ratio_to_mean():
    given = results({'mean': 1.0, 'lpm': 0.5})
    ratio = given.scores['perturbation'].map(dict(zip(given.scores['perturbation'].unique(), (4, 1, 3, 2))))
    given.scores['reference'] = given.scores['value'] / ratio
    found = examples(given, 'lpm')
    assert {which: row['perturbation'] for which, row in found.items()} == {
        'best': 'CRISPRi_G1', 'median': 'CRISPRi_G3', 'worst': 'CRISPRi_G0',
    }  # fmt: skip


@pytest.mark.parametrize(
    ('profiles', 'found'), [(1, {'best'}), (2, {'best', 'worst'}), (3, {'best', 'median', 'worst'})]
)
def test_examples_of_few_profiles(profiles, found):
    assert set(examples(results(profiles=profiles), 'lpm')) == found
    assert not examples(results(profiles=profiles), 'silent')


def test_judged_are_the_models_or_else_the_best_rule():
    assert judged(results()) == ['lpm', 'wild', 'silent', EVIL]
    assert judged(results({'no_change': 0.5, 'mean': 1.0})) == ['no_change']


def test_readout_curves_are_told_apart_without_colour():
    axes = report.readout_curve(results({'mean': 1.0, 'lpm': 0.5}))
    drawn = lines(axes)
    np.testing.assert_allclose(drawn['lpm'].get_data(), [[1, 2, 3], [0.5, 1, 1.5]])
    assert axes.get_xscale() == 'log'
    assert len({line.get_marker() for line in drawn.values()}) == 2
    assert len({line.get_linestyle() for line in drawn.values()}) == 2
    assert key(axes) == ['mean', 'lpm']
    assert axes.get_legend().get_title().get_text() == 'l2 over the n readouts highest in control'
    defined = report.readout_curve(results(), metric='pearson_delta', ranking='delta')
    assert list(lines(defined)['lpm'].get_xdata()) == [2, 3]


def test_a_line_that_goes_wrong_leaves_the_axes():
    low, high = report.readout_curve(results()).get_ylim()
    assert 3.75 < high < 10
    assert low < 0.8


def test_thirty_models_have_a_key_that_can_be_read():
    axes = report.readout_curve(results({'mean': 1.0} | {f'model{i}': 2 - i / 40 for i in range(29)}))
    shown = key(axes)
    assert shown == ['mean', *(f'model{i}' for i in range(22, 29)), '22 others']
    assert len(axes.lines) == 30


def test_pens_differ_in_more_than_colour_and_go_to_models_first():
    assert [len({pen[name] for pen in canvas.PENS}) for name in ('color', 'linestyle', 'marker')] == [8, 8, 8]
    assert list(pens(results({'no_change': 0.5, 'mean': 1.0, 'lpm': 2.0}))) == ['lpm', 'no_change', 'mean']


def test_interaction_curve_is_the_mean_over_splits():
    axes = report.interaction_curve(results({'mean': 1.0, 'lpm': 0.5}))
    proportion, rate = lines(axes)['lpm'].get_data()
    at = dict(zip(np.round(rate, 2), proportion))
    assert (at[0.3], at[0.5], at[0.51], at[1.0]) == (0.25, 0.25, 0.8, 0.8)
    chance = next(line for line in axes.lines if line.get_linestyle() == '--' and line.get_label().startswith('_child'))
    assert chance.get_xdata()[0] == pytest.approx(0.8)


def test_training_curve_draws_what_is_known():
    axes = report.training_curve(results())
    drawn = lines(axes)
    assert set(drawn) == {'lpm, training RMSE', EVIL}
    assert drawn[EVIL].get_data()[1].tolist() == [1.5]
    assert (axes.get_yscale(), axes.get_xlabel()) == ('log', 'epoch')
    falling = results(training=pd.DataFrame({'loss': [1.0, -1.0]}))
    assert report.training_curve(falling).get_yscale() == 'linear'


def test_linear_sweep_curve_has_a_line_per_ridge():
    axes = report.linear_sweep_curve(results())
    drawn = lines(axes)
    assert set(drawn) == {'ridge 0', 'ridge 1'}
    np.testing.assert_allclose(drawn['ridge 1'].get_data(), [[1, 9], [1.5, 9.5]])
    assert any(list(line.get_ydata()) == [1, 1] for line in axes.lines)


@pytest.mark.parametrize('figure', FIGURES)
def test_axes_are_those_given_or_new_ones(figure):
    mine = Figure().add_subplot()
    assert figure(results(), mine) is mine
    assert figure(results()).figure is not mine.figure


@pytest.mark.parametrize('figure', FIGURES)
def test_settings_of_matplotlib_stay_as_they_are(figure):
    before = dict.copy(matplotlib.rcParams)
    elements.picture(figure(results()), 'name', 'words')
    assert {name for name, value in before.items() if matplotlib.rcParams[name] != value} <= {'backend'}


def without_anything():
    given = results({'mean': np.nan})
    given.scores['value'] = np.nan
    empty = given.doubles._replace(curves=pd.DataFrame(columns=given.doubles.curves.columns))
    return given._replace(
        calibration=given.calibration.iloc[:0],
        curves=given.curves.iloc[:0],
        doubles=empty,
        training=None,
        linear_sweep=None,
    )


@pytest.mark.parametrize('figure', FIGURES)
@pytest.mark.parametrize('given', [without_anything(), without_anything()._replace(doubles=None)])
def test_nothing_to_draw_is_said(figure, given):
    axes = figure(given)
    assert not axes.has_data()
    assert len(texts(axes)) == 1
    elements.picture(axes, 'name', 'words')


PLAIN = ['_hidden', '$x_1$', '$', '\\frac', '<b>&', 'é', '日本']
AWKWARD = ['', '日本語の長い名前のモデル' * 3, 'é' * 100, 'a\nb\tc\x00', '🧬 x', 'عربى', EVIL]


@pytest.mark.parametrize('figure', FIGURES)
@pytest.mark.parametrize('names', [PLAIN, AWKWARD])
def test_any_name_can_be_drawn(figure, names):
    given = results({'mean': 1.0} | {name: 0.5 + position / 10 for position, name in enumerate(names)})
    axes = figure(given._replace(training=pd.DataFrame({name: [2.0, 1.0] for name in names})))
    text = ''.join(elements.picture(axes, 'name', 'words').itertext())
    assert '\x00' not in text
    if names == PLAIN and figure not in (report.changes, report.calibration, report.linear_sweep_curve):
        assert all(name in text for name in names)


@pytest.mark.parametrize(
    ('name', 'most', 'short'),
    [
        ('lpm', 3, 'lpm'),
        ('0123456789', 10, '0123456789'),
        ('0123456789', 7, '0123…89'),
        ('日本語日本語', 7, '日本…語'),
        ('a\nb', 5, 'a b'),
        ('', 5, ''),
    ],
)
def test_shorten(name, most, short):
    assert canvas.shorten(name, most) == short


@pytest.mark.parametrize('values', [[2.0, 2.0], [1e-6, 1e6], [5.0], [0.0, 0.0], [0.999999, 1.000001], [1e-300, 1.0]])
def test_any_curve_can_be_drawn(values):
    picture = elements.picture(report.training_curve(results(training=pd.DataFrame({'loss': values}))), 'name', 'words')
    assert 'nan' not in ' '.join(value for element in picture.iter() for value in element.attrib.values())


def test_a_picture_is_the_same_on_every_run_and_says_what_it_is():
    first, second = (elements.picture(report.forest(results()), 'name', 'words') for _ in range(2))
    assert [(each.tag, each.attrib) for each in first.iter()] == [(each.tag, each.attrib) for each in second.iter()]
    assert (first.get('role'), first.get('aria-label'), first[0].tag, first[0].text) == (
        'img',
        'words',
        'title',
        'words',
    )
    assert not {'style', 'metadata'} & {each.tag for each in first.iter()}
    assert not [each.tag for each in first.iter() if '}' in each.tag]


def test_ids_of_pictures_do_not_clash_and_are_all_there():
    def ids(name):
        tree = elements.picture(report.changes(results()), name, 'words')
        referred = {value[1:] for each in tree.iter() for key, value in each.items() if key == 'href'}
        found = {each.get('id') for each in tree.iter()} - {None}
        assert referred <= found
        return found

    assert ids('a')
    assert not ids('a') & ids('b')
