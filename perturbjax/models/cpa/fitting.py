"""Fitting CPA: epochs of shuffled cells, each one compiled scan; the best epoch by the validation cells is kept.

Random numbers are functions of the seed, the epoch and the batch, so the same seed gives the same weights.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Float, Int, Key

from perturbjax.models.cells import Dealt, Keys, check_finite, filled_batches
from perturbjax.models.cpa.cells import Chosen, LabelledCells, batch_of, guessed_of
from perturbjax.models.cpa.judging import metric
from perturbjax.models.cpa.learning import (
    Players,
    Side,
    State,
    adversary_rule,
    adversary_step,
    autoencoder_rule,
    autoencoder_step,
    encoded,
)
from perturbjax.models.cpa.network import CellBatch, Mixing, Output
from perturbjax.models.cpa.schedule import Settings, adversary_share, kinds_of_steps, mixup_size, rate_factor
from perturbjax.progress import bar
from perturbjax.screens.arrays import Array

# A last batch of fewer cells is left out: its batch norms would say nothing.
_FEWEST = 3


class Epoch(NamedTuple):
    """What an epoch goes by, see `schedule`; `mixup` is the parameter of the shares, `factor` that of the rates."""

    kinds: Int[Array, ' n']
    share: Float[Array, '']
    mixup: Float[Array, '']
    factor: Float[Array, '']
    key: Key[jax.Array, '']


def fit_networks(
    players: Players, cells: LabelledCells, chosen: Chosen, settings: Settings, keys: Keys, title: str
) -> State:
    """The state of the best epoch, or of the last one where nothing validates.

    Args:
      players: over the readouts of the cells, with rates.
      cells, chosen: what to learn from.
      settings, keys: how.
      title: of the progress bar.
    """
    validation = deal(chosen.validation, settings.batch_size) if len(chosen.validation) >= _FEWEST else None
    cells, validation = jax.device_put((cells, validation))
    state = best = start(players, keys.weights)
    highest, worse = -np.inf, 0
    with bar(title, settings.epochs * len(chosen.training), unit=' cells', delay=3) as progress:
        for epoch in range(settings.epochs):
            order = jax.random.permutation(jax.random.fold_in(keys.order, epoch), jnp.asarray(chosen.training))
            dealt = deal(np.asarray(order), settings.batch_size)
            plan = _plan(epoch, len(dealt.numbers), settings, keys)
            state, losses = _train_epoch(players, settings.mixup > 0, state, cells, dealt, plan)
            check_finite(float(np.abs(np.asarray(losses)).sum()), epoch + 1, 'cpa')
            progress.update(len(order))
            if validation is None or ((epoch + 1) % settings.every and epoch + 1 < settings.epochs):
                continue
            now = float(_validation_metric(players, state, cells, validation))
            logging.info('%s: epoch %d: reconstruction %.5g, metric %.5g', title, epoch + 1, losses[0, 0], now)
            best, highest, worse = (state, now, 0) if now > highest else (best, highest, worse + 1)
            if worse == settings.patience:
                break
    return state if validation is None else best


def deal(numbers: Int[np.ndarray, ' n'], batch_size: int) -> Dealt:
    """The cells in order, in batches; the last one is filled up, or left out if it has too few cells."""
    size = min(batch_size, len(numbers))
    rest = len(numbers) % size
    kept = len(numbers) - rest if rest < _FEWEST else len(numbers)
    return filled_batches(numbers[:kept], size)


@functools.partial(jax.jit, static_argnums=0)
def start(players: Players, key: Key[jax.Array, '']) -> State:
    """The state before the first step."""
    autoencoder, adversary, rates = players
    x = jnp.zeros((1, autoencoder.num_genes))
    one = jnp.zeros(1, jnp.int32)
    batch = CellBatch(x, one[:, None], jnp.ones((1, 1)), one, one, jnp.ones(1))
    own = autoencoder.init(jax.random.fold_in(key, 0), batch)
    other = adversary.init(jax.random.fold_in(key, 1), jnp.zeros((1, autoencoder.latent)))
    rules = (autoencoder_rule(rates), adversary_rule(rates))
    return State(
        *(Side(v['params'], v['batch_stats'], r.init(v['params'])) for v, r in zip((own, other), rules, strict=True))
    )


def _plan(epoch: int, batches: int, settings: Settings, keys: Keys) -> Epoch:
    return Epoch(
        kinds_of_steps(epoch, batches, settings),
        jnp.float32(adversary_share(epoch, settings)),
        jnp.float32(mixup_size(epoch, settings)),
        jnp.float32(rate_factor(epoch, settings.schedule)),
        jax.random.fold_in(keys.noise, epoch),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train_epoch(
    players: Players, mixes: bool, state: State, cells: LabelledCells, dealt: Dealt, plan: Epoch
) -> tuple[State, Float[jax.Array, 'n 2']]:
    """The state after a step on each batch; the losses of autoencoder and adversary, 0 where one was not computed."""
    zero = jnp.zeros(())

    def step(state: State, part: tuple[Any, ...]) -> tuple[State, Float[jax.Array, ' 2']]:
        place, kind, numbers, weight = part
        batch = batch_of(cells, numbers, weight, players.autoencoder.num_genes)
        key, guessed = jax.random.fold_in(plan.key, place), guessed_of(cells, batch, len(players.adversary.classes))
        mixing = mixing_of(plan.mixup, weight, key) if mixes else None
        batch = batch if mixing is None else batch._replace(x=mixing.of(batch.x))

        def both(state: State) -> tuple[State, jax.Array]:
            state, basal, losses = autoencoder_step(players, state, batch, guessed, mixing, None, plan.factor, key)
            state, more = adversary_step(players, state, basal, batch, guessed, mixing, plan.factor, key)
            return state, jnp.stack([losses['reconstruction'], more['guess']])

        def against(state: State) -> tuple[State, jax.Array]:
            state, _, losses = autoencoder_step(players, state, batch, guessed, mixing, plan.share, plan.factor, key)
            return state, jnp.stack([losses['reconstruction'], losses['guess']])

        def alone(state: State) -> tuple[State, jax.Array]:
            state, basal = encoded(players, state, batch, key)
            state, losses = adversary_step(players, state, basal, batch, guessed, mixing, plan.factor, key)
            return state, jnp.stack([zero, losses['guess']])

        return jax.lax.switch(kind, (both, against, alone), state)

    parts = (jnp.arange(len(dealt.numbers)), plan.kinds, dealt.numbers, dealt.weight)
    return jax.lax.scan(step, state, parts)


def mixing_of(size: Float[Array, ''], weight: Float[Array, ' B'], key: Key[jax.Array, '']) -> Mixing:
    """A share of Beta(size, size), 1 where size is 0, and pairs of cells; those of weight 0 stay among themselves."""
    least = jnp.maximum(size, 1e-3)
    drawn = jax.random.beta(jax.random.fold_in(key, 3), least, least)
    place = jax.random.uniform(jax.random.fold_in(key, 4), weight.shape) + (1 - jnp.asarray(weight))
    return Mixing(jnp.where(size > 0, drawn, 1), jnp.argsort(place))


@functools.partial(jax.jit, static_argnums=0)
def _validation_metric(
    players: Players, state: State, cells: LabelledCells, validation: Dealt
) -> Float[jax.Array, '']:  # fmt: skip
    """The mean over batches of the metric."""
    autoencoder, own = players.autoencoder, state.autoencoder

    def of_batch(part: tuple[Any, Any]) -> Float[jax.Array, '']:
        batch = batch_of(cells, *part, autoencoder.num_genes)
        output = autoencoder.apply({'params': own.weights, 'batch_stats': own.statistics}, batch)
        return metric(Output(*output), batch, players.adversary.classes, autoencoder.likelihood)

    return jax.lax.map(of_batch, tuple(validation)).mean()
