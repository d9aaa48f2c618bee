"""Tables of differential expression against scipy, and what follows from them by hand."""

import numpy as np
import pytest
import scipy.stats
from referees_for_tests import as_cells, draw_pair

from perturbjax.evaluation.referees import significant
from perturbjax.evaluation.referees.differential import Differential, differential, rank_sum
from perturbjax.evaluation.referees.pair import make_pair

NOBODY = np.zeros((1, 12), bool)
NAMES = tuple(f'r{i:02d}' for i in range(12))


def table(change, adjusted, p_value=None):
    """One perturbation; readouts that are not given do not change."""
    change, adjusted = (
        np.pad(each, (0, 12 - len(each)), constant_values=fill) for each, fill in ((change, 0.0), (adjusted, 1.0))
    )
    p_value = adjusted / 2 if p_value is None else np.pad(p_value, (0, 12 - len(p_value)), constant_values=1.0)
    return Differential(change[None], p_value[None], adjusted[None], np.ones(12, bool))


def test_the_table_against_scipy():
    truth, prediction = draw_pair()
    pair = make_pair(truth, prediction)
    found = differential(pair, pair.prediction)
    scaled = [1e6 * each / each.sum(axis=1, keepdims=True) for each in (pair.prediction.of(2), pair.truth.of(5))]
    assert found.tested.sum() == 39  # the last readout is not seen in control
    means = [each.mean(axis=0) for each in scaled]
    np.testing.assert_allclose(found.change[2], np.log2((means[0] + 1e-9) / (means[1] + 1e-9)), rtol=1e-6, atol=1e-12)
    own, control = scaled
    p = [
        scipy.stats.mannwhitneyu(own[:, j], control[:, j], use_continuity=False, method='asymptotic').pvalue
        for j in range(39)
    ]
    np.testing.assert_allclose(found.p_value[2, :39], p)
    np.testing.assert_allclose(found.adjusted[2, :39], scipy.stats.false_discovery_control(p))
    assert np.isnan(found.adjusted[:, 39]).all()


def test_equal_values_differ_in_nothing():
    assert rank_sum(np.ones((3, 2)), np.ones((4, 2))) == pytest.approx([1, 1])
    p = rank_sum(np.array([[1.0, 0], [2, 0]]), np.array([[3.0, 0], [4, 0]]))
    assert p[1] == 1
    assert p[0] == pytest.approx(2 * scipy.stats.norm.sf(2 / np.sqrt(4 * 5 / 12)))


def test_logarithms_are_compared_in_all_readouts_by_their_linear_means():
    logs = np.log1p(np.array([[0.0, 3], [0, 5], [0, 1], [0, 3]]))
    data = as_cells(logs, ['A', 'A', 'non-targeting', 'non-targeting'])
    pair = make_pair(data, data, counts=False)
    found = differential(pair, pair.truth)
    assert found.tested.all()
    np.testing.assert_allclose(found.change, [[0, 1]], atol=1e-6)


def test_sets_by_hand():
    truth, prediction = table([1, 1, 1, 1], [0.01, 0.01, 0.01, 0.2]), table([1, 1, 1, 1], [0.01, 0.04, 0.5, 0.04])
    assert significant.significant_jaccard(truth, prediction, NOBODY) == [2 / 4]
    own = NOBODY.copy()
    own[0, 0] = True
    assert significant.significant_jaccard(truth, prediction, own) == [1 / 3]
    nothing = table([], [])
    assert significant.significant_jaccard(nothing, nothing, NOBODY) == [1]
    # Exactly 5% is not significant, and neither is a readout that was not tested.
    assert significant.significant_jaccard(table([1.0], [0.05]), table([1.0], [np.nan]), NOBODY) == [1]


def test_changes_by_hand():
    change = np.array([2.0, -2, 2, -2, 2, -2, 2, -2, 2, -2, 9])
    truth = table(change, [0.01] * 10 + [0.9])
    prediction = change / 2
    prediction[0] = np.inf  # counts as no change
    assert significant.change_nmae(truth, table(prediction, [1.0] * 11), NOBODY) == pytest.approx([(2 + 9) / 20])
    assert significant.change_nmae(truth, table([], []), NOBODY) == [1]
    own = NOBODY.copy()
    own[0, 1] = True
    assert np.isnan(significant.change_nmae(truth, truth, own)).all()  # nine are too few


def test_fidelity_by_hand():
    truth = table([1, 1, -1, 0, -1.0], [0.01, 0.01, 0.9, 0.01, 0.9])
    prediction = table([1, -1, -1, 1, 1], [0.01] * 5)
    # Called with a true sign: 0, 1, 2 and 4, of which 0 and 2 are right; truly significant: 0, 1 and 3.
    assert significant.direction_fidelity(truth, prediction, NOBODY) == [2 / 4]
    shy = table([1.0, 1], [0.01, 0.9])
    assert significant.direction_fidelity(truth, shy, NOBODY) == [1 / 3]
    no_sign = table([0.0, 0], [0.01, 0.01])
    assert significant.direction_fidelity(truth, no_sign, NOBODY) == [0]
    assert np.isnan(significant.direction_fidelity(table([], []), table([], []), NOBODY)).all()


def test_reach_by_hand():
    truth = table([1.0] * 11, [0.01] * 11)
    right = np.ones(11)
    right[10] = -1
    # In the order of the names ten are right, then one is wrong: 10 / 11 is still more than 90%.
    assert significant.direction_reach(truth, table(right, [0.5] * 11), NOBODY, NAMES) == [1]
    wrong = np.ones(11)
    wrong[1] = -1
    # The first is right; with the second there are never 90% again, until 9 of 10 are.
    assert significant.direction_reach(truth, table(wrong, [0.5] * 11), NOBODY, NAMES) == [11 / 11]
    wrong[2] = -1
    assert significant.direction_reach(truth, table(wrong, [0.5] * 11), NOBODY, NAMES) == [1 / 11]
    # The wrong ones come last by adjusted p value, by p value, or by size.
    late = np.where(wrong < 0, 0.7, 0.5)
    for last in (table(wrong, late), table(wrong, [0.5] * 11, late), table(np.where(wrong < 0, -0.1, 1), [0.5] * 11)):
        assert significant.direction_reach(truth, last, NOBODY, NAMES) == [10 / 11]
    assert significant.direction_reach(truth, table([], []), NOBODY, NAMES) == [0]
    assert np.isnan(significant.direction_reach(table([], []), truth, NOBODY, NAMES)).all()
