"""AdamW, and a wrapper around a training step that updates large tables row by row.

A step touches few rows of a large embedding table, but AdamW moves every row in every step, also one
without a gradient: its moments fade, its weights decay, and what is left of its momentum still moves
it. For a row that was left alone for k steps all this is a sum over those k steps that nothing else
enters, so the row can be caught up at once when it is next needed. The result is that of AdamW.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from perturbjax.models.model import DEVICE_AXIS, Batch, Weights
from perturbjax.screens.arrays import Array
from perturbjax.training.train_state import Metrics, TrainState

B1, B2, EPSILON = 0.9, 0.999, 1e-8  # torch's

ADAM = optax.scale_by_adam(B1, B2, EPSILON)

# The names of the tables of embeddings.
TABLES = ('context', 'perturbation', 'readout')

# A learning rate or a weight decay.
Rate = Float[Array, ''] | np.floating | float

# (state, batch, learning rate, weight decay) -> (state, metrics)
Step = Callable[[TrainState, Batch, Rate, Rate], tuple[TrainState, Metrics]]

# After so many steps momentum has faded below the rounding of float32: 0.9^160 = 5e-8.
_STEPS_OF_MOMENTUM = 160


class Rows(NamedTuple):
    """U rows of a table and of both moments of Adam."""

    weights: Float[jax.Array, 'U D']
    mean: Float[jax.Array, 'U D']
    square: Float[jax.Array, 'U D']


def descend(
    state: TrainState,
    gradient: Weights,
    learning_rate: Rate,
    weight_decay: Rate | Mapping[str, Rate],
    optimizer: optax.GradientTransformation = ADAM,
) -> TrainState:
    """The state after a step down the gradient; with Adam's direction it is torch's AdamW.

    `weight_decay` is one number, or one for each weight, as `decay_of` gives them.
    """
    direction, opt_state = optimizer.update(gradient, state.opt_state, state.weights)
    decay = weight_decay if isinstance(weight_decay, Mapping) else jax.tree.map(lambda _: weight_decay, direction)
    weights = jax.tree.map(lambda w, d, each: w - learning_rate * (d + each * w), state.weights, direction, decay)
    return state._replace(weights=weights, opt_state=opt_state)


def decay_of(weights: Weights, weight_decay: Rate, table_decay: float) -> Any:
    """The decay of each weight: that of the tables of embeddings is `table_decay` times as large."""
    if table_decay == 1:
        return weight_decay
    return {
        name: jax.tree.map(lambda _, name=name: weight_decay * (table_decay if name in TABLES else 1), each)
        for name, each in weights.items()
    }


def row_wise(step: Step, tables: tuple[str, ...], table_decay: float = 1.0) -> Step:
    """The same step, with those tables cut down to the rows that the batch touches on any device.

    Args:
      step: sees the gathered rows as whole tables, and a batch whose ids count among them.
      tables: names in `state.weights`, each also the name of the batch's field of ids.
      table_decay: how many times the weight decay applies to them.

    Returns:
      The step on whole tables. It must run on the mapped axis of devices. `catch_up_rows` ends an epoch.
    """

    def on_gathered_rows(
        state: TrainState, batch: Batch, learning_rate: Rate, weight_decay: Rate
    ) -> tuple[TrainState, Metrics]:
        touched = {}
        for name in tables:
            everywhere = jax.lax.all_gather(getattr(batch, name), DEVICE_AXIS)
            touched[name] = distinct(everywhere, len(state.row_steps[name]))
            batch = batch._replace(**{name: renumber(getattr(batch, name), touched[name])})
        gathered = gather_rows(state, touched, learning_rate, weight_decay * table_decay)
        gathered, metrics = step(gathered, batch, learning_rate, weight_decay)
        return scatter_rows(state, touched, gathered), metrics

    return on_gathered_rows if tables else step


def distinct(ids: Int[jax.Array, '...'], rows: int) -> Int[jax.Array, ' {ids.size}']:
    """Each id once, sorted, filled up with `rows`; ids below 0 are padding and left out."""
    return jnp.unique(jnp.where(ids < 0, rows, ids), size=ids.size, fill_value=rows)


def renumber(ids: Int[jax.Array, '*shape'], touched: Int[jax.Array, ' U']) -> Int[jax.Array, '*shape']:
    """The position of each id in the sorted `touched`; ids below 0 stay."""
    return jnp.where(ids < 0, ids, jnp.searchsorted(touched, ids).astype(ids.dtype))


def gather_rows(
    state: TrainState,
    touched: Mapping[str, Int[jax.Array, ' _U']],
    learning_rate: Rate,
    weight_decay: Rate,
) -> TrainState:
    """The state with only the touched rows of each table, caught up; zeros for ids past the end of a table."""
    for name, ids in touched.items():
        now, exists = state.opt_state.count, ids < len(state.row_steps[name])
        rows = Rows(*(table.at[ids].get(mode='fill', fill_value=0) for table in _tables(state, name)))
        rows = catch_up(rows, jnp.where(exists, state.row_steps[name][ids], now), now, learning_rate, weight_decay)
        state = _with_rows(state, name, rows)
    return state


def scatter_rows(state: TrainState, touched: Mapping[str, Int[jax.Array, ' _U']], gathered: TrainState) -> TrainState:
    """The state after a step on its touched rows; ids past the end of a table are dropped."""
    row_steps = dict(state.row_steps)
    for name, ids in touched.items():
        both = zip(_tables(state, name), _tables(gathered, name), strict=True)
        gathered = _with_rows(gathered, name, Rows(*(table.at[ids].set(rows, mode='drop') for table, rows in both)))
        row_steps[name] = row_steps[name].at[ids].set(gathered.opt_state.count, mode='drop')
    return gathered._replace(row_steps=row_steps)


def catch_up_rows(state: TrainState, learning_rate: Rate, weight_decay: Rate) -> TrainState:
    """The state with every row caught up: needed before anything else reads the tables or the rate changes."""
    now, row_steps = state.opt_state.count, state.row_steps
    for name in row_steps:
        rows = catch_up(_tables(state, name), row_steps[name], now, learning_rate, weight_decay)
        state = _with_rows(state, name, rows)
    return state._replace(row_steps={name: jnp.full_like(each, now) for name, each in row_steps.items()})


def _tables(state: TrainState, name: str) -> Rows:
    return Rows(state.weights[name], state.opt_state.mu[name], state.opt_state.nu[name])


def _with_rows(state: TrainState, name: str, rows: Rows) -> TrainState:
    moments: Any = state.opt_state
    moments = moments._replace(mu={**moments.mu, name: rows.mean}, nu={**moments.nu, name: rows.square})
    return state._replace(weights={**state.weights, name: rows.weights}, opt_state=moments)


def catch_up(
    rows: Rows,
    last: Int[jax.Array, ' U'],
    now: Int[jax.Array, ''],
    learning_rate: Rate,
    weight_decay: Rate,
) -> Rows:
    """What AdamW at one rate makes of rows whose gradient was 0 from step `last` to step `now`.

    Steps count from 1, as in AdamW's bias correction; `last` is the last step that a row has had.
    """
    missed = (now - last)[:, None].astype(jnp.float32)
    root = jnp.sqrt(rows.square)
    kept = jnp.log1p(-learning_rate * weight_decay)  # a product of k factors 1 - rate * decay would be rounded k times

    def moved(i: Int[jax.Array, ''], total: Float[jax.Array, 'U D']) -> Float[jax.Array, 'U D']:
        """Adds the (i + 1)-th missed step, as far as later decay has left of it."""
        past = (i + 1).astype(jnp.float32)
        step = last[:, None] + past
        left = jnp.where(past <= missed, jnp.exp(kept * (missed - past)), 0)
        scale = left * B1**past / (1 - B1**step)
        return total + scale * rows.mean / (root * jnp.sqrt(B2**past / (1 - B2**step)) + EPSILON)

    steps = jnp.minimum((now - last).max(initial=0), _STEPS_OF_MOMENTUM)
    momentum = jax.lax.fori_loop(0, steps, moved, jnp.zeros_like(rows.weights))
    weights = rows.weights * jnp.exp(kept * missed) - learning_rate * momentum
    return Rows(weights, rows.mean * B1**missed, rows.square * B2**missed)
