"""Which observations make a batch, as a function of (seed, step) alone; the data stays on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.errors import InputError
from perturbjax.models.dropout import mix
from perturbjax.screens.screen import Array, Compendium


class Observations(NamedTuple):
    """The chosen profiles of all screens, laid end to end: 4 bytes per value.

    Screen s of S holds rows `row_start[s]` on, columns `column_start[s]` on (`width[s]` of them)
    and the values `start[s]` on, row by row.

    Attributes:
      size: T, how many values there are; the arrays are padded.
      values: NaN = not measured.
      context: ids by row.
      perturbation: ids by row, `[rows, K]`.
      readout: ids by column.
      start, row_start, column_start, width: `[S]`.
    """

    size: Array
    values: Array
    context: Array
    perturbation: Array
    readout: Array
    start: Array
    row_start: Array
    column_start: Array
    width: Array


class Batch(NamedTuple):
    """B observations: ids `[B]`, `[B, K]`, `[B]`, values `[B]`, and weights `[B]`: 1, or 0 where not measured."""

    context: jax.Array
    perturbation: jax.Array
    readout: jax.Array
    value: jax.Array
    weight: jax.Array


def pack(compendium: Compendium, chosen: tuple[np.ndarray, ...]) -> Observations:
    """The chosen profiles (bool `[N]` per screen) as observations on the host.

    Values and rows are padded to one of few sizes, at most 1/32 larger, with values not measured,
    so that splits of about one size share a compilation.

    Raises InputError where there are 2^31 values or more.
    """
    screens = [(screen, mask) for screen, mask in zip(compendium.screens, chosen, strict=True) if mask.any()]
    rows = np.array([mask.sum() for _, mask in screens])
    width = np.array([len(screen.readout) for screen, _ in screens])
    size = int((rows * width).sum())
    if size >= 2**31:
        raise InputError(f'training: {size:,} values are 2^31 or more; leave out readouts or profiles.')
    return Observations(
        size=np.int32(size),
        values=_padded([screen.values[mask].ravel() for screen, mask in screens], np.nan),
        context=_padded([screen.context[mask] for screen, mask in screens], 0),
        perturbation=_padded([screen.perturbation[mask] for screen, mask in screens], 0),
        readout=np.concatenate([screen.readout for screen, _ in screens]),
        start=_starts(rows * width),
        row_start=_starts(rows),
        column_start=_starts(width),
        width=width.astype(np.int32),
    )


def _padded(blocks: list[np.ndarray], fill: float) -> np.ndarray:
    """The blocks end to end, then `fill` up to a multiple of 1/32 to 1/64 of their size."""
    whole = np.concatenate(blocks)
    step = 2 ** max(0, len(whole).bit_length() - 6)
    return np.pad(whole, [(0, -len(whole) % step)] + [(0, 0)] * (whole.ndim - 1), constant_values=fill)


def _starts(sizes: np.ndarray) -> np.ndarray:
    return (np.cumsum(sizes) - sizes).astype(np.int32)


def take(data: Observations, index: jax.Array, wanted: jax.Array) -> Batch:
    """The observations at `index [B]`, weighing 0 where not `wanted [B]` or not measured."""
    screen = jnp.searchsorted(data.start, index, side='right') - 1
    row, column = jnp.divmod(index - data.start[screen], data.width[screen])
    row, column = row + data.row_start[screen], column + data.column_start[screen]
    value = data.values[index]
    weight = (wanted & ~jnp.isnan(value)).astype(value.dtype)
    return Batch(
        data.context[row], data.perturbation[row], data.readout[column], jnp.where(weight > 0, value, 0), weight
    )


def shuffled(position: jax.Array, size: jax.Array, seed: jax.Array) -> jax.Array:
    """A permutation of `range(size)` in which places can be looked up one by one, without memory.

    A Feistel network over the next power of two, walked on until it lands inside the range (fewer
    than two steps on average). position is int32 `[B]`, size int32 and seed uint32.
    """
    size = size.astype(jnp.uint32)
    bits = jnp.maximum(2, 32 - jax.lax.clz(size - 1))
    low = bits // 2
    low_mask, high_mask = (1 << low) - 1, (1 << (bits - low)) - 1

    def rounds(x: jax.Array) -> jax.Array:
        high_half, low_half = x >> low, x & low_mask
        for i in range(3):
            high_half = high_half ^ (mix(low_half ^ mix(seed + jnp.uint32(2 * i))) & high_mask)
            low_half = low_half ^ (mix(high_half ^ mix(seed + jnp.uint32(2 * i + 1))) & low_mask)
        return high_half << low | low_half

    landed = jax.lax.while_loop(
        lambda x: (x >= size).any(),
        lambda x: jnp.where(x >= size, rounds(x), x),
        rounds(position.astype(jnp.uint32)),
    )
    return landed.astype(jnp.int32)
