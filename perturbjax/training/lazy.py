"""AdamW on large tables, of which a step touches few rows: the others are caught up when they are next needed.

AdamW moves every row in every step, also one without gradient: its moments fade, its weights
decay, and what is left of its momentum still moves it. Of a row that was left alone for k steps,
all this is a sum over those k steps that nothing else enters, so it can be made up for at once.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from perturbjax.training.state import B1, B2, EPSILON, State

# After so many steps momentum has faded to below float32's rounding: 0.9^160 = 5e-8.
_STEPS = 160


class Rows(NamedTuple):
    """Rows of a table `[U, D]` and of the optimiser's moments."""

    weights: jax.Array
    mean: jax.Array
    square: jax.Array


def distinct(ids: jax.Array, rows: int) -> jax.Array:
    """The ids of any shape, each once and sorted, and then `rows`; those below 0 are none. int32 `[size of ids]`."""
    return jnp.unique(jnp.where(ids < 0, rows, ids), size=ids.size, fill_value=rows)


def renumber(ids: jax.Array, among: jax.Array) -> jax.Array:
    """Where the ids stand in sorted `among`; below 0 they stay."""
    return jnp.where(ids < 0, ids, jnp.searchsorted(among, ids).astype(ids.dtype))


def take(state: State, ids: Mapping[str, jax.Array], rate: jax.Array, weight_decay: jax.Array) -> State:
    """The state over only the rows of some tables that `ids` names, caught up; zeros for ids past the end."""
    for name, among in ids.items():
        now, there = state.moments.count, among < len(state.seen[name])
        rows = Rows(*(table.at[among].get(mode='fill', fill_value=0) for table in _tables(state, name)))
        rows = catch_up(rows, jnp.where(there, state.seen[name][among], now), now, rate, weight_decay)
        state = _with(state, name, rows)
    return state


def put(state: State, ids: Mapping[str, jax.Array], near: State) -> State:
    """The state after a step over only those rows; ids past the end are left out."""
    seen = dict(state.seen)
    for name, among in ids.items():
        both = zip(_tables(state, name), _tables(near, name), strict=True)
        near = _with(near, name, Rows(*(table.at[among].set(rows, mode='drop') for table, rows in both)))
        seen[name] = seen[name].at[among].set(near.moments.count, mode='drop')
    return near._replace(seen=seen)


def settle(state: State, rate: jax.Array, weight_decay: jax.Array) -> State:
    """The state with every row caught up: needed before anything else reads it, and before the rate changes."""
    now, seen = state.moments.count, state.seen
    for name in seen:
        state = _with(state, name, catch_up(_tables(state, name), seen[name], now, rate, weight_decay))
    return state._replace(seen={name: jnp.full_like(each, now) for name, each in seen.items()})


def _tables(state: State, name: str) -> Rows:
    return Rows(state.weights[name], state.moments.mu[name], state.moments.nu[name])


def _with(state: State, name: str, rows: Rows) -> State:
    mean, square = {**state.moments.mu, name: rows.mean}, {**state.moments.nu, name: rows.square}
    return state._replace(
        weights={**state.weights, name: rows.weights}, moments=state.moments._replace(mu=mean, nu=square)
    )


def catch_up(rows: Rows, seen: jax.Array, now: jax.Array, rate: jax.Array, weight_decay: jax.Array) -> Rows:
    """What AdamW at one rate makes of rows whose gradient was 0 from step `seen [U]` to step `now`.

    Steps count from 1 as in AdamW's bias correction; `seen` is the last that the rows had.
    """
    missed = (now - seen)[:, None].astype(jnp.float32)
    root = jnp.sqrt(rows.square)
    kept = jnp.log1p(-rate * weight_decay)  # 1 - rate * weight_decay would be rounded, k times over

    def moved(i: jax.Array, total: jax.Array) -> jax.Array:
        """Adds the (i + 1)-th step missed, as far as later decay has left of it."""
        past = (i + 1).astype(jnp.float32)
        step = seen[:, None] + past
        left = jnp.where(past <= missed, jnp.exp(kept * (missed - past)), 0)
        scale = left * B1**past / (1 - B1**step)
        return total + scale * rows.mean / (root * jnp.sqrt(B2**past / (1 - B2**step)) + EPSILON)

    steps = jnp.minimum((now - seen).max(initial=0), _STEPS)
    momentum = jax.lax.fori_loop(0, steps, moved, jnp.zeros_like(rows.weights))
    weights = rows.weights * jnp.exp(kept * missed) - rate * momentum
    return Rows(weights, rows.mean * B1**missed, rows.square * B2**missed)
