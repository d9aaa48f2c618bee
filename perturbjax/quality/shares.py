"""Shares in sentences."""


def percent(part: float, whole: float) -> str:
    """A share in percent that says 0% only of nothing and 100% only of everything.

    Example:
      >>> percent(1, 3), percent(9999, 10000), percent(1, 10000), percent(0, 7)
      ('33.3%', 'more than 99.9%', 'less than 0.1%', '0.0%')
    """
    share = part / whole if whole else 0.0
    if 0 < share < 0.0005:
        return 'less than 0.1%'
    return 'more than 99.9%' if 0.9995 <= share < 1 else f'{share:.1%}'
