"""From screens to shards: the chosen profiles are cut into V shards of whole rows, which devices own."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Shaped

from perturbjax.errors import InputError
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium

_ALIGNMENT = 64  # bytes; a CPU device takes an array that is aligned so without a copy


class Pieces(NamedTuple):
    """Where the values of each screen lie in each shard: one row for each shard, one column for each of G screens.

    A piece is a run of `rows` profiles by `width` readouts of one screen. Its values lie row by row in
    its shard, from `start` on. Among all rows its rows begin at `row_start`, and among all columns its
    columns at `column_start`.
    """

    start: Int32[Array, 'V G']
    rows: Int32[Array, 'V G']
    width: Int32[Array, 'V G']
    row_start: Int32[Array, 'V G']
    column_start: Int32[Array, 'V G']


class ShardLayout(NamedTuple):
    """How profiles are packed into shards: everything but their values.

    Attributes:
      size: T, how many values there are.
      longest: how many values a shard has room for.
      chosen: the rows of each screen, in order.
      context: ids by row, screen after screen.
      perturbation: ids by row.
      readout: ids by column, panel after panel.
      pieces: where everything lies.
      left_out: by row, a bit mask of the folds that leave it out; None without folds.
      weight: by row; None: all alike.
    """

    size: int
    longest: int
    chosen: tuple[Int[np.ndarray, ' _rows'], ...]
    context: Int[np.ndarray, ' N']
    perturbation: Int[np.ndarray, 'N K']
    readout: Int[np.ndarray, ' columns']
    pieces: Pieces
    left_out: Int[np.ndarray, ' N'] | None = None
    weight: Float32[np.ndarray, ' N'] | None = None


def make_layout(
    compendium: Compendium,
    chosen: Sequence[Int[np.ndarray, ' _rows'] | Bool[np.ndarray, ' _N']],
    num_shards: int,
    left_out: Sequence[Int[np.ndarray, ' _N']] | None = None,
) -> ShardLayout:
    """Cuts the chosen rows (indices or a mask per screen) into shards of nearly the same number of values.

    A shard is a run of whole rows, so that a block of profiles and readouts lies in one. Lengths
    are rounded up a little, so that splits of about one size share a compilation.

    Raises InputError where a shard would have 2^31 values or more.
    """
    rows = tuple(np.flatnonzero(each) if each.dtype == bool else each for each in chosen)
    count = np.array([len(each) for each in rows])
    width = np.array([len(screen.readout) for screen in compendium.screens])
    pieces = _cut(count, width, num_shards)
    size = int((count * width).sum())
    longest = _rounded(int((pieces.rows.astype(np.int64) * pieces.width).sum(axis=1).max()))
    if longest >= 2**31 or size >= 2**32:
        raise InputError(
            f'training: {size:,} values are too many at once; raise training.shards or training.data_chunks.'
        )
    return ShardLayout(
        size,
        longest,
        rows,
        _padded([screen.context[each] for screen, each in zip(compendium.screens, rows)]),
        _padded([screen.perturbation[each] for screen, each in zip(compendium.screens, rows)]),
        np.concatenate([screen.readout for screen in compendium.screens]),
        pieces,
        None if left_out is None else _padded([bits[each] for bits, each in zip(left_out, rows, strict=True)]),
        _weights(compendium, rows),
    )


def _weights(compendium: Compendium, rows: tuple[Int[np.ndarray, ' _rows'], ...]) -> Float32[np.ndarray, ' N'] | None:
    """The weight of each row; None where no screen has any."""
    if all(screen.weight is None for screen in compendium.screens):
        return None
    ones = [np.ones(len(each), np.float32) for each in rows]
    pairs = zip(compendium.screens, rows, ones, strict=True)
    return _padded([one if s.weight is None else s.weight[each].astype(np.float32) for s, each, one in pairs])


def _cut(count: Int[np.ndarray, ' G'], width: Int[np.ndarray, ' G'], num_shards: int) -> Pieces:
    """Each row goes to the shard in whose share of all values it starts."""
    total = int((count * width).sum())
    screen_start = np.cumsum(count * width) - count * width
    # The first row of each screen that starts in shard v or later, `[V + 1, G]`.
    share = np.arange(num_shards + 1)[:, None] * total // num_shards
    first = np.clip(-(-(share - screen_start) // width), 0, count)
    first[-1] = count
    rows = np.diff(first, axis=0)
    start = np.cumsum(rows * width, axis=1) - rows * width
    row_start = first[:-1] + np.cumsum(count) - count
    columns = np.broadcast_to(width, rows.shape), np.broadcast_to(np.cumsum(width) - width, rows.shape)
    return Pieces(*(each.astype(np.int32) for each in (start, rows, columns[0], row_start, columns[1])))


def pack(
    compendium: Compendium, layout: ShardLayout, shards: Sequence[int]
) -> Float32[np.ndarray, '{len(shards)} {layout.longest}']:
    """The values of some shards: 4 bytes each, NaN = not measured."""
    values = _aligned((len(shards), layout.longest))
    for out, shard in zip(values, shards, strict=True):
        filled = 0
        for number, screen in enumerate(compendium.screens):
            row, count, width = (int(each[shard, number]) for each in (layout.pieces.row_start, *layout.pieces[1:3]))
            row -= sum(len(each) for each in layout.chosen[:number])
            rows = out[filled : filled + count * width].reshape(count, width)
            # With `clip` numpy writes straight into `out`, without a buffer.
            np.take(screen.values, layout.chosen[number][row : row + count], axis=0, out=rows, mode='clip')
            filled += count * width
        out[filled:] = np.nan
    return values


def _aligned(shape: tuple[int, int]) -> Float32[np.ndarray, '{shape[0]} {shape[1]}']:
    """An empty array that starts at a multiple of the alignment."""
    size = 4 * shape[0] * shape[1]
    room = np.empty(size + _ALIGNMENT, np.uint8)
    offset = -room.ctypes.data % _ALIGNMENT
    return room[offset : offset + size].view(np.float32).reshape(shape)


def _rounded(size: int) -> int:
    """The next multiple of 1/32 to 1/64 of the size."""
    step = 2 ** max(0, size.bit_length() - 6)
    return max(1, -(-size // step) * step)


def _padded(blocks: list[Shaped[np.ndarray, ' _rows *K']]) -> Shaped[np.ndarray, ' N *K']:
    """The blocks end to end, then zeros up to a round length."""
    whole = np.concatenate(blocks)
    return np.pad(whole, [(0, _rounded(len(whole)) - len(whole))] + [(0, 0)] * (whole.ndim - 1))
