"""Doses and times in names, as numbers."""

import numpy as np
import pytest

from perturbjax.models.name_features import numbers, parts_of, rests


@pytest.mark.parametrize(
    ('name', 'quantities', 'rest'),
    [
        ('BT20_30min', {'h': 0.5}, 'BT20'),
        ('MCF7_1 day', {}, 'MCF7_1_day'),  # two words: no number has its unit
        ('MCF7_24h', {'h': 24}, 'MCF7'),
        ('Compound_vorinostat-10uM', {'uM': 10}, 'Compound_vorinostat'),
        ('Compound_x-40nM_6h', {'uM': 0.04, 'h': 6}, 'Compound_x'),
        ('Compound_TNF-5ng/ml', {'ug/ml': 0.005}, 'Compound_TNF'),
        ('CRISPRi_TP53', {}, 'CRISPRi_TP53'),
        ('control', {}, 'control'),
    ],
)
def test_a_name_is_taken_apart(name, quantities, rest):
    found = parts_of(name)
    assert found.rest == rest
    assert found.quantities == pytest.approx(quantities)


def test_numbers_are_logs_about_the_middle_of_their_range():
    table = numbers(['a-1uM', 'a-10uM', 'b-100uM', 'b', 'c-0uM_2h', 'c_8h'])
    smallest = np.log10(1 / 3)  # of 0 uM
    middle = (smallest + 2) / 2
    dose = np.array([0, 1, 2, np.nan, smallest, middle]) - middle
    time = np.log10([4, 4, 4, np.nan, 2, 8]) - np.log10(4)
    np.testing.assert_allclose(table, np.stack([time, time**2, dose, dose**2], axis=1)[:, [0, 1, 2, 3]], atol=1e-12)


def test_names_without_any_number_have_no_features():
    assert np.isnan(numbers(['a', 'b'])).all()


def test_names_that_differ_in_numbers_alone_have_the_same_rest():
    np.testing.assert_array_equal(rests(['x-1uM', 'y-1uM', 'x-3uM']), [[1, 0], [0, 1], [1, 0]])
