import numpy as np
import pytest
import scipy.sparse
from screens_for_tests import measurements

from perturbjax.screens.aggregation import average
from perturbjax.screens.cells import Cells

ROWS = [('a', 'g', (3, 0)), ('a', 'control', (1, 1)), ('a', 'g', (1, 0)), ('a', 'control', (0, 4))]


def test_rows_are_kept_beside_their_profiles():
    profiles = average(measurements(ROWS, ['x', 'y']), keep_cells=True)
    assert profiles.perturbation.tolist() == ['control', 'g']
    assert profiles.kept.profile.tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(profiles.kept.values.toarray(), [[3, 0], [1, 1], [1, 0], [0, 4]])
    assert average(measurements(ROWS, ['x', 'y'])).kept is None


def test_counts_are_kept_normalised():
    kept = average(measurements(ROWS, ['x', 'y']), counts=True, target_sum=4, keep_cells=True).kept
    np.testing.assert_allclose(kept.values.toarray(), np.log1p([[4, 0], [2, 2], [4, 0], [0, 4]]), rtol=1e-6)


def test_missing_values_are_not_kept():
    kept = average(measurements([*ROWS, ('a', 'h', (np.nan, 1))], ['x', 'y']), keep_cells=True).kept
    assert kept.values is None


@pytest.mark.parametrize('keep', [True, False])
def test_means_are_the_same(keep):
    profiles = average(measurements(ROWS, ['x', 'y']), keep_cells=keep)
    np.testing.assert_array_equal(profiles.values, [[0.5, 2.5], [2, 0]])


def test_cells_of_profiles_that_are_there_twice():
    cells = Cells(scipy.sparse.csr_matrix(np.array([[1.0], [2], [3]])), np.array([1, 0, 1]))
    found = cells.regrouped(np.array([1, 0, 1]))
    assert found.profile.tolist() == [0, 0, 1, 2, 2]
    assert found.values.toarray().ravel().tolist() == [1, 3, 2, 1, 3]
    assert cells.of(np.array([False, True])).tolist() == [0, 2]
