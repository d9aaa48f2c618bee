"""How CPA is fitted: the steps of its two networks on a batch of cells, and the metric that chooses the epoch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key

from perturbjax.models.cell_learner import Drawn, StepLoss
from perturbjax.models.cpa.cells import LabelledCells, batch_of, guessed_of
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
from perturbjax.models.cpa.schedule import (
    ADVERSARY,
    Settings,
    adversary_share,
    kinds_of_steps,
    mixup_size,
    rate_factor,
)
from perturbjax.screens.arrays import Array

# A last batch of fewer cells is left out: its batch norms would say nothing.
FEWEST = 3


class Plan(NamedTuple):
    """What each of n steps goes by, see `schedule`; `mixup` is the parameter of the shares, `factor` that of rates."""

    kind: Int[Array, ' n']
    share: Float[Array, ' n']
    mixup: Float[Array, ' n']
    factor: Float[Array, ' n']


def plan_of(settings: Settings, epoch: int, steps: int) -> Plan:
    """The plan of an epoch, counted from 0."""
    same = adversary_share(epoch, settings), mixup_size(epoch, settings), rate_factor(epoch, settings.schedule)
    return Plan(kinds_of_steps(epoch, steps, settings), *(np.full(steps, each, np.float32) for each in same))


class CpaRule(NamedTuple):
    """See `cell_learner.Rule`.

    Attributes:
      players: over the readouts of the cells, with rates.
      mixes: whether cells are mixed in pairs.
    """

    players: Players
    mixes: bool

    def start(self, key: Key[jax.Array, ''], tables: LabelledCells) -> State:
        """Random weights."""
        autoencoder, adversary, rates = self.players
        one = jnp.zeros(1, jnp.int32)
        none = jnp.zeros((1, autoencoder.num_genes))
        batch = CellBatch(none, one[:, None], jnp.ones((1, 1)), one, one, jnp.ones(1))
        own = autoencoder.init(jax.random.fold_in(key, 0), batch)
        other = adversary.init(jax.random.fold_in(key, 1), jnp.zeros((1, autoencoder.latent)))
        rules = (autoencoder_rule(rates), adversary_rule(rates))
        return State(
            *(
                Side(v['params'], v['batch_stats'], r.init(v['params']))
                for v, r in zip((own, other), rules, strict=True)
            )
        )

    def step(
        self, state: State, tables: LabelledCells, drawn: Drawn, plan: Plan, key: Key[jax.Array, '']
    ) -> tuple[State, StepLoss]:
        """A step of the kind that the plan says; only one of the autoencoder has a loss to show."""
        players, factor = self.players, jnp.asarray(plan.factor)
        batch = batch_of(tables, drawn, players.autoencoder.num_genes)
        guessed = guessed_of(tables, batch, len(players.adversary.classes))
        mixing = mixing_of(plan.mixup, drawn.weight, key) if self.mixes else None
        batch = batch if mixing is None else batch._replace(x=mixing.of(batch.x))

        def both(state: State) -> tuple[State, jax.Array]:
            state, basal, losses = autoencoder_step(players, state, batch, guessed, mixing, None, factor, key)
            state, more = adversary_step(players, state, basal, batch, guessed, mixing, factor, key)
            return state, jnp.stack([losses['reconstruction'], more['guess']])

        def against(state: State) -> tuple[State, jax.Array]:
            share = jnp.asarray(plan.share)
            state, _, losses = autoencoder_step(players, state, batch, guessed, mixing, share, factor, key)
            return state, jnp.stack([losses['reconstruction'], losses['guess']])

        def alone(state: State) -> tuple[State, jax.Array]:
            state, basal = encoded(players, state, batch, key)
            state, losses = adversary_step(players, state, basal, batch, guessed, mixing, factor, key)
            return state, jnp.stack([jnp.zeros(()), losses['guess']])

        state, (reconstruction, guess) = jax.lax.switch(plan.kind, (both, against, alone), state)
        # A guess that is not finite ends the run too.
        loss = reconstruction + jnp.where(jnp.isfinite(guess), 0, jnp.nan)
        return state, StepLoss(loss, jnp.where(plan.kind == ADVERSARY, 0.0, 1.0))

    def kept(self, state: State) -> dict[str, Any]:
        """The autoencoder's weights and running statistics."""
        return {'weights': state.autoencoder.weights, 'statistics': state.autoencoder.statistics}

    def first_look(self, tables: LabelledCells) -> Float[jax.Array, ' 2']:
        """The sum of the metric, and the number of batches."""
        return jnp.zeros(2)

    def look(
        self, carry: Float[jax.Array, ' 2'], state: State, tables: LabelledCells, drawn: Drawn, key: Key[jax.Array, '']
    ) -> Float[jax.Array, ' 2']:
        """The sums with this batch."""
        autoencoder, own = self.players.autoencoder, state.autoencoder
        batch = batch_of(tables, drawn, autoencoder.num_genes)
        output = autoencoder.apply({'params': own.weights, 'batch_stats': own.statistics}, batch)
        found = metric(Output(*output), batch, self.players.adversary.classes, autoencoder.likelihood)
        return carry + jnp.stack([found, jnp.ones(())])

    def error(self, carry: Float[jax.Array, ' 2'], tables: LabelledCells) -> Float[jax.Array, '']:
        """Minus the mean of the metric, which is to be high."""
        return -carry[0] / carry[1]


def mixing_of(size: Float[Array, ''], weight: Float[Array, ' B'], key: Key[jax.Array, '']) -> Mixing:
    """A share of Beta(size, size), 1 where size is 0, and pairs of cells; those of weight 0 stay among themselves."""
    least = jnp.maximum(size, 1e-3)
    drawn = jax.random.beta(jax.random.fold_in(key, 3), least, least)
    place = jax.random.uniform(jax.random.fold_in(key, 4), weight.shape) + (1 - jnp.asarray(weight))
    return Mixing(jnp.where(size > 0, drawn, 1), jnp.argsort(place))
