"""Rows some at a time, so that what is computed of them in float64 takes little memory."""

from collections.abc import Iterator

_VALUES = 2**20


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """The rows of an array, cut into blocks of about a million values."""
    step = max(1, _VALUES // max(columns, 1))
    return (slice(first, first + step) for first in range(0, rows, step))
