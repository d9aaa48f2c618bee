"""The low-rank rule: the ridge rule `two_way`, and on what it leaves over a low-rank matrix for each readout.

Of combinations the matrix is parts x parts: genes that interact alike with others do so with each other. With
three contexts or more it is perturbations x contexts: contexts that respond alike to some perturbations do so
to others (a table of drugs and cell lines, say). Residuals are divided by their root mean square, so that a
penalty means the same on every scale. Which matrix, with which penalty, or none, is chosen by folds that copy
the split; see `held_out_like`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_range
from perturbjax.models.factorization import (
    Cells,
    Factors,
    complete,
    context_cells,
    distinct_rows,
    entries,
    most_combinations,
    no_factors,
    pair_cells,
)
from perturbjax.models.held_out_like import (
    all_profiles,
    by_screen,
    flat_mask,
    flat_values,
    flat_weight,
    held_out_like,
    make_folds,
)
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.two_way import Params as TwoWay
from perturbjax.models.two_way import fit as fit_base
from perturbjax.models.two_way import predict as predict_base
from perturbjax.models.two_way import refit as refit_base
from perturbjax.models.two_way import spread_out
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium
from perturbjax.screens.vocabulary import CONTROL_ID

PENALTIES = (1.0, 3.0, 9.0)
# Matrices perturbations x contexts are completed from so many contexts on.
_FEWEST_CONTEXTS = 3


class Matrix(NamedTuple):
    """One kind of matrix, completed for each of U readouts.

    Attributes:
      known: the perturbations that are its rows; None for the matrix of parts x parts.
      factors: of the residuals in units of `scale`.
      scale: the root mean square of each readout's residuals; 0 where the other kind, or none, is chosen.
    """

    known: Int[jax.Array, 'I K'] | None
    factors: Factors
    scale: Float[jax.Array, ' U']


class Params(NamedTuple):
    """What the rule predicts from.

    Attributes:
      base: the ridge rule.
      matrices: of every kind that the data can have.
      penalty: the chosen one; infinite where no matrix is used.
      kind: the number of the chosen matrix.
    """

    base: TwoWay
    matrices: tuple[Matrix, ...]
    penalty: Float[jax.Array, '']
    kind: Int[jax.Array, '']


def low_rank(rank: int = 16, penalty: float = 0.0, num_folds: int = 5, tuning_readouts: int = 8) -> Model:
    """The low-rank rule over one or more screens.

    Args:
      rank: the most columns of a factor; the penalty decides how many of them count.
      penalty: of the factors; chosen by folds if 0.
      num_folds: how many.
      tuning_readouts: how many readouts, spread over the vocabulary, choose.

    Raises:
      InputError: a setting out of its range.
    """
    check_range('models.low_rank', 1, rank=rank, tuning_readouts=tuning_readouts)
    check_range('models.low_rank', 2, num_folds=num_folds)
    if penalty < 0:
        raise InputError(f'models.low_rank.penalty: {penalty} must be at least 0; 0 chooses it.')
    tried = (penalty,) if penalty else PENALTIES

    def fit(compendium: Compendium, training: Masks) -> Params:
        base = fit_base(compendium, training)
        kinds = _kinds(compendium)
        if not kinds:
            return Params(base, (), jnp.array(jnp.inf), jnp.array(0))
        errors = _fold_errors(compendium, training, base)
        errors = jnp.where(jnp.isfinite(errors), errors, jnp.inf)
        best = jnp.unravel_index(errors.argmin(), errors.shape)
        chosen = jnp.append(jnp.array(tried), jnp.inf)[best[1]]
        return with_matrices(Params(base, (), chosen, best[0]), compendium, training)

    def refit(params: Params, compendium: Compendium, training: Masks) -> Params:
        return with_matrices(params._replace(base=refit_base(params.base, compendium, training)), compendium, training)

    def with_matrices(params: Params, compendium: Compendium, training: Masks) -> Params:
        everything = _left_over(compendium, params.base, jnp.arange(len(compendium.vocabulary.readouts)))
        residual = jnp.where(flat_mask(training)[:, None], everything, jnp.nan)
        matrices = tuple(
            _matrix(each, compendium, residual, rank, params.penalty, params.kind == number)
            for number, each in enumerate(_kinds(compendium))
        )
        return params._replace(matrices=matrices)

    def _fold_errors(compendium: Compendium, training: Masks, base: TwoWay) -> Float[jax.Array, 'kinds penalties']:
        """The summed L2 error over the folds, for each kind and penalty; the last column is that of no matrix."""
        folds, profiles = make_folds(held_out_like(compendium, training), num_folds), all_profiles(compendium)
        tuned = profiles.readout[spread_out(len(profiles.readout), tuning_readouts)]

        def of_fold(fold: tuple[jax.Array, jax.Array]) -> Float[jax.Array, 'kinds penalties']:
            number, leaves = fold
            left = tuple(mask & ~out for mask, out in zip(training, by_screen(compendium, leaves)))
            again = refit_base(base, compendium, left)
            everything = _left_over(compendium, again, tuned)
            residual = jnp.where(flat_mask(left)[:, None], everything, jnp.nan)
            is_asked = folds.number == number

            def l2(left_over: Float[jax.Array, 'N U']) -> Float[jax.Array, '']:
                return jnp.where(is_asked, jnp.sqrt(jnp.nansum(left_over**2, axis=1)), 0).sum()

            def of_penalty(penalty: jax.Array) -> Float[jax.Array, ' kinds']:
                found = [
                    _interaction(_matrix(each, compendium, residual, rank, penalty, True), profiles)
                    for each in _kinds(compendium)
                ]
                return jnp.stack([l2(everything - each) for each in found])

            none = jnp.full((len(_kinds(compendium)), 1), l2(everything))
            return jnp.concatenate([jax.lax.map(of_penalty, jnp.array(tried)).T, none], axis=1)

        return jax.lax.map(of_fold, (jnp.arange(num_folds), folds.leaves)).sum(axis=0)

    return Model(fit, predict, refit=refit)


def predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    """The ridge rule plus the entry of the chosen matrix; 0 is added where a profile has no entry."""
    answer = predict_base(params.base, query)
    for matrix in params.matrices:
        factors = jax.tree.map(lambda each: each[query.readout], matrix.factors)
        answer += _interaction(matrix._replace(factors=factors, scale=matrix.scale[query.readout]), query)
    return answer


def _kinds(compendium: Compendium) -> tuple[str, ...]:
    """The kinds of matrices that the data can have."""
    order = compendium.screens[0].perturbation.shape[1]
    pairs = ('pairs',) if order > 1 else ()
    return pairs + (('contexts',) if len(compendium.vocabulary.contexts) >= _FEWEST_CONTEXTS else ())


def _left_over(compendium: Compendium, base: TwoWay, readout: Int[Array, ' U']) -> Float[jax.Array, 'N U']:
    """The values of all profiles minus the ridge rule's."""
    query = all_profiles(compendium)._replace(readout=readout)
    return flat_values(compendium, readout) - predict_base(base, query)


def _matrix(
    kind: str,
    compendium: Compendium,
    residual: Float[jax.Array, 'N U'],
    rank: int,
    penalty: Float[jax.Array, ''],
    is_chosen: Bool[jax.Array, ''] | bool,
) -> Matrix:
    """The completed matrix of a kind; its scale is 0 unless it is chosen and the penalty finite."""
    names, profiles = compendium.vocabulary, all_profiles(compendium)
    order = (profiles.perturbation > CONTROL_ID).sum(axis=1)
    if kind == 'pairs':
        known, rows, columns = None, len(names.perturbations), len(names.perturbations)
        residual = jnp.where((order == 2)[:, None], residual, jnp.nan)
    else:
        size = most_combinations(len(names.perturbations), profiles.perturbation.shape[1], len(order))
        known, rows, columns = distinct_rows(profiles.perturbation, size), size, len(names.contexts)
        residual = jnp.where((order > 0)[:, None], residual, jnp.nan)
    scale = jnp.sqrt(jnp.nanmean(residual**2, axis=0))
    units = jnp.where(scale > 0, scale, 1)
    used = is_chosen & jnp.isfinite(penalty)
    cells = _cells(known, profiles)
    shape, width = (rows, columns), min(rank, rows, columns)
    factors = jax.lax.cond(
        used,
        lambda: complete(cells, residual / units[None, :], shape, width, penalty, flat_weight(compendium)),
        lambda: no_factors(residual.shape[1], shape, width, residual.dtype),
    )
    return Matrix(known, factors, jnp.where(used, jnp.nan_to_num(scale), 0))


def _cells(known: Int[Array, 'I K'] | None, query: Query) -> Cells:
    if known is None:
        return pair_cells(query.perturbation)
    return context_cells(known, query.context, query.perturbation)


def _interaction(matrix: Matrix, query: Query) -> Float[jax.Array, 'Q U']:
    """What a matrix adds to the change of each profile; a pair is the mean of its two entries."""
    share = 0.5 if matrix.known is None else 1.0
    return share * entries(matrix.factors, _cells(matrix.known, query)) * matrix.scale[None, :]
