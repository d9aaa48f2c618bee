"""Which observations make a batch, as a function of (seed, epoch, position) alone; the data stay on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt

from perturbjax.models.dropout import mix
from perturbjax.models.model import Batch
from perturbjax.screens.arrays import Array
from perturbjax.training.sharding import Pieces

# Profiles and readouts of a block; (1, 1) is one observation.
Block = tuple[int, int]

_NO_FOLD = np.int32(-1)


class Observations(NamedTuple):
    """The packed values of the shards that a device owns (of V in all), and the ids of all rows and columns.

    Attributes:
      values: shard by shard; NaN = not measured.
      context: ids by row.
      perturbation: ids by row.
      readout: ids by column.
      pieces: where the values lie.
      left_out: by row, a bit mask of the folds that leave it out; None without folds.
      weight: by row; None: all alike.
    """

    values: Float[Array, 'V longest']
    context: Int[Array, ' N']
    perturbation: Int[Array, 'N K']
    readout: Int[Array, ' columns']
    pieces: Pieces
    left_out: Int[Array, ' N'] | None = None
    weight: Float[Array, ' N'] | None = None


def tiles(pieces: Pieces, block: Block) -> Int[Array, 'V G']:
    """How many blocks cover each piece."""
    return -(-pieces.rows // block[0]) * -(-pieces.width // block[1])


def num_positions(pieces: Pieces, block: Block) -> int:
    """How many positions an epoch has: as many for every shard as the fullest shard has blocks."""
    return int(tiles(pieces, block).sum(axis=1).max()) * len(pieces.rows)


def draw(
    data: Observations,
    block: Block,
    seed: UInt[Array, ''],
    position: UInt[Array, ' n'],
    is_wanted: Bool[jax.Array, ' n'],
    num_shards: int,
    num_devices: int,
    fold: Int[Array, ''] | np.int32 = _NO_FOLD,
) -> Batch:
    """The blocks at some positions of an epoch's order, each from the shard `position % num_shards`.

    Every observation comes in one block of the epoch. Within a piece, each block is a random set of
    rows by a random set of columns; the blocks of a shard come in random order.

    Args:
      data: of one device, which owns the shards v with `v % num_devices == device_index`.
      block: p, r.
      seed: another one for every epoch.
      position: all in shards that the device owns.
      is_wanted: which blocks are asked for; the weight of other blocks is 0.
      num_shards, num_devices: V and L.
      fold: what this fold leaves out has weight 0.
    """
    shard, turn = position % num_shards, position // num_shards
    own = (shard // num_devices).astype(jnp.int32)
    shard_seed = mix(seed + mix(shard))
    number, tile, exists = _tile(data.pieces, block, own, turn, shard_seed)
    piece = Pieces(*(each[own, number] for each in data.pieces))
    down, across = jnp.divmod(tile, jnp.maximum(1, -(-piece.width // block[1])))
    row_seed = mix(shard_seed + number.astype(jnp.uint32))
    row, is_row = _some(down, block[0], piece.rows, row_seed)
    column, is_column = _some(across, block[1], piece.width, mix(row_seed + down.astype(jnp.uint32)))
    row_start = piece.start[:, None] + row * piece.width[:, None]
    value = data.values[own[:, None, None], row_start[:, :, None] + column[:, None, :]]
    counts = (is_wanted & exists)[:, None, None] & is_row[:, :, None] & is_column[:, None, :] & ~jnp.isnan(value)
    row, column = row + piece.row_start[:, None], column + piece.column_start[:, None]
    if data.left_out is not None:
        counts &= ~_leaves(data.left_out[row], fold)[:, :, None]
    weight = counts.astype(value.dtype)
    if data.weight is not None:
        weight = weight * data.weight[row][:, :, None]
    return Batch(
        data.context[row][:, :, None],
        data.perturbation[row][:, :, None],
        data.readout[column][:, None, :],
        jnp.where(counts, value, 0),
        weight,
        position,
    )


def _leaves(left_out: Int[jax.Array, 'n p'], fold: Int[Array, ''] | np.int32) -> Bool[jax.Array, 'n p']:
    """Which rows the fold leaves out; none where it is -1."""
    return jnp.asarray(fold >= 0) & ((left_out >> jnp.maximum(fold, 0)) & 1).astype(bool)


def _tile(
    pieces: Pieces, block: Block, own: Int[Array, ' n'], turn: UInt[Array, ' n'], seed: UInt[Array, ' n']
) -> tuple[Int[jax.Array, ' n'], Int[jax.Array, ' n'], Bool[Array, ' n']]:
    """For each turn in its shard's shuffled order: the piece, the block in it, and whether there is one."""
    ends = jnp.cumsum(tiles(pieces, block), axis=1)[own]
    exists = turn < ends[:, -1]
    tile = shuffled(jnp.where(exists, turn, 0), jnp.maximum(ends[:, -1], 1), seed)
    number = (tile[:, None] >= ends).sum(axis=1)
    before = jnp.where(number > 0, ends[jnp.arange(len(ends)), number - 1], 0)
    return number, tile - before, exists


def _some(
    group: Int[jax.Array, ' n'], size: int, of: Int[Array, ' n'], seed: UInt[Array, ' n']
) -> tuple[Int[jax.Array, 'n {size}'], Bool[jax.Array, 'n {size}']]:
    """The members of the groups into which `range(of)`, shuffled, is dealt; and which are real."""
    groups = -(-of // size)
    index = group[:, None] + groups[:, None] * jnp.arange(size)[None, :]
    real = index < of[:, None]
    index = jnp.where(real, index, 0)
    # For single observations the random order of the blocks is enough.
    return index if size == 1 else shuffled(index, jnp.maximum(of, 1)[:, None], seed[:, None]), real


def shuffled(
    position: Integer[jax.Array, '*#shape'], size: Integer[jax.Array, '*#shape'], seed: UInt[Array, '*#shape']
) -> Int[jax.Array, '*#shape']:
    """Random permutations of `range(size)`, looked up at single positions without holding the permutation.

    A Feistel network over the next power of two, applied again until it lands inside the range (fewer
    than two times on average). The shapes broadcast.
    """
    size = size.astype(jnp.uint32)
    bits = jnp.maximum(2, 32 - jax.lax.clz(size - 1))
    low = bits // 2
    low_mask, high_mask = (1 << low) - 1, (1 << (bits - low)) - 1

    def rounds(x: UInt[jax.Array, '*shape']) -> UInt[jax.Array, '*shape']:
        high_half, low_half = x >> low, x & low_mask
        for i in range(3):
            high_half = high_half ^ (mix(low_half ^ mix(seed + jnp.uint32(2 * i))) & high_mask)
            low_half = low_half ^ (mix(high_half ^ mix(seed + jnp.uint32(2 * i + 1))) & low_mask)
        return high_half << low | low_half

    def walk(
        carry: tuple[UInt[jax.Array, '*shape'], Bool[jax.Array, '*shape']],
    ) -> tuple[UInt[jax.Array, '*shape'], Bool[jax.Array, '*shape']]:
        x = jnp.where(carry[1], carry[0], rounds(carry[0]))
        return x, x < size

    start = jnp.broadcast_to(position.astype(jnp.uint32), jnp.broadcast_shapes(position.shape, size.shape))
    landed, _ = jax.lax.while_loop(lambda carry: ~carry[1].all(), walk, (start, jnp.zeros(start.shape, bool)))
    return landed.astype(jnp.int32)
