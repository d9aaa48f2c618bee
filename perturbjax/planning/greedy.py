"""A batch of measurements, chosen one by one, each the one that takes most off the variance of what is asked.

A prediction is a sum of effects, x'w, and the effects are Gaussian with the covariance S. A measurement of row j, with
noise v, leaves S - S x_j x_j' S / (v + x_j' S x_j), whatever its value will be. So the summed variance of the targets
falls by

    x_j' S G S x_j / (v + x_j' S x_j),    G = sum over targets of x x',

and a batch is chosen before any of it is measured: what an earlier choice has told counts for nothing in a later one,
which keeps the batch diverse. S G S changes with S by a sum of three outer products, so that a step costs F^2 and a
few products for each candidate. Sources: MacKay 1992 (equation 5.5), Cohn et al. 1996.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.sums import exact_matmul
from perturbjax.screens.arrays import Array

# Candidates whose products are computed together.
_AT_ONCE = 4096
# A reduction below this share of the whole variance is rounding.
_ROUNDING = 1e-6


class Effects(NamedTuple):
    """What is known of F effects in each of B blocks, such as readouts, which share nothing.

    Attributes:
      covariance: S.
      noise: v, the variance of one measurement.
      unit: by what the variances of a block are multiplied to count beside those of others.
    """

    covariance: Float[Array, 'B F F']
    noise: Float[Array, ' B']
    unit: Float[Array, ' B']


class Rows(NamedTuple):
    """T rows x of a few effects each.

    Attributes:
      ids: of the effects; any where the value is 0.
      value: of each; a row of zeros tells nothing and is never chosen.
    """

    ids: Int[Array, 'T J']
    value: Float[Array, 'B T J']


class Choice(NamedTuple):
    """A batch of k, in the order of the choice.

    Attributes:
      row: numbers among the candidates; -1 where there is nothing left to learn.
      variance: of the prediction just before it is measured, times the unit.
      reduction: by how much the summed variance of the targets falls.
      before: that sum before anything is measured.
    """

    row: Int[jax.Array, ' k']
    variance: Float[jax.Array, ' k']
    reduction: Float[jax.Array, ' k']
    before: Float[jax.Array, '']


@functools.partial(jax.jit, static_argnames='size')
def choose(effects: Effects, candidates: Rows, targets: Rows, size: int) -> Choice:
    """The greedy batch.

    Args:
      effects: what is known of them.
      candidates: what can be measured, each once.
      targets: whose predictions are to become more certain; often the candidates.
      size: k.
    """
    covariance, noise, unit = map(jnp.asarray, effects)
    known = jax.vmap(_told)(covariance, gram(targets, covariance.shape[-1]))
    before = (unit * quadratic(covariance, targets).sum(axis=1)).sum()
    is_open = (jnp.asarray(candidates.value) != 0).any(axis=(0, 2))

    def step(state: tuple[_Known, Bool[jax.Array, ' T']], _: None):
        known, is_open = state
        variance = quadratic(known.covariance, candidates)
        gain = quadratic(known.told, candidates) / _above_0(noise[:, None] + variance)
        gains = jnp.where(is_open, (unit[:, None] * gain).sum(axis=0), 0)
        best = gains.argmax()
        is_worth = gains[best] > _ROUNDING * before
        measured = jax.vmap(_measured)(known, noise, _dense(candidates, best, covariance.shape[-1]))
        known = jax.tree.map(lambda new, old: jnp.where(is_worth, new, old), measured, known)
        found = jnp.where(is_worth, best, -1), (unit * variance[:, best]).sum(), jnp.where(is_worth, gains[best], 0)
        return (known, is_open.at[best].set(False)), found

    _, (row, variance, reduction) = jax.lax.scan(step, (known, is_open), length=size)
    return Choice(row, variance, reduction, before)


class _Known(NamedTuple):
    """The state of the choice: S, and S G S of each block."""

    covariance: Float[jax.Array, '*B F F']
    told: Float[jax.Array, '*B F F']


def _told(covariance: Float[jax.Array, 'F F'], products: Float[jax.Array, 'F F']) -> _Known:
    return _Known(covariance, exact_matmul(exact_matmul(covariance, products), covariance))


def _measured(known: _Known, noise: Float[jax.Array, ''], row: Float[jax.Array, ' F']) -> _Known:
    """The state once a row x is measured: with u = S x, w = S G S x and d = v + x'u it is

    S - u u' / d,    S G S - (u w' + w u') / d + u u' x'w / d^2.
    """
    u, w = exact_matmul(known.covariance, row), exact_matmul(known.told, row)
    d = _above_0(noise + row @ u)
    crossed = jnp.outer(u, w) / d
    outer = jnp.outer(u, u) / d
    return _Known(known.covariance - outer, known.told - crossed - crossed.T + outer * (row @ w) / d)


def quadratic(matrix: Float[jax.Array, 'B F F'], rows: Rows) -> Float[jax.Array, 'B T']:
    """`x' A x` for each row and block."""

    def of_row(row: tuple[Int[jax.Array, ' J'], Float[jax.Array, 'B J']]) -> Float[jax.Array, ' B']:
        ids, value = row
        return ((matrix[:, ids[:, None], ids[None, :]] * value[:, None, :]).sum(axis=2) * value).sum(axis=1)

    each = jnp.asarray(rows.ids), jnp.moveaxis(jnp.asarray(rows.value), 1, 0)
    return jax.lax.map(of_row, each, batch_size=_AT_ONCE).T


def gram(rows: Rows, num_effects: int) -> Float[jax.Array, 'B F F']:
    """The sum over rows of `x x'`."""
    ids = jnp.asarray(rows.ids)

    def of_block(value: Float[jax.Array, 'T J']) -> Float[jax.Array, 'F F']:
        products = value[:, :, None] * value[:, None, :]
        empty = jnp.zeros((num_effects, num_effects), value.dtype)
        return empty.at[ids[:, :, None], ids[:, None, :]].add(products)

    return jax.lax.map(of_block, jnp.asarray(rows.value))


def _dense(rows: Rows, number: Int[jax.Array, ''], num_effects: int) -> Float[jax.Array, 'B F']:
    """One row with all of its F values."""
    value = jnp.asarray(rows.value)[:, number]
    return jnp.zeros((len(value), num_effects), value.dtype).at[:, jnp.asarray(rows.ids)[number]].add(value)


def _above_0(variance: Float[jax.Array, '*shape']) -> Float[jax.Array, '*shape']:
    """A variance to divide by; 1 where there is none, for then nothing is divided."""
    return jnp.where(variance > 0, variance, 1)
