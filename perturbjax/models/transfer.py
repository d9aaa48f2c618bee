"""The transfer variant of the linear model (Ahlmann-Eltze et al. 2025): what a screen learns from another.

In the target context the change of the training profiles is reduced to R principal components
(centred by readout); their coordinates are regressed on the coordinates of the same perturbations
in the reference context. As lemur's `ridge_regression` has it, the n training rows are followed by
rows sqrt(n) ridge^2 I, so the penalty is n ridge^4; the intercept is not penalised.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_positive, check_range, did_you_mean
from perturbjax.models.baselines import control_sums, delta, in_context
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.per_context import ContextFits, fit_contexts, predict_contexts
from perturbjax.models.sums import Sums, exact_matmul, same_combination
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen


class Reference(NamedTuple):
    """Coordinates of the reference's training profiles (rows not in `used` are 0), and their perturbations."""

    coordinates: Float[jax.Array, 'N R']
    perturbation: Int[jax.Array, 'N K']
    used: Bool[Array, ' N']


class ContextFit(NamedTuple):
    """The fit of one target context; the first coefficients are the intercept."""

    axes: Float[jax.Array, 'M R']
    centre: Float[jax.Array, ' M']
    coefficients: Float[jax.Array, ' R+1 R']


class Params(NamedTuple):
    """Control by context, the reference, and the fits of every screen."""

    control: tuple[Sums, ...]
    reference: Reference
    screens: tuple[ContextFits, ...]


def linear_transfer(reference: str, rank: int = 10, ridge: float = 0.1) -> Model:
    """The transfer model; NaN for a perturbation that the reference did not train on.

    Args:
      reference: a context of the compendium, of any screen.
      rank: R above, at least 1.
      ridge: as above, positive.

    Raises:
      InputError: a setting out of its range; when fitted on a compendium without that context.
    """
    check_range('models.linear_transfer', 1, rank=rank)
    check_positive('models.linear_transfer', ridge=ridge)

    def fit(compendium: Compendium, training: Masks) -> Params:
        contexts = compendium.vocabulary.contexts
        if reference not in contexts:
            raise InputError(
                f'models.linear_transfer.reference: no context {reference!r}; {did_you_mean(reference, contexts)}'
            )
        control = control_sums(compendium, training)
        fitted = _fit_reference(compendium, training, control, contexts.index(reference), rank)
        screens = tuple(
            _fit_screen(screen, mask, control, fitted, rank, ridge)
            for screen, mask in zip(compendium.screens, training, strict=True)
        )
        return Params(control, fitted, screens)

    return Model(fit, _predict)


def _fit_reference(
    compendium: Compendium, training: Masks, control: tuple[Sums, ...], context: int, rank: int
) -> Reference:
    """From the first screen that has the context."""
    screen, mask = next(
        (screen, mask) for screen, mask in zip(compendium.screens, training) if context in screen.present_contexts
    )
    used = mask & (jnp.asarray(screen.context) == context)
    change = delta(screen, control)
    coordinates = _project(change, *principal_axes(change, used, rank))
    return Reference(jnp.where(used[:, None], coordinates, 0), jnp.asarray(screen.perturbation), used)


def _fit_screen(
    screen: Screen, mask: Bool[Array, ' N'], control: tuple[Sums, ...], reference: Reference, rank: int, ridge: float
) -> ContextFits:
    change = delta(screen, control)
    predictors, matched = _look_up(reference, jnp.asarray(screen.perturbation))

    def fit(in_context: Bool[jax.Array, ' N']) -> ContextFit:
        used = mask & in_context
        axes, centre = principal_axes(change, used, rank)
        return ContextFit(axes, centre, _ridge(predictors, _project(change, axes, centre), used & matched, ridge))

    return fit_contexts(screen, fit)


def _project(
    change: Float[jax.Array, 'N M'], axes: Float[jax.Array, 'M R'], centre: Float[jax.Array, ' M']
) -> Float[jax.Array, 'N R']:
    return exact_matmul(jnp.nan_to_num(change - centre[None, :]), axes)


def principal_axes(
    change: Float[jax.Array, 'N M'], used: Bool[Array, ' N'], rank: int
) -> tuple[Float[jax.Array, 'M {rank}'], Float[jax.Array, ' M']]:
    """The first principal axes of the change of the used profiles, and their mean.

    A value not measured counts as its readout's mean; axes beyond the data's rank are 0.
    """
    measured = ~jnp.isnan(change) & used[:, None]
    centre = jnp.where(measured, change, 0).sum(axis=0) / measured.sum(axis=0)
    centred = jnp.where(measured, change - centre[None, :], 0)
    _, _, axes = jnp.linalg.svd(centred, full_matrices=False)
    axes = axes[:rank].T
    return jnp.pad(axes, ((0, 0), (0, rank - axes.shape[1]))), centre


def _look_up(
    reference: Reference, perturbation: Int[Array, 'Q K']
) -> tuple[Float[jax.Array, 'Q R1'], Bool[jax.Array, ' Q']]:
    """A one and the reference coordinates of each perturbation (R1 = 1 + R), and whether it is there."""
    match = same_combination(perturbation, reference.perturbation) & reference.used[None, :]
    coordinates = exact_matmul(match.astype(reference.coordinates.dtype), reference.coordinates)
    return jnp.pad(coordinates, ((0, 0), (1, 0)), constant_values=1), match.any(axis=1)


def _ridge(
    x: Float[jax.Array, 'N R1'], y: Float[jax.Array, 'N R'], used: Bool[Array, ' N'], ridge: float
) -> Float[jax.Array, 'R1 R']:
    """Coefficients of y on x over the used rows.

    By least squares on the appended rows, not by normal equations: with few rows float32 could not solve those.
    """
    penalty = jnp.sqrt(used.sum()) * ridge**2 * jnp.ones(x.shape[1], x.dtype).at[0].set(0)
    rows = jnp.concatenate([x * used[:, None], jnp.diag(penalty)])
    targets = jnp.concatenate([y * used[:, None], jnp.zeros((x.shape[1], y.shape[1]), y.dtype)])
    return jnp.linalg.lstsq(rows, targets)[0]


def _predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    predictors, matched = _look_up(params.reference, query.perturbation)

    def change(fit: ContextFit, column: Int[jax.Array, ' M']) -> Float[jax.Array, 'Q M']:
        coordinates = exact_matmul(predictors, fit.coefficients)
        answer = exact_matmul(coordinates, fit.axes[column].T) + fit.centre[column][None, :]
        return jnp.where(matched[:, None], answer, jnp.nan)

    return predict_contexts(params.screens, query, change) + in_context(params.control, query)
