import pytest

from perturbjax.readers.naming.quantities import dose_text, is_zero, name_and_dose, one_unit


@pytest.mark.parametrize(
    ('dose', 'unit', 'wanted'),
    [
        ('3', 'nM', '0.003uM'),
        ('3', 'um', '3uM'),
        ('3 pM', 'uM', '0.000003uM'),
        ('2 mg/l', '', '2ug/ml'),
        ('7 Gy', '', '7Gy'),
    ],
)
def test_a_dose_without_a_unit_gets_one(dose, unit, wanted):
    assert dose_text(dose, unit) == wanted


@pytest.mark.parametrize(
    ('value', 'wanted'),
    [
        ('24h', '24h'),
        ('24 h', '24h'),
        ('24 hours', '24h'),
        ('1 day', '24h'),
        ('7d', '168h'),
        ('2 weeks', '336h'),
        ('30 min', '0.5h'),
        ('1800s', '0.5h'),
        ('0 h', '0h'),
        ('40 nM', '0.04uM'),
        ('0.04 um', '0.04uM'),
        ('3D', '3D'),  # a form of culture
        ('6 h & 4 h', '6 h & 4 h'),
        ('24', '24'),
        ('K562', 'K562'),
        ('786-0', '786-0'),
        ('', ''),
    ],
)
def test_times_and_doses_have_one_unit(value, wanted):
    assert one_unit(value) == wanted


@pytest.mark.parametrize(
    ('dose', 'zero'), [('0', True), ('0.0uM', True), ('0.0e3 nM', True), ('0.1', False), ('', False)]
)
def test_a_dose_of_zero(dose, zero):
    assert is_zero(dose) == zero


@pytest.mark.parametrize(
    ('name', 'wanted'),
    [
        ('YM155-10 um', ('YM155', '10uM')),
        ('PD-0325901-40nM', ('PD-0325901', '0.04uM')),
        ('X-0.0uM', ('X', '0uM')),
        ('x-1', ('x-1', '')),
        ('miR-21-5p', ('miR-21-5p', '')),
        ('10uM', ('10uM', '')),
    ],
)
def test_the_dose_at_the_end_of_a_name(name, wanted):
    assert name_and_dose(name) == wanted
