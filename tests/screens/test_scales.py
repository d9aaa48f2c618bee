import pytest
from screens_for_tests import measurements

from perturbjax.errors import InputError
from perturbjax.screens.scales import SCALES, find_scale, scales_of_zero
from perturbjax.screens.screen import assemble


def test_the_scales_on_which_control_is_zero():
    assert scales_of_zero() == ['log-fold-change', 'z-score', 'fitness', 'inhibition']
    assert not find_scale('viability').control_is_zero
    assert not find_scale('auc').control_is_zero


@pytest.mark.parametrize('scale', SCALES)
def test_a_screen_without_control_is_told_which_scales_need_none(scale):
    screen = measurements([('a', 'g', (1.0,))], ['x'])
    if scale in scales_of_zero():
        assert assemble([screen], [scale]).screens[0].scale == scale
        return
    with pytest.raises(InputError) as error:
        assemble([screen], [scale])
    assert str(error.value).endswith(
        "give its known value in data.control_value, or declare a scale on which control is 0: 'log-fold-change', "
        "'z-score', 'fitness', 'inhibition'."
    )
