"""One training step, top down: what it is compiled for, many steps at once on all devices, one step, its gradient.

Read `pmap_train_steps`, then `_train_step`. This is the only file that says pmap.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from perturbjax.errors import InputError
from perturbjax.models.dropout import Noise, mix
from perturbjax.models.model import DEVICE_AXIS, Batch, Constants, Learner, Statistics, Weights
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.training.optimizer import ADAM, Rate, catch_up_rows, decay_of, descend, row_wise
from perturbjax.training.sampling import Block, Observations, draw
from perturbjax.training.settings import Member, TrainingSettings
from perturbjax.training.sharding import Pieces
from perturbjax.training.train_state import Metrics, TrainState, add_metrics, empty_metrics

Devices = tuple[jax.Device, ...]

# A table is updated row by row where it has at least so many rows for each row that a step may touch.
ROW_WISE_FROM = 64

# The profiles of a block of whole profiles.
_PROFILES = 8

# Which arrays of the data are divided over the devices (0) and which are whole on each (None).
_DATA_AXES = Observations(0, None, None, None, Pieces(0, 0, 0, 0, 0), None, None)  # type: ignore[arg-type]


class StepIndex(NamedTuple):
    """Where in training a step is.

    Attributes:
      epoch: counted from 0.
      step: since the start of training.
      step_in_chunk: within the chunk of data.
      pass_steps: how many steps go through the data once, where an epoch has a number of steps of its own; else 0.
    """

    epoch: Int[Array, ''] | np.int32
    step: Int[Array, ''] | np.int32
    step_in_chunk: Int[Array, ''] | np.int32
    pass_steps: Int[Array, ''] | np.int32 = np.int32(0)

    def place(self) -> tuple[Int[Array, ''], Int[Array, '']]:
        """The pass through the data, which decides their order, and the step within it."""
        steps = jnp.maximum(self.pass_steps, 1)
        is_counted = self.pass_steps > 0
        return (
            jnp.where(is_counted, self.step // steps, self.epoch),
            jnp.where(is_counted, self.step % steps, self.step_in_chunk),
        )


class StepConfig(NamedTuple):
    """What a step is compiled for.

    Attributes:
      learner: the model's.
      num_blocks: n, the blocks of a batch over all devices.
      block: p, r.
      num_shards: V.
      num_devices: L, which add up their gradients.
      accum_steps: the parts in which a device goes through its share of a batch.
      row_tables: the tables that are updated row by row.
      has_dropout: whether any member has a dropout rate above 0.
    """

    learner: Learner
    num_blocks: int
    block: Block
    num_shards: int
    num_devices: int
    accum_steps: int = 1
    row_tables: tuple[str, ...] = ()
    has_dropout: bool = False


def make_step_config(
    learner: Learner,
    compendium: Compendium,
    chosen: Sequence[Bool[np.ndarray, ' _N']],
    settings: TrainingSettings,
    num_devices: int,
    has_dropout: bool = False,
) -> StepConfig:
    """What steps over the chosen profiles of each screen are compiled for.

    Raises InputError where the shards cannot be dealt to the devices evenly.
    """
    if settings.shards % num_devices:
        raise InputError(
            f'training.shards: {settings.shards} is not a multiple of the {num_devices} devices; '
            f'make it {-(-settings.shards // num_devices) * num_devices}, or use another number of devices.'
        )
    values = sum(int(mask.sum()) * len(screen.readout) for screen, mask in zip(compendium.screens, chosen, strict=True))
    if settings.batch_profiles:
        p, r = min(_PROFILES, settings.batch_profiles), max(len(screen.readout) for screen in compendium.screens)
        blocks = min(settings.batch_profiles // p, max(settings.shards, values // (p * r)))
    else:
        p, r = settings.block
        blocks = min(settings.batch_size, values) // (p * r) or 1
    order, names = compendium.screens[0].perturbation.shape[1], compendium.vocabulary
    rows = {
        'perturbation': (len(names.perturbations), blocks * p * order),
        'readout': (len(names.readouts), blocks * r),
    }
    row_tables = tuple(name for name in learner.row_tables if rows[name][0] >= ROW_WISE_FROM * rows[name][1])
    return StepConfig(
        learner, blocks, (p, r), settings.shards, num_devices, settings.accum_steps, row_tables, has_dropout
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def init_states(
    learner: Learner, row_tables: tuple[str, ...], constants: Constants, seeds: UInt[Array, ' S']
) -> TrainState:
    """The states of the S members before the first step."""

    def one(seed: UInt[jax.Array, '']) -> TrainState:
        weights, statistics = learner.init(jax.random.key(seed), constants)
        row_steps = {name: jnp.zeros(len(weights[name]), jnp.int32) for name in row_tables}
        return TrainState(weights, statistics, (learner.optimizer or ADAM).init(weights), row_steps)

    return jax.lax.map(one, seeds)


@functools.lru_cache
def pmap_train_steps(config: StepConfig, devices: Devices) -> Callable[..., tuple[TrainState, Metrics]]:
    """Many steps in one call, on all devices.

    Returns:
      `(state, data, constants, members, active, index, device_index, steps) -> (state, metrics)`. The state
      `[S, ...]` is donated; members that are not active stay as they are. The number of steps is a value and
      not a shape, so that a shorter last call compiles nothing.
    """

    def run(
        state: TrainState,
        data: Observations,
        constants: Constants,
        members: Member,
        active: Bool[jax.Array, ' S'],
        index: StepIndex,
        device_index: Int[jax.Array, ''],
        steps: Int[jax.Array, ''],
    ) -> tuple[TrainState, Metrics]:
        def of_member(state: TrainState, member: Member, steps: Int[jax.Array, '']) -> tuple[TrainState, Metrics]:
            def body(i: Int[jax.Array, ''], carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
                now = index._replace(step=index.step + i, step_in_chunk=index.step_in_chunk + i)
                state, metrics = _train_step(config, data, constants, member, now, device_index, carry[0])
                return state, add_metrics(carry[1], metrics)

            return jax.lax.fori_loop(0, steps, body, (state, empty_metrics()))

        return _over_members(of_member, devices)(state, members, jnp.where(active, steps, 0))

    return _pmap(run, devices, (None, _DATA_AXES, None, None, None, None, 0, None), donate_argnums=0)


def _train_step(
    config: StepConfig,
    data: Observations,
    constants: Constants,
    member: Member,
    index: StepIndex,
    device_index: Int[jax.Array, ''],
    state: TrainState,
) -> tuple[TrainState, Metrics]:
    """One step on one of the devices: its blocks of the batch, the gradient over all devices, the update."""

    def step(state: TrainState, batch: Batch, learning_rate: Rate, weight_decay: Rate) -> tuple[TrainState, Metrics]:
        def loss(weights: Weights, statistics: Statistics, part: Batch) -> tuple[Float[jax.Array, ''], Statistics]:
            noise = _noise(config, member, index.step, part)
            return config.learner.loss(weights, statistics, constants, part, noise)

        total, statistics, gradient = _gradient(loss, state, batch, config.accum_steps)
        sums = batch.weight.sum(), total, gradient
        if config.num_devices > 1:
            sums = jax.lax.psum(sums, DEVICE_AXIS)
            statistics = jax.lax.pmean(statistics, DEVICE_AXIS)
        count, total, gradient = sums
        gradient = jax.tree.map(lambda each: each / jnp.maximum(count, 1), gradient)
        decay = decay_of(state.weights, weight_decay, config.learner.table_decay)
        state = descend(state, gradient, learning_rate, decay, config.learner.optimizer or ADAM)
        bad_step = jnp.where(jnp.isfinite(total), -1, index.step)
        return state._replace(statistics=statistics), Metrics(total, count, bad_step)

    batch = _batch(config, data, member, index, device_index)
    rates = member.rate(index.epoch), member.weight_decay
    return row_wise(step, config.row_tables, config.learner.table_decay)(state, batch, *rates)


def _gradient(
    loss: Callable[[Weights, Statistics, Batch], tuple[Float[jax.Array, ''], Statistics]],
    state: TrainState,
    batch: Batch,
    accum_steps: int,
) -> tuple[Float[jax.Array, ''], Statistics, Weights]:
    """The sum of the losses of a batch, the statistics after it, and the gradient; one part of the batch at a time."""
    value_and_gradient = jax.value_and_grad(loss, has_aux=True)
    if accum_steps == 1:
        (total, statistics), gradient = value_and_gradient(state.weights, state.statistics, batch)
        return total, statistics, gradient
    parts = jax.tree.map(lambda each: each.reshape(accum_steps, -1, *each.shape[1:]), batch)
    zero = jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.weights)

    def add(carry: tuple[Any, Statistics], part: Batch) -> tuple[tuple[Any, Statistics], None]:
        (total, statistics), gradient = value_and_gradient(state.weights, carry[1], part)
        return (jax.tree.map(jnp.add, carry[0], (total, gradient)), statistics), None

    ((total, gradient), statistics), _ = jax.lax.scan(add, (zero, state.statistics), parts)
    return total, statistics, gradient


def _batch(
    config: StepConfig, data: Observations, member: Member, index: StepIndex, device_index: Int[jax.Array, '']
) -> Batch:
    """This device's blocks: the positions p of the epoch's order with p % num_devices == device_index."""
    blocks = -(-config.num_blocks // config.num_devices)
    blocks += -blocks % config.accum_steps
    turn, step = index.place()
    first = step.astype(jnp.uint32) * config.num_blocks
    devices = config.num_devices
    nearest = (device_index.astype(jnp.uint32) + devices - first % devices) % devices
    block = nearest + devices * jnp.arange(blocks, dtype=jnp.uint32)
    epoch_seed = mix(member.seed ^ mix(turn.astype(jnp.uint32)))
    is_wanted = block < config.num_blocks
    return draw(data, config.block, epoch_seed, first + block, is_wanted, config.num_shards, devices, member.fold)


def _noise(config: StepConfig, member: Member, step: Int[Array, ''] | np.int32, batch: Batch) -> Noise | None:
    """What dropout is drawn from in a step; None without dropout."""
    if not config.has_dropout:
        return None
    size = config.block[0] * config.block[1]
    position = batch.position[:, None] * size + jnp.arange(size, dtype=jnp.uint32)[None, :]
    return Noise(member.dropout, mix(mix(member.seed) + step.astype(jnp.uint32)), position.ravel())


@functools.lru_cache
def pmap_evaluate(config: StepConfig, devices: Devices) -> Callable[..., Metrics]:
    """The squared errors of all observations, without dropout.

    Returns:
      `(data, constants, device_index, steps, weights [S, ...], statistics [S, ...]) -> metrics [S]`.
    """
    config = config._replace(accum_steps=1)
    # Evaluation goes through the data in an order too.
    nobody = Member(np.uint32(0), *[np.float32(0)] * 4)  # type: ignore[arg-type]

    def run(
        data: Observations,
        constants: Constants,
        device_index: Int[jax.Array, ''],
        steps: Int[jax.Array, ''],
        weights: Weights,
        statistics: Statistics,
    ) -> Metrics:
        def of_member(weights: Weights, statistics: Statistics) -> Metrics:
            def add(i: Int[jax.Array, ''], metrics: Metrics) -> Metrics:
                index = StepIndex(jnp.zeros((), int), i, i)
                batch = _batch(config, data, nobody, index, device_index)
                error = config.learner.error(weights, statistics, constants, batch)
                return Metrics(metrics.loss + error, metrics.observations + batch.weight.sum(), metrics.bad_step)

            return jax.lax.psum(jax.lax.fori_loop(0, steps, add, empty_metrics()), DEVICE_AXIS)

        return _over_members(of_member, devices)(weights, statistics)

    return _pmap(run, devices, (_DATA_AXES, None, 0, None, None, None))


@functools.lru_cache
def pmap_flush(devices: Devices, table_decay: float = 1.0) -> Callable[..., TrainState]:
    """`(state, epoch, members, device_index) -> state` with every row of every table caught up; donates the state."""

    def run(
        state: TrainState, epoch: Int[jax.Array, ''], members: Member, device_index: Int[jax.Array, '']
    ) -> TrainState:
        def of_member(state: TrainState, member: Member) -> TrainState:
            return catch_up_rows(state, member.rate(epoch), member.weight_decay * table_decay)

        return _over_members(of_member, devices)(state, members)

    return _pmap(run, devices, (None, None, None, 0), donate_argnums=0)


def _over_members(function: Callable, devices: Devices) -> Callable:
    """The function over the leading axis of its arguments: at once where that fills the device, else in turn.

    On a CPU one member keeps all cores busy, and several at once would only fall out of its caches.
    """
    if devices[0].platform == 'cpu':
        return lambda *args: jax.lax.map(lambda each: function(*each), args)
    return jax.vmap(function)


def _pmap(function: Callable, devices: Devices, in_axes: tuple, **options: Any) -> Callable:
    return jax.pmap(function, DEVICE_AXIS, in_axes=in_axes, out_axes=None, devices=devices, **options)
