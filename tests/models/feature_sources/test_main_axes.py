"""The main axes of what is incomplete, beside a PCA of the whole."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from perturbjax.models.feature_sources import main_axes
from perturbjax.models.feature_sources.main_axes import longest_axes, places, products_of_incomplete, signed


@pytest.fixture(scope='module')
def rows():
    return np.random.default_rng(0).normal(size=(7, 12)) * np.linspace(3, 1, 12) + 5


def blocks_of(*blocks):
    return lambda: iter(blocks)


@pytest.mark.parametrize('blocks', [1, 3])
def test_of_complete_blocks_they_are_those_of_a_pca(rows, blocks):
    found = places(products_of_incomplete(blocks_of(*np.split(rows, blocks, axis=1))))
    left, lengths, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    expected = (left * lengths)[:, :6]
    expected *= np.sqrt(7 / (expected**2).sum())
    assert_allclose(np.abs(found), np.abs(expected), rtol=1e-9)
    assert_allclose((found**2).sum(axis=1).mean(), 1)


def test_what_is_missing_is_the_mean_of_its_name_in_other_blocks_or_else_of_its_column():
    """Two blocks of one column: 1, 2, 6 from their mean 3, and 5, 5, none; the third has -0 and +3 to go by."""
    first, second = np.array([[1.0], [2.0], [6.0]]), np.array([[5.0], [7.0], [np.nan]])
    filled = np.array([[-2, -1], [-1, 1], [3, 3]]) - [[0, 1]]
    assert_allclose(products_of_incomplete(blocks_of(first, second)), filled @ filled.T)
    alone = np.array([[-1], [1], [0]])
    assert_allclose(products_of_incomplete(blocks_of(second)), alone @ alone.T)


def test_a_name_of_which_half_is_missing_is_where_it_would_be_by_its_main_effect():
    """By the mean of the column alone it would lie at half that distance."""
    effect = np.array([-2.0, -1, 0, 1, 2])[:, None] + np.zeros((5, 20))
    seen = effect.copy()
    seen[4, ::2] = np.nan
    whole, part = (places(products_of_incomplete(blocks_of(*each.T[:, :, None])))[:, 0] for each in (effect, seen))
    assert part[4] / part[0] == pytest.approx(whole[4] / whole[0], rel=0.15)


def test_many_names_give_the_same_axes_as_few(rows, monkeypatch):
    products = products_of_incomplete(blocks_of(np.random.default_rng(1).normal(size=(40, 60))))
    whole = places(products, 5)
    monkeypatch.setattr(main_axes, '_LARGE', 10)
    assert_allclose(places(products, 5) * np.sqrt(1), whole, atol=1e-8)


@pytest.mark.parametrize('products', [np.zeros((3, 3)), np.zeros((1, 1))])
def test_without_differences_there_is_no_axis(products):
    axes, squares = longest_axes(products)
    assert axes.shape == (len(products), 0)
    assert not len(squares)
    assert places(products).shape == (len(products), 0)


def test_the_entry_that_is_farthest_from_0_is_positive():
    found = signed(np.array([[0.1, -2.0, 3.0], [-0.5, 2.0, 1.0]]))
    assert_allclose(found, [[-0.1, 2, 3], [0.5, -2, 1]])
