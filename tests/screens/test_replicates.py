"""What is known of the rows behind profiles, against statistics of the raw rows."""

import dataclasses

import numpy as np
import pytest
from predictions_for_tests import make_cells, screen_of
from screens_for_tests import measurements

from perturbjax.screens.replicates import Replicates, replicates
from perturbjax.screens.screen import assemble


def rows_of(cells, context, perturbation):
    chosen = (cells.context == context) & (cells.perturbation == perturbation)
    rest = (cells.context == context) & ~np.isin(cells.perturbation, [perturbation, 'control'])
    return cells.values[chosen].astype(float), cells.values[rest].astype(float)


@pytest.fixture(scope='module')
def cells():
    """Cells of two contexts, of unequal numbers: p0 has one cell in `a`, and p1 two."""
    every = make_cells(effect=1, seed=1)
    rank = np.zeros(len(every.context), int)
    for name in ('p0', 'p1'):
        of_name = np.flatnonzero((every.context == 'a') & (every.perturbation == name))
        rank[of_name] = np.arange(len(of_name)) + (1 if name == 'p0' else 0)
    kept = rank < 2
    arrays = {name: getattr(every, name)[kept] for name in ('values', 'context', 'perturbation')}
    arrays['values'] = arrays['values'] + np.float32(100)  # far from 0, where sums of squares lose digits
    return dataclasses.replace(every, **arrays)


@pytest.fixture(scope='module')
def compendium(cells):
    return screen_of(cells)


def test_every_statistic_is_that_of_the_raw_rows(cells, compendium):
    (screen,), table = compendium.screens, compendium.table()
    places = np.random.default_rng(0).permutation(np.flatnonzero(table['order'] > 0))  # in any order
    known = replicates(screen, places)
    for i, (context, name) in enumerate(table.loc[places, ['context', 'perturbation']].to_numpy()):
        own, rest = rows_of(cells, context, name)
        control, _ = rows_of(cells, context, 'control')
        assert known.cells[i] == len(own)
        assert known.control_cells[i] == len(control) == 20
        variance = own.var(axis=0, ddof=1) if len(own) > 1 else np.full(20, np.nan)
        np.testing.assert_allclose(known.variance[i], variance, rtol=1e-3)
        np.testing.assert_allclose(known.control_variance[i], control.var(axis=0, ddof=1), rtol=1e-3)
        np.testing.assert_array_equal(known.rest_cells[i], len(rest))
        np.testing.assert_allclose(known.rest_mean[i], rest.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(known.rest_variance[i], rest.var(axis=0, ddof=1), rtol=1e-3)
        smaller = len(own) // 2
        halves = (len(own) - smaller) * known.first_half[i] + smaller * known.second_half[i]
        np.testing.assert_allclose(halves, own.sum(axis=0) if smaller else np.nan, rtol=1e-6)


def test_some_profiles_are_as_among_all(compendium):
    (screen,) = compendium.screens
    every = replicates(screen, np.arange(len(screen.context)))
    some = np.array([20, 3, 7])
    for name, values in replicates(screen, some)._asdict().items():
        np.testing.assert_array_equal(values, getattr(every, name)[some], err_msg=name)


def test_of_what_was_not_measured_nothing_is_known():
    nan = np.nan
    rows = [
        *(('a', 'control', values) for values in ((1, nan, nan), (3, nan, nan))),
        *(('a', 'g', values) for values in ((2, 5, nan), (4, 7, nan), (6, 9, nan))),
        *(('a', 'h', values) for values in ((2, nan, 1), (8, nan, 5))),
    ]
    compendium = screen_of(measurements(rows, ['x', 'y', 'z']))
    known = replicates(compendium.screens[0], np.flatnonzero(compendium.table()['perturbation'] == 'g'))
    np.testing.assert_allclose(known.variance, [[4, 4, nan]])
    np.testing.assert_allclose(known.control_variance, [[2, nan, nan]])
    np.testing.assert_array_equal(known.rest_cells, [[2, 0, 2]])  # of h: control is no part of the rest
    np.testing.assert_allclose(known.rest_mean, [[5, nan, 3]])
    np.testing.assert_allclose(known.rest_variance, [[18, nan, 8]])
    assert np.isnan(known.second_half[0, 2])


def test_profiles_of_single_rows_know_but_the_rest():
    rows = [('a', 'g', (1, 2)), ('a', 'h', (3, 5)), ('a', 'i', (7, 5)), ('b', 'g', (1, 1))]
    screen = assemble([measurements(rows, ['x', 'y'])], ['z-score']).screens[0]
    assert screen.cells is None
    known = replicates(screen, np.arange(4))
    np.testing.assert_array_equal(known.cells, 1)
    np.testing.assert_array_equal(known.control_cells, 0)  # the scale defines control
    np.testing.assert_array_equal(known.rest_cells, [[2, 2]] * 3 + [[0, 0]])
    np.testing.assert_allclose(known.rest_mean[[0, 3]], [[5, 5], [np.nan, np.nan]])
    np.testing.assert_allclose(known.rest_variance[[0, 1]], [[8, 0], [18, 4.5]])
    for name in ('variance', 'control_variance', 'first_half', 'second_half'):
        assert np.isnan(getattr(known, name)).all(), name


def test_shapes(compendium):
    (screen,) = compendium.screens
    known = replicates(screen, np.array([1, 20, 2]))
    assert set(known._fields) == set(Replicates._fields)
    for name, values in known._asdict().items():
        assert values.shape == ((3,) if name in ('cells', 'control_cells') else (3, 20)), name
