"""Levels of which log2 is taken, and control that is known by definition."""

import numpy as np
import pytest
import scipy.sparse
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.readers.declared import log2_of, with_control
from perturbjax.screens.aggregation import average
from perturbjax.screens.blocks import Block, Stored, whole

ROWS = [('a', 'control', (1.0, 8.0)), ('a', 'g', (2.0, np.nan)), ('b', 'g', (-1.0, 0.5))]


def rows(values):
    return measurements([(context, name, each) for (context, name, _), each in zip(ROWS, values)], ['x', 'y'])


def test_log2_and_what_stands_for_missing():
    found = log2_of(rows([each for _, _, each in ROWS]), 'f.csv', (-1.0,)).values
    np.testing.assert_array_equal(found, [[0, 3], [1, np.nan], [np.nan, -1]])


def test_log2_of_values_that_stay_in_their_file():
    values = np.array([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]], np.float32)
    cut = Stored(values.shape, lambda: iter(Block(slice(i, i + 1), slice(0, 2), values[i : i + 1]) for i in range(3)))
    stored = measurements(ROWS, ['x', 'y'])
    object.__setattr__(stored, 'values', cut)
    np.testing.assert_array_equal(whole(log2_of(stored, 'f.h5ad').values), np.log2(values))


def test_what_has_no_logarithm():
    with pytest.raises(InputError, match='f.csv: data.log2: 2 values are 0 or negative, such as 0,'):
        log2_of(rows([(1, 0), (1, 1), (-2, 1)]), 'f.csv')
    sparse = measurements(ROWS, ['x', 'y'])
    object.__setattr__(sparse, 'values', scipy.sparse.csr_matrix((3, 2)))
    with pytest.raises(InputError, match='set data.counts=True instead'):
        log2_of(sparse, 'f.h5ad')


def test_control_is_added_where_a_context_has_none(caplog):
    profiles = average(measurements([*ROWS, ('b', 'g', (1.0, 1.0))], ['x', 'y']))
    found = with_control(profiles, 1.0)
    assert list(zip(found.context, found.perturbation))[-1] == ('b', 'control')
    np.testing.assert_array_equal(found.values[-1], [1, 1])
    assert found.cells.tolist() == [1, 1, 2, 1]
    assert found.halves.shape == (2, 4, 2)
    assert np.isnan(found.standard_error[-1]).all()
    assert with_control(found, 1.0) is found
    assert 'data.control_value is not used, because every context has control' in caplog.text
