"""Fine-tuning scGPT: epochs of shuffled cells, each step over genes that are drawn for it; the best epoch is kept.

Random numbers are functions of the seed, the epoch and the batch, so the same seed gives the same weights.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Float, Int, Key

from perturbjax.models.cells import Dealt, Keys, check_finite, dense, filled_batches, shuffled_batches
from perturbjax.models.paired_cells import Chosen, PairedCells
from perturbjax.models.scgpt.learning import CellBatch, loss, squared_errors, start, step
from perturbjax.models.scgpt.network import PERTURBED, Network
from perturbjax.progress import bar
from perturbjax.screens.arrays import Array


class Settings(NamedTuple):
    """How scGPT is fine-tuned; the defaults are those of the paper that compared it.

    Attributes:
      epochs: how often all training cells are gone through, at most.
      batch_size: cells of a step; those of the last, incomplete batch of an epoch are left out.
      genes: how many are drawn for a step, and shown in it.
      learning_rate, lr_decay: of Adam, and what it is multiplied by after each epoch.
      patience: training stops after so many epochs in a row that were not the best.
    """

    epochs: int = 15
    batch_size: int = 64
    genes: int = 1536
    learning_rate: float = 1e-4
    lr_decay: float = 0.9
    patience: int = 5


class Panel(NamedTuple):
    """The cells by all their G genes, on the device.

    Attributes:
      cells: each beside its control cell; the nodes of perturbations are genes.
      tokens: of the genes.
    """

    cells: PairedCells
    tokens: Int[Array, ' G']


def fine_tune(network: Network, weights: Any, panel: Panel, chosen: Chosen, settings: Settings, keys: Keys) -> Any:
    """The weights of the best epoch by the validation cells, or of the last one where nothing validates.

    Args:
      network, weights: to start from.
      panel, chosen: what to learn from.
      settings, keys: how.
    """
    validation = filled_batches(chosen.validation, settings.batch_size) if len(chosen.validation) else None
    panel, weights, validation = jax.device_put((panel, weights, validation))
    moments, best, lowest, worse = start(weights), weights, np.inf, 0
    steps = len(chosen.training) // settings.batch_size
    with bar('scgpt', settings.epochs * steps * settings.batch_size, unit=' cells', delay=3) as progress:
        for epoch in range(settings.epochs):
            batches = shuffled_batches(chosen.training, settings.batch_size, jax.random.fold_in(keys.order, epoch))
            rate, key = jnp.float32(settings.learning_rate * settings.lr_decay**epoch), _of_epoch(keys, epoch)
            weights, moments, mean = _train_epoch(network, settings, weights, moments, panel, batches, rate, key)
            check_finite(float(mean), epoch + 1, 'scgpt')
            progress.update(batches.size)
            if validation is None:
                best = weights
                continue
            error = float(_validation_error(network, settings, weights, panel, validation, key))
            logging.info('scgpt: epoch %d: training loss %.5g, validation error %.5g', epoch + 1, mean, error)
            best, lowest, worse = (weights, error, 0) if error < lowest else (best, lowest, worse + 1)
            if worse == settings.patience:
                break
    return best


def batch_of(panel: Panel, numbers: Int[Array, ' B'], genes: int, key: Key[jax.Array, '']) -> CellBatch:
    """The batch of the cells with these numbers, over genes that are drawn from the panel without replacement."""
    cells, size = panel.cells, len(panel.tokens)
    drawn = jax.random.permutation(key, size)[:genes] if genes < size else jnp.arange(size)
    y, x = (dense(cells.rows, some, size)[:, drawn] for some in (numbers, cells.partner[numbers]))
    parts = cells.parts[cells.condition[numbers]]
    return CellBatch(jnp.asarray(panel.tokens)[drawn], x, flags_of(parts, drawn), y)


def flags_of(parts: Int[Array, 'B K'], genes: Int[Array, ' S']) -> Int[jax.Array, 'B S']:
    """The flag of each gene: whether it is one of the parts of the perturbation, which -1 pads."""
    is_part = (jnp.asarray(parts)[:, :, None] == jnp.asarray(genes)[None, None, :]).any(axis=1)
    return jnp.where(is_part, PERTURBED, 0)


def _of_epoch(keys: Keys, epoch: int) -> Key[jax.Array, '']:
    return jax.random.fold_in(keys.noise, epoch)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train_epoch(
    network: Network, settings: Settings, weights: Any, moments: Any, panel: Panel, batches: Int[Array, 'n B'],
    rate: Float[Array, ''], key: Key[jax.Array, ''],
) -> tuple[Any, Any, Float[jax.Array, '']]:  # fmt: skip
    """The weights and moments after a step on each batch, and the mean loss."""

    def one(state: Any, part: tuple[Any, Any]) -> tuple[Any, Float[jax.Array, '']]:
        (weights, moments), (place, numbers) = state, part
        own = jax.random.fold_in(key, place)
        batch = batch_of(panel, numbers, settings.genes, jax.random.fold_in(own, 0))
        dropout = jax.random.fold_in(own, 1)
        value, gradient = jax.value_and_grad(lambda weights: loss(network, weights, batch, dropout))(weights)
        return step(weights, moments, gradient, rate), value

    (weights, moments), losses = jax.lax.scan(one, (weights, moments), (jnp.arange(len(batches)), batches))
    return weights, moments, losses.mean()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _validation_error(
    network: Network, settings: Settings, weights: Any, panel: Panel, validation: Dealt, key: Key[jax.Array, '']
) -> Float[jax.Array, '']:  # fmt: skip
    """The mean squared error of the validation cells, over genes that are drawn for each batch."""

    def of_batch(part: tuple[Any, Any, Any]) -> Float[jax.Array, '']:
        place, numbers, counts = part
        own = jax.random.fold_in(jax.random.fold_in(key, place), 2)
        batch = batch_of(panel, numbers, settings.genes, own)
        return (squared_errors(network, weights, batch).mean(axis=1) * counts).sum()

    numbers, weight = map(jnp.asarray, validation)
    total = jax.lax.map(of_batch, (jnp.arange(len(numbers)), numbers, weight)).sum()
    return total / weight.sum()
