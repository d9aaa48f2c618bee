"""What contexts share, on screens small enough to count by hand, and against sets."""

import numpy as np
import pytest
from screens_for_tests import measurements, two_contexts

from perturbjax.quality.overlap import shared_perturbations, shared_readouts, transferable
from perturbjax.screens.screen import assemble
from perturbjax.screens.vocabulary import parts

NAN = np.nan


@pytest.fixture
def compendium():
    """Context b in two panels; the double of b has both parts in a; k is measured in a without any value."""
    one = [('a', 'g', (1, 2)), ('a', 'h', (1, NAN)), ('a', 'k', (NAN, NAN)), ('c', 'h', (NAN, 3))]
    other = [('b', 'g+h', (1, 2)), ('b', 'k', (3, 4)), ('b', 'control', (0, 0))]
    third = [('b', 'g', (1, 2))]
    screens = [measurements(rows, list(panel), panel) for rows, panel in ((one, 'xy'), (other, 'yz'), (third, 'xw'))]
    return assemble(screens, ['z-score'] * 3)


def test_shared_perturbations(compendium):
    table = shared_perturbations(compendium)
    assert list(table.index) == list(table.columns) == ['a', 'b', 'c']
    np.testing.assert_array_equal(table, [[2, 1, 1], [1, 3, 0], [1, 0, 1]])


def test_shared_readouts(compendium):
    np.testing.assert_array_equal(shared_readouts(compendium), [[2, 2, 1], [2, 4, 1], [1, 1, 1]])


def test_what_can_be_transferred(compendium):
    table = transferable(compendium)
    assert table.loc['a'].to_dict() == {
        'perturbations': 2,
        'elsewhere': 2,
        'parts_elsewhere': 2,
        'readouts': 2,
        'readouts_elsewhere': 2,
    }
    assert table.loc['b'].tolist() == [3, 1, 2, 4, 2]
    assert table.loc['c'].tolist() == [1, 1, 1, 1, 1]


def test_a_context_with_control_alone_shares_nothing():
    screens = [measurements([('a', 'control', (1,)), ('a', 'g', (2,)), ('b', 'control', (3,))], ['x'])]
    compendium = assemble(screens, ['log1p'])
    assert transferable(compendium).loc['b'].tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(shared_perturbations(compendium), [[1, 0], [0, 0]])


def test_random_screens_against_sets():
    rng = np.random.default_rng(0)
    singles = list('ghijkl')
    for _ in range(10):
        named = {}
        for context in 'abcd':
            names = {'+'.join(sorted(rng.choice(singles, rng.integers(1, 3), replace=False))) for _ in range(6)}
            named[context] = names
        rows = [(context, name, (1.0,)) for context, names in named.items() for name in sorted(names)]
        table = transferable(assemble([measurements(rows, ['x'])], ['fitness']))
        for context, names in named.items():
            other = set().union(*(each for key, each in named.items() if key != context))
            seen = {part for name in other for part in parts(name)}
            assert table.loc[context, 'elsewhere'] == len(names & other)
            assert table.loc[context, 'parts_elsewhere'] == sum(seen.issuperset(parts(name)) for name in names)


def test_doubles_of_the_small_screen():
    assert transferable(two_contexts()).to_numpy().tolist() == [[3, 1, 1, 2, 2], [1, 1, 1, 2, 2]]
