"""What the values of a screen mean. The user declares the scale; every output names it; it is never guessed."""

from typing import NamedTuple

from perturbjax.errors import InputError, did_you_mean


class Scale(NamedTuple):
    """A scale, and what it says about control.

    Attributes:
      unit: of the values.
      control_is_zero: an unperturbed profile is 0 by definition, so a context needs no control row.
      control_has_level: readouts can be ranked by their level in control (for the L2 over the top n).
    """

    unit: str
    control_is_zero: bool
    control_has_level: bool


SCALES = {
    'log1p': Scale('ln(1 + counts per 10,000)', False, True),
    'log2': Scale('log2 of the level', False, True),
    'log2-ratio': Scale('log2 ratio to an internal standard', False, False),
    'log-fold-change': Scale('log fold change against control', True, False),
    'z-score': Scale('standard deviations from control', True, False),
    'fitness': Scale('log growth against control', True, False),
    'inhibition': Scale('growth inhibition, 0 in control', True, False),
    'viability': Scale('growth relative to control, which is 1 or 100%', False, False),
    'auc': Scale('area under the dose-response curve', False, False),
    'as-measured': Scale('as measured', False, False),
}


def find_scale(name: str) -> Scale:
    """The scale of that name; raises InputError on an unknown name."""
    if name not in SCALES:
        raise InputError(f'data.scale: no such scale {name!r}; {did_you_mean(name, SCALES)}')
    return SCALES[name]


def scales_of_zero() -> list[str]:
    """The scales on which control is 0, so that no control has to be measured."""
    return [name for name, scale in SCALES.items() if scale.control_is_zero]
