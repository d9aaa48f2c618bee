import dataclasses

import numpy as np
import pytest
from screens_for_tests import measurements, two_contexts

from perturbjax.errors import InputError
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.training import sharding
from perturbjax.training.sharding import make_layout, pack


@pytest.fixture(scope='module')
def compendium():
    """Three screens with different panels, and a value that names its screen, row and readout."""

    def screen(number, rows, readouts):
        values = 1000 * number + np.add.outer(20 * np.arange(rows), np.arange(len(readouts))).astype(float)
        named = [('c', name, row) for name, row in zip(['control', *(f'g{i}' for i in range(rows - 1))], values)]
        return measurements(named, readouts, f's{number}')

    readouts = [f'r{i}' for i in range(17)]
    screens = [screen(1, 23, readouts[:11]), screen(2, 1, readouts), screen(3, 40, readouts[14:])]
    return assemble(screens, ['log1p'] * 3)


def read_back(plan, values):
    """Every value with the row and column that its piece says, by shard."""
    found = []
    for shard in range(len(values)):
        for start, rows, width, row, column in zip(*(each[shard] for each in plan.pieces)):
            block = values[shard, start : start + rows * width].reshape(rows, width)
            found += [
                (plan.context[row + i], plan.perturbation[row + i, 0], plan.readout[column + j], block[i, j])
                for i, j in np.ndindex(*block.shape)
            ]
    return found


@pytest.mark.parametrize('shards', [1, 2, 8, 100])
def test_every_value_lies_where_its_piece_says(compendium, shards):
    chosen = [np.ones(len(each.values), bool) for each in compendium.screens]
    chosen[0][3], chosen[2][::3] = False, False
    plan = make_layout(compendium, chosen, shards)
    expected = [
        (screen.context[i], screen.perturbation[i, 0], screen.readout[j], screen.values[i, j])
        for screen, rows in zip(compendium.screens, chosen)
        for i in np.flatnonzero(rows)
        for j in range(screen.values.shape[1])
    ]
    assert plan.size == len(expected)
    assert sorted(read_back(plan, pack(compendium, plan, range(shards)))) == sorted(expected)


def test_shards_are_of_nearly_the_same_size(compendium):
    plan = make_layout(compendium, [np.ones(len(each.values), bool) for each in compendium.screens], 4)
    sizes = (plan.pieces.rows * plan.pieces.width).sum(axis=1)
    assert sizes.sum() == plan.size
    assert np.ptp(sizes) <= 17


def test_some_shards_are_packed_alone(compendium):
    """As every host does with its own."""
    plan = make_layout(compendium, [np.ones(len(each.values), bool) for each in compendium.screens], 4)
    np.testing.assert_array_equal(pack(compendium, plan, [3, 1]), pack(compendium, plan, range(4))[[3, 1]])


def test_four_bytes_a_value_and_a_little_padding_that_is_not_measured():
    values = np.random.default_rng(0).normal(size=(670, 31))
    rows = [('a', name, row) for name, row in zip(['control', *(f'g{i}' for i in range(669))], values)]
    compendium = assemble([measurements(rows, [f'r{i}' for i in range(31)])], ['log1p'])
    plan = make_layout(compendium, (np.ones(670, bool),), 2)
    packed = pack(compendium, plan, range(2))
    assert packed.dtype == np.float32
    assert packed.size <= 1.04 * values.size
    assert np.isnan(packed).sum() == packed.size - values.size
    assert packed.ctypes.data % 64 == 0


def test_too_many_values_are_told(monkeypatch):
    compendium = two_contexts()
    huge = dataclasses.replace(compendium.screens[0], readout=np.zeros(2**31, np.int8))
    monkeypatch.setattr(sharding.np, 'concatenate', lambda each: np.zeros(1))
    with pytest.raises(InputError, match=r'values are too many at once; raise training.shards or training.data_chunks'):
        make_layout(Compendium((huge,), compendium.vocabulary), (np.ones(6, bool),), 1)
