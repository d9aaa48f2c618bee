"""The suite of the Virtual Cell Challenge 2026 against the numbers of cell-eval2, and where little is known."""

import numpy as np
import pytest
from referees_for_tests import THEIRS, as_cells, draw_pair, read_golden

from perturbjax.evaluation.referees import MEMBERS, aggregate, make_pair, vcc2026
from perturbjax.evaluation.referees.suite import EFFECT, ERROR, untested

OF_CELLS = [name for name, member in MEMBERS.items() if member.needs == 'cells']


@pytest.mark.parametrize('case', ['drawn', 'control pasted', 'few counts, many ties'])
def test_the_numbers_of_cell_eval2(golden, case):
    given = read_golden(golden / 'referees_cell_eval2.json')[case]
    found = vcc2026(make_pair(*given['pair']))
    for name in THEIRS:
        np.testing.assert_allclose(found[name], np.array(given['perturbations'][name], float), atol=1e-12, err_msg=name)
    for name, value in aggregate(found).items():
        assert value == pytest.approx(given['aggregate'][name], abs=1e-12), name


def test_the_truth_is_perfect():
    truth, _ = draw_pair()
    found = vcc2026(make_pair(truth, truth))
    known = aggregate(found)
    assert known['change_nmae'] == 0
    assert (known[['pds_cosine', 'direction_fidelity', 'direction_reach', 'significant_jaccard']] == 1).all()
    # It has no error to subtract the sampling from.
    assert known['expression_error'] < 0


def test_profiles_give_what_profiles_can():
    rng = np.random.default_rng(0)
    truth, prediction = (as_cells(rng.random((4, 6)) + 0.1, ['non-targeting', 'G0', 'G1', 'x']) for _ in range(2))
    pair = make_pair(truth, prediction, counts=False)
    assert untested(pair) == ['G0', 'G1', 'x']
    found = vcc2026(pair)
    assert found[OF_CELLS].isna().all(axis=None)
    assert found['pds_cosine'].notna().all()
    squares = [((truth.X - prediction.X).toarray()[row, kept] ** 2).mean() for row, kept in rows()]
    np.testing.assert_allclose(found[ERROR], squares, rtol=1e-5)
    squares = [((truth.X[[row]] - truth.X[[0]]).toarray()[0, kept] ** 2).mean() for row, kept in rows()]
    np.testing.assert_allclose(found[EFFECT], squares, rtol=1e-5)
    assert aggregate(found)['expression_error'] == pytest.approx(found[ERROR].sum() / found[EFFECT].sum())


def rows():
    """The perturbed rows, and the readouts without that of the perturbed gene."""
    return [(1, [1, 2, 3, 4, 5]), (2, [0, 2, 3, 4, 5]), (3, list(range(6)))]


def test_a_perturbation_of_one_cell_is_not_tested_and_the_others_are():
    truth, prediction = draw_pair()
    one = np.flatnonzero(prediction.obs['target'] == 'G1')[1:]
    pair = make_pair(truth, prediction[np.delete(np.arange(prediction.n_obs), one)])
    assert untested(pair) == ['G1']
    found, whole = vcc2026(pair), vcc2026(make_pair(truth, prediction))
    assert found.loc['G1', OF_CELLS].isna().all()
    np.testing.assert_array_equal(found.drop('G1')[OF_CELLS], whole.drop('G1')[OF_CELLS])


def test_without_any_effect_the_error_has_nothing_to_compare_with():
    same = as_cells(np.tile([3, 1, 2], (6, 1)), ['non-targeting'] * 2 + ['A'] * 2 + ['B'] * 2)
    assert np.isnan(aggregate(vcc2026(make_pair(same, same)))['expression_error'])
