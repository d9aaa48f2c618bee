"""The ridge rule: the change from control as a sum of effects, each shrunk as much as the training data ask for.

The change d = profile - control of its context is a linear function of indicator features: perturbed at all,
the context, being a combination, and each part. With one penalty for each of these four groups of features,

    W_m = (X' D_m X + L)^-1 X' D_m d_m        for each readout m,

where D_m leaves out what is not measured and L is diagonal. The penalties are those with the lowest error of
leaving out, exactly, every training profile that is like the held-out ones, together with its repeats in the
contexts where profiles are held out. Only which profiles are held out is used, never their values.

With combinations there is a second form, of what the additive model leaves over, fitted on combinations
alone. The form with the lower error predicts; where a part was not measured alone, the first one does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from perturbjax.errors import InputError
from perturbjax.models.additive import additive
from perturbjax.models.baselines import Deltas, delta, fit_deltas, in_context
from perturbjax.models.dropout import mix
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.sums import columns, exact_matmul, same_combination
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID

GROUPS = ('perturbed', 'context', 'combination', 'part')

# The most rows that choose the penalties, a random choice of those like the held-out ones.
_TRIED = 256
# What a penalty is chosen from, and how often each is chosen anew while the others are kept.
_GRID = tuple(10.0 ** np.arange(-2, 5))
_SWEEPS = 2


class Rows(NamedTuple):
    """All profiles of a compendium, screen after screen, over the U readouts of its vocabulary.

    Attributes:
      context: ids `[N]`.
      perturbation: ids `[N, K]`.
      change: from control, `[N, U]`; NaN where not measured.
      is_training: bool `[N]`; control is left out.
      repeats: `[N, G]`, the rows that leave training together with each row, which is among them.
      is_repeat: bool `[N, G]`, which of them exist.
      is_like_held_out: bool `[N]`, the training rows whose error chooses the penalties.
      tried: the numbers `[T]` of the rows to leave out in turn; those not like the held-out ones count for nothing.
    """

    context: jax.Array
    perturbation: jax.Array
    change: jax.Array
    is_training: jax.Array
    repeats: jax.Array
    is_repeat: jax.Array
    is_like_held_out: jax.Array
    tried: jax.Array


class Form(NamedTuple):
    """One form of the rule: effects `W [F, U]`, and its mean leave-out error, which may be NaN."""

    effects: jax.Array
    error: jax.Array


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      deltas: of the training profiles; give control, and the additive model.
      whole: effects on the change itself.
      left_over: effects on what the additive model leaves over.
      penalties: of the forms, `[1, 4]` or `[2, 4]`, in the order of `GROUPS`.
    """

    deltas: Deltas
    whole: Form
    left_over: Form
    penalties: jax.Array


def two_way(penalties: Sequence[float] = (), tuning_readouts: int = 32) -> Model:
    """The ridge rule over one or more screens; it answers for every name, an unseen one with an effect of 0.

    Args:
      penalties: four positive numbers in the order of `GROUPS`; chosen by the leave-out error if empty.
      tuning_readouts: how many readouts, spread over the vocabulary, choose the penalties.

    Raises:
      InputError: other than four positive penalties, or no readouts to choose by.

    Example:
      >>> rule = two_way(penalties=(1.0, 1.0, 1.0, 3.0))
    """
    if penalties and (len(penalties) != len(GROUPS) or min(penalties) <= 0):
        raise InputError(f'models.two_way.penalties: {list(penalties)} must be 4 numbers above 0: {", ".join(GROUPS)}.')
    if tuning_readouts < 1:
        raise InputError(f'models.two_way.tuning_readouts: {tuning_readouts} must be at least 1.')

    def fit(compendium: Compendium, training: Masks) -> Params:
        deltas, names = fit_deltas(compendium, training), compendium.vocabulary
        rows = collect(compendium, training, deltas)
        x = features(rows.context, rows.perturbation, len(names.contexts), len(names.perturbations))
        step = max(1, len(names.readouts) // tuning_readouts)
        order = np.repeat(np.arange(len(GROUPS)), (1, len(names.contexts), 1, len(names.perturbations)))

        def form(change: jax.Array, is_training: jax.Array) -> tuple[Form, jax.Array]:
            own = rows._replace(change=change, is_training=is_training)
            if penalties:
                chosen = jnp.asarray(penalties, x.dtype)
            else:
                tuned = own._replace(change=change[:, ::step][:, :tuning_readouts])
                chosen = choose_penalties(x, tuned, order)
            error = leave_out_error(x, own, chosen[order])
            return Form(solve(x, own, chosen[order]), error), chosen

        whole, first = form(rows.change, rows.is_training)
        if rows.perturbation.shape[1] == 1:
            return Params(deltas, whole, Form(jnp.zeros_like(whole.effects), jnp.full((), jnp.nan)), first[None])
        is_combination = (rows.perturbation > CONTROL_ID).sum(axis=1) > 1
        left = rows.change - _additive_change(deltas, rows.context, rows.perturbation, len(names.readouts))
        left_over, second = form(left, rows.is_training & is_combination)
        return Params(deltas, whole, left_over, jnp.stack([first, second]))

    return Model(fit, predict)


def predict(params: Params, query: Query) -> jax.Array:
    """Predictions `[Q, M]`; NaN where the control of a context, or a readout, is not known."""
    num_contexts = params.deltas.control[0].total.shape[0]
    num_perturbations = params.whole.effects.shape[0] - num_contexts - 2
    x = features(query.context, query.perturbation, num_contexts, num_perturbations)
    control = in_context(params.deltas.control, query)
    whole = control + exact_matmul(x, params.whole.effects[:, query.readout])
    with_additive = additive().predict(params.deltas, query)
    left_over = with_additive + exact_matmul(x, params.left_over.effects[:, query.readout])
    is_combination = ((query.perturbation > CONTROL_ID).sum(axis=1) > 1)[:, None]
    is_better = is_combination & (params.left_over.error < params.whole.error)
    answer = jnp.where(is_better & jnp.isfinite(left_over), left_over, whole)
    is_control = (query.perturbation[:, 0] == CONTROL_ID)[:, None]
    return jnp.where(is_control | jnp.isnan(control), control, answer)


def features(context: Array, perturbation: Array, num_contexts: int, num_perturbations: int) -> jax.Array:
    """Indicators `[N, 2 + C + P]`: perturbed, each context, combination, the number of times of each part."""
    is_part = perturbation > CONTROL_ID
    matches = perturbation[:, :, None] == jnp.arange(num_perturbations)[None, None, :]
    parts, order = (matches & is_part[:, :, None]).sum(axis=1), is_part.sum(axis=1)
    here = context[:, None] == jnp.arange(num_contexts)[None, :]
    is_perturbed, is_combination = (order > 0)[:, None], (order > 1)[:, None]
    return jnp.concatenate([is_perturbed, here & is_perturbed, is_combination, parts], axis=1).astype(jnp.float32)


def collect(compendium: Compendium, training: Masks, deltas: Deltas) -> Rows:
    """The rows of all screens, and which of them stand for the held-out ones."""
    screens, num_readouts = compendium.screens, len(compendium.vocabulary.readouts)
    changes = []
    for screen in screens:
        column, there = columns(jnp.asarray(screen.readout), jnp.arange(num_readouts))
        changes.append(jnp.where(there, delta(screen, deltas.control)[:, column], jnp.nan))
    context = jnp.concatenate([jnp.asarray(screen.context) for screen in screens])
    perturbation = jnp.concatenate([jnp.asarray(screen.perturbation) for screen in screens])
    is_perturbed = perturbation[:, 0] != CONTROL_ID
    is_training = jnp.concatenate([jnp.asarray(mask) for mask in training]) & is_perturbed
    is_held_out = ~jnp.concatenate([jnp.asarray(mask) for mask in training]) & is_perturbed
    order = (perturbation > CONTROL_ID).sum(axis=1)
    # Contexts and orders of which profiles are held out.
    tested_context = (is_held_out[:, None] & (context[:, None] == context[None, :])).any(axis=0)
    tested_order = (is_held_out[:, None] & ((order > 1)[:, None] == (order > 1)[None, :])).any(axis=0)
    slots = np.concatenate([np.full(len(screen.present_contexts), i) for i, screen in enumerate(screens)])
    slot_context = np.concatenate([np.array(screen.present_contexts) for screen in screens])
    screen_of_row = np.repeat(np.arange(len(screens)), [len(screen.context) for screen in screens])
    repeats, is_repeat = _repeats(
        perturbation, context, is_training & tested_context, screen_of_row, slots, slot_context
    )
    like = is_training & tested_context & tested_order
    shuffled = mix(jnp.arange(len(like), dtype=jnp.uint32)) >> 1
    _, tried = jax.lax.top_k(jnp.where(like, shuffled.astype(jnp.int32), -1), min(len(like), _TRIED))
    return Rows(context, perturbation, jnp.concatenate(changes), is_training, repeats, is_repeat, like, tried)


def _repeats(
    perturbation: jax.Array,
    context: jax.Array,
    leaves: jax.Array,
    screen_of_row: np.ndarray,
    slot_screen: np.ndarray,
    slot_context: np.ndarray,
) -> tuple[jax.Array, jax.Array]:
    """For each row the rows `[N, G]` of the same perturbation that leave with it, one for each screen and context."""

    def in_slot(slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        candidate = leaves & (jnp.asarray(screen_of_row) == slot[0]) & (context == slot[1])
        match = same & candidate[None, :]
        return match.argmax(axis=1), match.any(axis=1)

    same = same_combination(perturbation, perturbation)
    rows, exists = jax.lax.map(in_slot, (jnp.asarray(slot_screen), jnp.asarray(slot_context)))
    return rows.T, exists.T


def _systems(x: jax.Array, rows: Rows, penalty: jax.Array, change: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of one readout, change `[N]`: the Cholesky factor of `X'DX + L`, the effects `[F]`, and the measured rows."""
    measured = rows.is_training & ~jnp.isnan(change)
    own = x * measured[:, None]
    factor = jnp.linalg.cholesky(exact_matmul(own.T, own) + jnp.diag(penalty))
    right = exact_matmul(own.T, jnp.where(measured, change, 0))
    return factor, jax.scipy.linalg.cho_solve((factor, True), right), measured


def solve(x: jax.Array, rows: Rows, penalty: jax.Array) -> jax.Array:
    """The effects `[F, U]`, with the penalty `[F]` of each feature."""

    def of_readout(change: jax.Array) -> jax.Array:
        return _systems(x, rows, penalty, change)[1]

    return jax.lax.map(of_readout, rows.change.T).T


def leave_out_error(x: jax.Array, rows: Rows, penalty: jax.Array) -> jax.Array:
    """The mean, over the tried rows like those held out, of the L2 error of leaving each out with its repeats.

    Leaving out rows g gives the residuals (I - H_gg)^-1 r_g, exactly, with r the residuals of the whole fit and
    H its hat matrix.
    """

    def of_readout(change: jax.Array) -> jax.Array:
        factor, effects, measured = _systems(x, rows, penalty, change)
        residual = jnp.where(measured, change - exact_matmul(x, effects), 0)
        half = jax.scipy.linalg.solve_triangular(factor, (x * measured[:, None]).T, lower=True).T
        repeats = rows.repeats[rows.tried]
        is_in = rows.is_repeat[rows.tried] & measured[repeats]
        block = half[repeats] * is_in[:, :, None]
        hat = jnp.einsum('ngf,nhf->ngh', block, block, precision='highest')
        left = jnp.eye(is_in.shape[1], dtype=x.dtype)[None] - hat
        without = _solve_each(left, jnp.where(is_in, residual[repeats], 0))
        is_own = is_in & (repeats == rows.tried[:, None])
        error = jnp.where(is_own, without, 0).sum(axis=1)
        return jnp.where((rows.is_like_held_out & measured)[rows.tried], error, 0) ** 2

    squares = jax.lax.map(of_readout, rows.change.T).sum(axis=0)
    counted = (rows.is_like_held_out & rows.is_training)[rows.tried]
    return jnp.where(counted, jnp.sqrt(squares), 0).sum() / counted.sum()


def _solve_each(systems: jax.Array, right: jax.Array) -> jax.Array:
    """The solutions `[N, G]` of N positive definite systems `[N, G, G]`, by elimination of all at once.

    LAPACK would take them one by one, which is slow where G is small and N large.
    """
    joined = jnp.concatenate([systems, right[:, :, None]], axis=2)

    def eliminate(i: jax.Array, joined: jax.Array) -> jax.Array:
        pivot = joined[:, i] / joined[:, i, i][:, None]
        others = joined - joined[:, :, i][:, :, None] * pivot[:, None, :]
        return others.at[:, i].set(pivot)

    return jax.lax.fori_loop(0, systems.shape[1], eliminate, joined)[:, :, -1]


def choose_penalties(x: jax.Array, rows: Rows, group: np.ndarray) -> jax.Array:
    """The penalties `[4]` of the groups with the lowest leave-out error, by coordinate descent from 1."""
    grid = jnp.asarray(_GRID, x.dtype)

    def better(penalties: jax.Array, coordinate: jax.Array) -> tuple[jax.Array, None]:
        tried = jnp.where(jnp.arange(len(GROUPS)) == coordinate, grid[:, None], penalties[None, :])
        errors = jax.lax.map(lambda each: leave_out_error(x, rows, each[group]), tried)
        best = jnp.where(jnp.isfinite(errors), errors, jnp.inf).argmin()
        return tried[best], None

    coordinates = jnp.tile(jnp.arange(len(GROUPS)), _SWEEPS)
    return jax.lax.scan(better, jnp.ones(len(GROUPS), x.dtype), coordinates)[0]


def _additive_change(deltas: Deltas, context: jax.Array, perturbation: jax.Array, num_readouts: int) -> jax.Array:
    """What the additive model says of the change of each row, `[N, U]`."""
    query = Query(context, perturbation, jnp.arange(num_readouts))
    return additive().predict(deltas, query) - in_context(deltas.control, query)
