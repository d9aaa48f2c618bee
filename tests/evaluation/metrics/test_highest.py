"""The n highest values without sorting, against sorting."""

import jax
import numpy as np
import pytest

from perturbjax.evaluation.metrics import highest
from perturbjax.evaluation.metrics.distances import l2_top

chosen = jax.jit(highest.highest)


@pytest.mark.parametrize('n', [1, 3, 8])
def test_the_highest_of_any_sign(n):
    values = np.array([[3, -1, 0, -0.0, 2, 2, -np.inf, 1e30], [-5, -4, -4, -4, -1e-30, -3, -2, -9]], np.float32)
    above, tied = (np.asarray(each) for each in chosen(values, np.full((2, 1), n)))
    for row, over, same in zip(values, above, tied):
        last = np.sort(row)[::-1][n - 1]
        np.testing.assert_array_equal(over, row > last)
        np.testing.assert_array_equal(same, row == last)


def test_each_profile_can_have_a_number_of_its_own():
    values = np.array([[1.0, 2, 3], [1, 2, 3]], np.float32)
    above, tied = chosen(values, np.array([[1], [3]]))
    np.testing.assert_array_equal(above | tied, [[0, 0, 1], [1, 1, 1]])


def test_of_equal_levels_the_first_count(monkeypatch):
    level = np.array([[2.0, 5, 2, 2, 1, np.nan]])
    error = np.array([[1.0, 10, 100, 1000, 1e4, 1e5]])
    assert l2_top(error, 0 * error, level, n=3).item() == pytest.approx(np.sqrt(1 + 100 + 1e4))
    assert l2_top(error, 0 * error, level, n=5).item() == pytest.approx(np.linalg.norm(error[0, :5]))
    monkeypatch.setattr(highest, 'highest', None)  # where all count, nothing is looked for
    assert l2_top(error, 0 * error, level, n=6).item() == pytest.approx(np.linalg.norm(error[0, :5]))
