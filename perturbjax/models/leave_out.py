"""Ridge regressions of all readouts on indicator features, and penalties chosen by an exact leave-out error.

Leaving out the rows g of a regression with hat matrix H and residuals r gives them the residuals

    (I - H_gg)^-1 r_g,

so nothing is fitted again. The rows that are left out in turn are training profiles like the held-out ones,
each together with its repeats in the contexts where profiles are held out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from perturbjax.models.dropout import mix
from perturbjax.models.model import Query
from perturbjax.models.sums import exact_matmul, same_combination
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID

# The most rows that are left out in turn, a random choice of those like the held-out ones.
_TRIED = 256
# What a penalty is chosen from, and how often each is chosen anew while the others are kept.
_GRID = tuple(10.0 ** np.arange(-2, 5))
_SWEEPS = 2


class Regression(NamedTuple):
    """Ridge regressions of U readouts on the same features; a readout leaves out the rows where it is not measured.

    Attributes:
      features: of all N profiles of a compendium, screen after screen.
      change: what is regressed; NaN where not measured.
      is_training: which rows are fitted.
    """

    features: Float[jax.Array, 'N F']
    change: Float[jax.Array, 'N U']
    is_training: Bool[jax.Array, ' N']


class LeftOut(NamedTuple):
    """The rows that are left out in turn, with those that leave together with each.

    Attributes:
      row: the numbers of the rows.
      counts: whether a row counts; the others only fill up.
      repeats: the rows that leave with it, which it is among: at most one for each screen and context.
      is_repeat: which of them exist.
    """

    row: Int[jax.Array, ' T']
    counts: Bool[jax.Array, ' T']
    repeats: Int[jax.Array, 'T G']
    is_repeat: Bool[jax.Array, 'T G']


def like_held_out(compendium: Compendium, profiles: Query, is_training: Bool[jax.Array, ' Q']) -> LeftOut:
    """Training rows that stand for the held-out ones: of their contexts, and single or combined as they are.

    Only which profiles are held out is used, never their values.

    Args:
      compendium: the screens.
      profiles: all their profiles, screen after screen.
      is_training: which train; control does not count.
    """
    screens, context, perturbation = compendium.screens, profiles.context, profiles.perturbation
    order = (perturbation > CONTROL_ID).sum(axis=1)
    is_held_out = (order > 0) & ~is_training
    is_combined = (order > 1).astype(int)
    in_tested_context = jnp.zeros(len(compendium.vocabulary.contexts), bool).at[context].max(is_held_out)[context]
    of_tested_order = jnp.zeros(2, bool).at[is_combined].max(is_held_out)[is_combined]
    leaves = is_training & in_tested_context
    is_like = leaves & of_tested_order
    shuffled = (mix(jnp.arange(len(is_like), dtype=jnp.uint32)) >> 1).astype(jnp.int32)
    _, row = jax.lax.top_k(jnp.where(is_like, shuffled, -1), min(len(is_like), _TRIED))
    match = same_combination(perturbation[row], perturbation) & leaves[None, :]

    def in_slot(slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        found = match & ((screen_of_row == slot[0]) & (context == slot[1]))[None, :]
        return found.argmax(axis=1), found.any(axis=1)

    screen_of_row = jnp.asarray(np.repeat(np.arange(len(screens)), [len(screen.context) for screen in screens]))
    slots = [(number, each) for number, screen in enumerate(screens) for each in screen.present_contexts]
    repeats, is_repeat = jax.lax.map(in_slot, tuple(jnp.array(slots).T))
    return LeftOut(row, is_like[row], repeats.T, is_repeat.T)


def _fit_readout(
    regression: Regression, penalty: Float[jax.Array, ' F'], change: Float[jax.Array, ' N']
) -> tuple[Float[jax.Array, 'F F'], Float[jax.Array, ' F'], Bool[jax.Array, ' N']]:
    """Of one readout: the Cholesky factor of `X'DX + L`, the effects, and which rows are fitted."""
    fitted = regression.is_training & ~jnp.isnan(change)
    x = regression.features * fitted[:, None]
    factor = jnp.linalg.cholesky(exact_matmul(x.T, x) + jnp.diag(penalty))
    right = exact_matmul(x.T, jnp.where(fitted, change, 0))
    return factor, jax.scipy.linalg.cho_solve((factor, True), right), fitted


def solve(regression: Regression, penalty: Float[jax.Array, ' F']) -> Float[jax.Array, 'F U']:
    """The effects, with the penalty of each feature."""
    return jax.lax.map(lambda change: _fit_readout(regression, penalty, change)[1], regression.change.T).T


def leave_out_error(regression: Regression, left_out: LeftOut, penalty: Float[jax.Array, ' F']) -> Float[jax.Array, '']:
    """The mean L2 error over the rows that are left out in turn; NaN where there is none."""

    def of_readout(change: Float[jax.Array, ' N']) -> Float[jax.Array, ' T']:
        factor, effects, fitted = _fit_readout(regression, penalty, change)
        x = regression.features
        residual = jnp.where(fitted, change - exact_matmul(x, effects), 0)
        half = jax.scipy.linalg.solve_triangular(factor, (x * fitted[:, None]).T, lower=True).T
        is_in = left_out.is_repeat & fitted[left_out.repeats]
        block = half[left_out.repeats] * is_in[:, :, None]
        hat = jnp.einsum('tgf,thf->tgh', block, block, precision='highest')
        left = jnp.eye(is_in.shape[1], dtype=x.dtype)[None] - hat
        without = _solve_each(left, jnp.where(is_in, residual[left_out.repeats], 0))
        is_own = is_in & (left_out.repeats == left_out.row[:, None])
        return jnp.where(is_own & left_out.counts[:, None], without, 0).sum(axis=1) ** 2

    squares = jax.lax.map(of_readout, regression.change.T).sum(axis=0)
    counts = left_out.counts & regression.is_training[left_out.row]
    return jnp.where(counts, jnp.sqrt(squares), 0).sum() / counts.sum()


def _solve_each(systems: Float[jax.Array, 'T G G'], right: Float[jax.Array, 'T G']) -> Float[jax.Array, 'T G']:
    """The solutions of many small positive definite systems, by elimination of all at once.

    LAPACK would take them one by one, which is slow.
    """
    joined = jnp.concatenate([systems, right[:, :, None]], axis=2)

    def eliminate(i: jax.Array, joined: jax.Array) -> jax.Array:
        pivot = joined[:, i] / joined[:, i, i][:, None]
        others = joined - joined[:, :, i][:, :, None] * pivot[:, None, :]
        return others.at[:, i].set(pivot)

    return jax.lax.fori_loop(0, systems.shape[1], eliminate, joined)[:, :, -1]


def choose_penalties(
    regression: Regression, left_out: LeftOut, group: Int[np.ndarray, ' F'], num_groups: int
) -> Float[jax.Array, ' groups']:
    """The penalty of each group of features with the lowest leave-out error, by coordinate descent from 1."""
    grid = jnp.asarray(_GRID, regression.features.dtype)

    def better(penalties: jax.Array, coordinate: jax.Array) -> tuple[jax.Array, None]:
        tried = jnp.where((jnp.arange(num_groups) == coordinate)[None, :], grid[:, None], penalties[None, :])
        errors = jax.lax.map(lambda each: leave_out_error(regression, left_out, each[group]), tried)
        return tried[jnp.where(jnp.isfinite(errors), errors, jnp.inf).argmin()], None

    coordinates = jnp.tile(jnp.arange(num_groups), _SWEEPS)
    return jax.lax.scan(better, jnp.ones(num_groups, grid.dtype), coordinates)[0]
