"""Features that names themselves carry: the doses and times in them, and what they are called without.

`Compound_vorinostat-10uM` and `BT20_30min` hold a dose and a time. As texts they have nothing in common with
`Compound_vorinostat-3uM` and `BT20_60min`; by their numbers and the rest of their names a curve shares strength, and a
dose or time between measured ones is predicted.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from perturbjax.readers.naming.quantities import one_unit

_BETWEEN = re.compile(r'[\s_@-]+')
# In one unit each, see `quantities`; a number needs a digit before its unit, so `rho` is no time.
_QUANTITY = re.compile(r'(?P<number>[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)(?P<unit>uM|ug/ml|h)', re.IGNORECASE)


class Parts(NamedTuple):
    """A name taken apart: the number of each unit (uM, ug/ml, h), and what is left of the name."""

    quantities: dict[str, float]
    rest: str


def parts_of(name: str) -> Parts:
    """The doses and times in a name, in uM, ug/ml and h, and the name without them.

    Example:
      >>> parts_of('BT20_30min')
      Parts(quantities={'h': 0.5}, rest='BT20')
      >>> parts_of('Compound_vorinostat-10uM')
      Parts(quantities={'uM': 10.0}, rest='Compound_vorinostat')
    """
    found, rest = dict[str, float](), list[str]()
    for word in _BETWEEN.split(name):
        quantity = _QUANTITY.fullmatch(one_unit(word))
        if quantity:
            found[quantity['unit']] = float(quantity['number'])
        else:
            rest.append(word)
    return Parts(found, '_'.join(rest))


def numbers(names: Sequence[str]) -> Float[np.ndarray, 'n F']:
    """The log10 of each unit's number and its square, from the middle of its range; NaN for a name without one.

    A name that lacks a unit which others have is in the middle of that unit's range. A number of 0 counts as a third
    of the smallest above it.
    """
    given = [parts_of(name).quantities for name in names]
    columns = list[np.ndarray]()
    for unit in sorted({unit for each in given for unit in each}):
        values = np.array([each.get(unit, np.nan) for each in given])
        smallest = values[values > 0].min(initial=np.inf)
        logs = np.log10(np.where(values > 0, values, smallest / 3 if np.isfinite(smallest) else 1))
        logs = np.where(np.isnan(values), np.nan, logs)
        logs -= (np.nanmin(logs) + np.nanmax(logs)) / 2
        columns += [np.nan_to_num(logs), np.nan_to_num(logs**2)]
    table = np.stack(columns, axis=1) if columns else np.zeros((len(names), 1))
    return np.where(np.array([not each for each in given])[:, None], np.nan, table)


def rests(names: Sequence[str]) -> Float[np.ndarray, 'n F']:
    """A 1 for what each name is called without its doses and times: names that differ in these alone are equal."""
    found, number = np.unique([parts_of(name).rest for name in names], return_inverse=True)
    return np.eye(len(found))[number]


# Sources of `features`, by name.
OF_NAMES = {'numbers': numbers, 'rests': rests}
