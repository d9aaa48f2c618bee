"""Doses and times in one unit each, so that `0.04 um` and `40 nM`, or `1 day` and `24h`, are one."""

import decimal
import functools
import re

import numpy as np

_NUMBER = r'(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)'
_QUANTITY = re.compile(_NUMBER + r'\s*(?P<unit>.*)')
# A dose at the end of a name, as in `vorinostat-10 um`.
_DOSED = re.compile(r'(?P<name>.+?)[-_ ]' + _NUMBER + r'\s*(?P<unit>[^\W\d_]\S*)')

_PREFIXES = {'p': '1e-6', 'n': '1e-3', 'u': '1', 'm': '1e3', '': '1e6'}
# How many uM, or ug/ml, one of each unit is.
_MOLAR = {f'{prefix}M': decimal.Decimal(factor) for prefix, factor in _PREFIXES.items()}
_LONG = {'pico': 'p', 'nano': 'n', 'micro': 'u', 'milli': 'm', '': ''}
_MASS = {
    f'{prefix}g/{volume}': decimal.Decimal(factor) * decimal.Decimal(per)
    for prefix, factor in _PREFIXES.items()
    for volume, per in {'ul': '1e3', 'ml': '1', 'l': '1e-3'}.items()
}
_HOURS = {
    ('h', 'hr', 'hrs', 'hour', 'hours'): decimal.Decimal(1),
    ('d', 'day', 'days'): decimal.Decimal(24),
    ('wk', 'week', 'weeks'): decimal.Decimal(168),
}
_PER_HOUR = {('min', 'mins', 'minute', 'minutes'): 60, ('s', 'sec', 'secs', 'second', 'seconds'): 3600}


def dose_text(dose: str, unit: str = '') -> str:
    """A dose as names show it, molarity in uM and mass per volume in ug/ml; a dose without a unit gets `unit`.

    `10.0 um`, `10 µM` and `10000 nM` become `10uM`; what cannot be read stays, without spaces.
    """
    found = _QUANTITY.fullmatch(dose.strip())
    if not found:
        return ''.join(dose.split())
    number, unit = decimal.Decimal(found['number']), ''.join(found['unit'].split()) or unit
    for units, one in ((_MOLAR, 'uM'), (_MASS, 'ug/ml')):
        factor = units.get(_spelled(unit))
        if factor is not None:
            return _shortest(number * factor) + one
    return _shortest(number) + unit


def one_unit(value: str) -> str:
    """A dose or a time with a known unit, in uM, ug/ml or h: `1 day` becomes `24h`. Any other value stays."""
    found = _QUANTITY.fullmatch(value)
    if not found or not found['unit']:
        return value
    number, unit = decimal.Decimal(found['number']), found['unit'].strip()
    for units, hours in _HOURS.items():
        if unit in units:
            return _shortest(number * hours) + 'h'
    for units, parts in _PER_HOUR.items():
        if unit in units:
            return _shortest(number / parts) + 'h'
    return dose_text(value) if is_dose_unit(unit) else value


def is_dose_unit(unit: str) -> bool:
    """Whether a unit is one of molarity or of mass per volume."""
    return _spelled(unit) in _MOLAR or _spelled(unit) in _MASS


def dose_unit(dose: str) -> str:
    """The unit as the dose writes it, without spaces; `''` where there is none."""
    found = _QUANTITY.fullmatch(dose.strip())
    return ''.join(found['unit'].split()) if found else ''


def is_zero(dose: str) -> bool:
    """Whether a dose is 0, with or without a unit."""
    found = _QUANTITY.fullmatch(dose.strip())
    return bool(found) and not decimal.Decimal(found['number'])  # type: ignore[index]


def name_and_dose(name: str) -> tuple[str, str]:
    """A name and the dose with a known unit at its end: `x-10 um` gives `('x', '10uM')`; without one `('x', '')`."""
    found = _DOSED.fullmatch(name)
    if not found or not is_dose_unit(found['unit']):
        return name, ''
    return found['name'], dose_text(found['number'] + found['unit'])


def _shortest(number: decimal.Decimal) -> str:
    """A number as names show it, without zeros at its end."""
    return np.format_float_positional(float(number), trim='-')


@functools.lru_cache(maxsize=1024)
def _spelled(unit: str) -> str:
    """The unit as the tables above write it; LINCS has used many spellings for micromolar."""
    unit = ''.join(unit.split()).replace('\u00b5', 'u').replace('\u03bc', 'u')
    for long, short in _LONG.items():
        if unit.casefold() in (f'{long}molar', f'{long}m', f'{short}mol/l') and unit != 'm':
            return f'{short}M'
    if re.fullmatch('[pnu]m|mM|mm', unit):
        return f'{unit[0]}M'
    return unit if unit in _MOLAR else unit.lower()
