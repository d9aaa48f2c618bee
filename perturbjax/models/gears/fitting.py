"""Fitting GEARS: epochs of shuffled cells, each one compiled scan; the epoch with the lowest validation error is kept.

Random numbers are functions of the seed, the epoch and a cell's number, so the same seed gives the same weights.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Float, Int, Key

from perturbjax.models.cells import Keys, check_finite, dense, shuffled_batches
from perturbjax.models.gears.cells import batch_of, strongest_readouts
from perturbjax.models.gears.learning import Optimizer, loss
from perturbjax.models.gears.network import Graphs, Network, renormalised
from perturbjax.models.paired_cells import Chosen, PairedCells
from perturbjax.progress import bar
from perturbjax.screens.arrays import Array


class Settings(NamedTuple):
    """How GEARS is trained; the defaults are the released ones.

    Attributes:
      epochs: how often all training cells are gone through.
      batch_size: cells of a step; those of the last, incomplete batch of an epoch are left out.
      learning_rate, lr_decay: of Adam, and what it is multiplied by after each epoch.
      weight_decay: see `Optimizer`.
      sign: how much the term of signs counts in the loss; it has no gradient.
    """

    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    lr_decay: float = 0.5
    weight_decay: float = 5e-4
    sign: float = 0.1


class State(NamedTuple):
    """What training changes."""

    weights: Any
    statistics: Any
    moments: Any


class Judged(NamedTuple):
    """What judges an epoch, of S validation conditions.

    Attributes:
      batches: numbers of their cells; what fills up the last batch repeats a cell.
      condition: of each cell, 0 to S - 1; S where a cell only fills up.
      truth: the mean cell of each condition.
      strongest: the readouts that it is judged by.
    """

    batches: Int[Array, 'n B']
    condition: Int[Array, 'n B']
    truth: Float[Array, 'S G']
    strongest: Int[Array, 'S T']


def fit_network(
    network: Network, graphs: Graphs, cells: PairedCells, chosen: Chosen, settings: Settings, keys: Keys, title: str
) -> State:
    """The weights and running statistics of the best epoch, or of the last one where nothing validates.

    Args:
      network, graphs: over the readouts of the cells, and the nodes of their perturbations.
      cells, chosen: what to learn from.
      settings, keys: how.
      title: of the progress bar.
    """
    judged = judge_by(cells, chosen, settings.batch_size)
    cells, graphs, judged = jax.device_put((cells, graphs, judged))
    state = best = _start(network, settings, graphs, cells, keys.weights)
    steps, lowest = len(chosen.training) // settings.batch_size, np.inf
    with bar(title, settings.epochs * steps * settings.batch_size, unit=' cells', delay=3) as progress:
        for epoch in range(settings.epochs):
            batches = shuffled_batches(chosen.training, settings.batch_size, jax.random.fold_in(keys.order, epoch))
            rate = jnp.float32(settings.learning_rate * settings.lr_decay**epoch)
            state, mean = _train_epoch(network, settings, state, graphs, cells, batches, rate)
            check_finite(float(mean), epoch + 1, 'gears')
            error = np.nan if judged is None else float(_validation_error(network, state, graphs, cells, judged))
            logging.info('%s: epoch %d: training loss %.5g, validation error %.5g', title, epoch + 1, mean, error)
            if judged is None or error < lowest:
                best, lowest = state, error
            progress.update(batches.size)
    return best


def judge_by(cells: PairedCells, chosen: Chosen, batch_size: int) -> Judged | None:
    """The validation cells and what they are compared with; None without any."""
    numbers, readouts = chosen.validation, cells.genes.shape[1]
    if not len(numbers):
        return None

    def values(some: Int[np.ndarray, ' n']) -> Float[np.ndarray, 'n G']:
        return np.asarray(dense(cells.rows, some, readouts))

    conditions, condition = np.unique(cells.condition[numbers], return_inverse=True)
    truth, strongest, context = [], [], cells.context[cells.condition[chosen.control]]
    for i, each in enumerate(conditions):
        own = values(numbers[condition == i])
        truth.append(own.mean(axis=0))
        strongest.append(strongest_readouts(own, values(chosen.control[context == cells.context[each]])))
    filled = -len(numbers) % batch_size
    batches = np.pad(numbers, (0, filled), mode='edge').reshape(-1, batch_size)
    padded = np.pad(condition, (0, filled), constant_values=len(conditions)).reshape(-1, batch_size)
    return Judged(batches, padded, np.stack(truth), np.stack(strongest))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _start(network: Network, settings: Settings, graphs: Graphs, cells: PairedCells, key: Key[jax.Array, '']) -> State:
    """The state before the first step."""
    batch = batch_of(cells, jnp.zeros(1, jnp.int32))
    variables = network.init(key, batch.x, batch.parts, batch.is_first, graphs)
    weights = variables['params']
    return State(weights, variables['batch_stats'], Optimizer(settings.weight_decay).init(weights))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train_epoch(
    network: Network, settings: Settings, state: State, graphs: Graphs, cells: PairedCells,
    batches: Int[Array, 'n B'], rate: Float[Array, ''],
) -> tuple[State, Float[jax.Array, '']]:  # fmt: skip
    """The state after a step on each batch, and the mean loss."""
    optimizer = Optimizer(settings.weight_decay)

    def step(state: State, numbers: Int[jax.Array, ' B']) -> tuple[State, Float[jax.Array, '']]:
        batch, weights = batch_of(cells, numbers), renormalised(state.weights)

        def total(weights: Any) -> tuple[Float[jax.Array, ''], Any]:
            return loss(network, weights, state.statistics, graphs, batch, settings.sign)

        (value, statistics), gradient = jax.value_and_grad(total, has_aux=True)(weights)
        is_perturbed = jnp.asarray(batch.parts >= 0).any()
        moved, moments = optimizer.update(weights, state.moments, gradient, rate, is_perturbed)
        return State(moved, statistics, moments), value

    state, losses = jax.lax.scan(step, state, jnp.asarray(batches))
    return state, losses.mean()


@functools.partial(jax.jit, static_argnums=0)
def _validation_error(
    network: Network, state: State, graphs: Graphs, cells: PairedCells, judged: Judged
) -> Float[jax.Array, '']:
    """The squared error of each condition's mean over its strongest readouts; the mean over the conditions."""
    weights = renormalised(state.weights)

    def add(total: Float[jax.Array, 'S G'], part: tuple[Any, Any]) -> tuple[Float[jax.Array, 'S G'], None]:
        batch = batch_of(cells, part[0])
        variables = {'params': weights, 'batch_stats': state.statistics}
        predicted, _ = network.apply(variables, batch.x, batch.parts, batch.is_first, graphs)
        return total.at[part[1]].add(predicted, mode='drop'), None

    truth = jnp.asarray(judged.truth)
    total, _ = jax.lax.scan(add, jnp.zeros_like(truth), (judged.batches, judged.condition))
    sizes = jnp.zeros(len(truth)).at[judged.condition.ravel()].add(1, mode='drop')
    squares = (total / sizes[:, None] - truth) ** 2
    return jnp.take_along_axis(squares, judged.strongest, axis=1).mean()
