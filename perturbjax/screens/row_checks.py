"""Do the rows look like what their scale says? Rows are looked at because their means no longer show it.

Counts are whole numbers. Rows that were normalised have one sum: where the logarithm is undone as often as it
was taken, all rows sum to the same number. Nothing is changed; a sentence says what the rows look like.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from perturbjax.screens.blocks import Block

# ln(1 + x) of a million, which hardly any normalised count exceeds.
_MOST = float(np.log1p(1e6))
# How many rows are looked at, and how many there must be.
_ROWS, _FEWEST = 2000, 5
# Sums are one number if their standard deviation is below this share of their mean; rounding makes less.
_VARIES = 2e-3


class Form(NamedTuple):
    """A form that rows of normalised counts may have.

    Attributes:
      name: of the form.
      undo: gives the normalised counts.
      most: what no value of this form exceeds, so that `undo` stays finite.
      mend: what to do where the scale is log1p; `''` for the form that it should be.
    """

    name: str
    undo: Callable[[np.ndarray], np.ndarray]
    most: float
    mend: str


# In the order in which they are tried.
_FORMS = (
    Form('ln(1 + x)', np.expm1, _MOST, ''),
    Form('ln(1 + x) taken twice', lambda x: np.expm1(np.expm1(x)), float(np.log1p(_MOST)), 'take it once'),
    Form('log2(1 + x)', lambda x: np.exp2(x) - 1, float(np.log2(1e6 + 1)), 'multiply them by 0.693147 (ln 2)'),
    Form('normalised counts without a logarithm', lambda x: x, np.inf, 'take ln(1 + x) of them'),
)


def watched(blocks: Iterator[Block], readouts: int, scale: str, say: Callable[[str], None]) -> Iterator[Block]:
    """The same blocks; `say` is told, in a sentence, what is odd about the rows of the first one.

    Args:
      blocks: of N rows by M readouts.
      readouts: M.
      scale: what is declared of the rows; only logarithms of counts or levels are looked at.
      say: takes a sentence.
    """
    for number, block in enumerate(blocks):
        if number == 0 and scale in ('log1p', 'log2') and block.values.shape[0] >= _FEWEST:
            sentence = _oddity(block.values[:_ROWS], scale, block.values.shape[1] == readouts)
            if sentence:
                say(sentence)
        yield block


def _oddity(rows: Any, scale: str, whole_rows: bool) -> str:
    """What is odd about some rows; `''` where nothing is."""
    stored = rows.data if scipy.sparse.issparse(rows) else rows
    known = stored[np.isfinite(stored)]
    if not known.size or known.min() < 0 or known.max() <= 1:
        return ''
    seen, most = f'of the first {rows.shape[0]} rows', float(known.max())
    if (known == np.floor(known)).all():
        return (
            f'all values {seen} are whole numbers up to {most:g}, as raw counts are, but data.scale is {scale}; '
            'if they are counts, set data.counts=True.'
        )
    form = _form(rows, most) if scale == 'log1p' and whole_rows else None
    if form and form.mend:
        return (
            f'the values {seen} look like {form.name}, since only so all rows have one sum, but data.scale is log1p; '
            f'if so, {form.mend}, or give raw counts and set data.counts=True.'
        )
    if scale == 'log1p' and most > _MOST:
        return (
            f'values {seen} reach {most:g}, but ln(1 + counts per 10,000) hardly exceeds {_MOST:.3g}; if no logarithm '
            'was taken, take it, or give raw counts and set data.counts=True.'
        )
    return ''


def _form(rows: Any, most: float) -> Form | None:
    """The first form under which all rows have one sum; None where they have under none."""
    for form in _FORMS:
        if most <= form.most:
            sums = _sums(rows, form.undo)
            if len(sums) >= _FEWEST and sums.std() < _VARIES * sums.mean():
                return form
    return None


def _sums(rows: Any, undo: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The sum of each row that has one above 0, after `undo`, which leaves 0 as it is."""
    if scipy.sparse.issparse(rows):
        changed = rows.astype(np.float64)
        changed.data = undo(changed.data)
        sums = np.asarray(changed.sum(axis=1)).ravel()
    else:
        sums = np.nansum(undo(np.asarray(rows, np.float64)), axis=1)
    return sums[sums > 0]
