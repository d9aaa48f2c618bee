"""Distances between sets of cells against the numbers of pertpy, and by hand."""

import json

import numpy as np
import pytest
import scipy.optimize
from referees_for_tests import draw_pair, read_golden
from scipy.spatial.distance import cdist

from perturbjax.evaluation.referees.distances import cell_distances, energy_distance, mmd, wasserstein
from perturbjax.evaluation.referees.pair import make_pair

RNG = np.random.default_rng(0)


def logs(cells, label):
    values = cells[(cells.obs['target'] == label).to_numpy()].X.toarray().astype(float)
    total = values.sum(axis=1, keepdims=True)
    return np.log1p(values * (1e4 / np.where(total > 0, total, 1)))


@pytest.mark.parametrize('case', ['drawn', 'control pasted', 'few counts, many ties'])
def test_the_numbers_of_pertpy(golden, case):
    pair = read_golden(golden / 'referees_cell_eval2.json')[case]['pair']
    table = cell_distances(make_pair(*pair))
    for label, expected in json.loads((golden / 'referees_pertpy.json').read_text())[case].items():
        x, y = (logs(side, label) for side in pair)
        assert energy_distance(x, y) == pytest.approx(expected['edistance'], rel=1e-12)
        assert mmd(x, y) == pytest.approx(expected['mmd'], rel=1e-12)
        assert mmd(x, y, 'rbf', gamma=0.01) == pytest.approx(expected['mmd rbf 0.01'], rel=1e-12)
        assert mmd(x, y, 'poly', gamma=0.1, degree=3) == pytest.approx(expected['mmd poly 0.1 3'], rel=1e-12)
        assert wasserstein(x, y) == pytest.approx(expected['wasserstein'], rel=1e-6)
        assert list(table.loc[label]) == pytest.approx([energy_distance(x, y), mmd(x, y), wasserstein(x, y)], rel=1e-6)


def test_by_hand():
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0]])
    assert energy_distance(x, y) == pytest.approx(2 * 1 - 1 - 0)
    assert mmd(x, y) == pytest.approx(0)  # the means are equal
    assert mmd(x, y, 'poly') == pytest.approx((16 / 4) + 1 - 2 * (4 / 2))
    assert mmd(x, y, 'rbf', gamma=0.5) == pytest.approx((2 + 2 * np.exp(-2)) / 4 + 1 - 2 * np.exp(-0.5))
    assert wasserstein(x, y) == pytest.approx(1)  # there is one coupling


def test_the_coupling_is_near_the_cheapest_one():
    x, y = RNG.normal(size=(20, 3)), RNG.normal(1, 1, size=(20, 3))
    costs = cdist(x, y, 'sqeuclidean')
    cheapest = costs[scipy.optimize.linear_sum_assignment(costs)].mean()
    bound = 0.05 * costs.std() * np.log(20)  # the entropy of a coupling of equal weights is between those of 20 and 400
    assert cheapest < wasserstein(x, y) < cheapest + bound


def test_order_and_sides_do_not_matter():
    truth, prediction = draw_pair(cells=9)
    table = cell_distances(make_pair(truth, prediction))
    pd_other = cell_distances(make_pair(truth[::-1].copy(), prediction))
    np.testing.assert_allclose(table, pd_other, rtol=1e-5)
    x, y = logs(truth, 'G0'), logs(prediction, 'G0')
    for distance in (energy_distance, mmd, wasserstein):
        assert distance(x, y) == pytest.approx(distance(y, x), rel=1e-3)
    assert energy_distance(x, x) == pytest.approx(0, abs=1e-12)
    assert mmd(x, x) == pytest.approx(0, abs=1e-12)
