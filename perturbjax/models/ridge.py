"""Ridge regressions of all readouts on indicator features, with an effect of whole combinations if asked.

The measured training profiles y of a readout are the sum of the effects of their features, and noise. With weights W,
penalties L of the F features, and a penalty l of the effect u of each whole g (a set of rows: those of one
combination in all contexts), u is eliminated first:

    M = W - sum_g w_g w_g' / (l + sum w_g),    b = (X'MX + L)^-1 X'My,    u_g = w_g'(y - X b) / (l + sum w_g)

where b are the effects of the features and w_g the weights of the rows of g. So only an F x F system is solved, however
many combinations there are; with l infinite, or without wholes, M is W.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from perturbjax.models.sums import exact_matmul, weighed
from perturbjax.screens.arrays import Array


class Regression(NamedTuple):
    """Ridge regressions of U readouts on the same features; a readout leaves out the rows where it is not measured.

    Attributes:
      features: the numbers of the features that are 1 in each of all N profiles, screen after screen; one that
        is there twice is 2, and -1 fills up. With wholes, those of a row's own stand in the last column, after F.
      change: what is regressed; NaN where not measured.
      is_training: which rows are fitted.
      num_features: F, without the wholes.
      num_wholes: G.
      weight: of each row; None: all alike.
    """

    features: Int[jax.Array, 'N J']
    change: Float[jax.Array, 'N U']
    is_training: Bool[jax.Array, ' N']
    num_features: int
    num_wholes: int = 0
    weight: Float[jax.Array, ' N'] | None = None


class Normal(NamedTuple):
    """The normal equations, without wholes, of B blocks of u readouts that are measured in the same rows."""

    gram: Float[jax.Array, 'B F F']
    right: Float[jax.Array, 'B F u']
    change: Float[jax.Array, 'B N u']


class Wholes(NamedTuple):
    """Sums over the fitted rows of each of G wholes: of features, of the change, of weights, and 1 / (l + sum w_g)."""

    features: Float[jax.Array, 'G F']
    change: Float[jax.Array, 'G u']
    weight: Float[jax.Array, ' G']
    share: Float[jax.Array, ' G']


def times(features: Int[jax.Array, '*n J'], effects: Float[Array, 'F U']) -> Float[jax.Array, '*n U']:
    """`X @ effects`: the sum of the effects of each row's features."""
    rows = jnp.asarray(effects).at[features].get(mode='fill', fill_value=0, wrap_negative_indices=False)
    return rows.sum(axis=-2)


def by_block(regression: Regression, function: Callable[[Normal], Any]) -> Any:
    """The function of the normal equations: of one block if all readouts are measured in the same rows, else of U."""
    change = regression.change
    measured = ~jnp.isnan(change) & regression.is_training[:, None]

    def normal(change: Float[jax.Array, 'N u']) -> Normal:
        ids, num_features = _fitted_features(regression, change), regression.num_features
        gram = jnp.zeros((num_features, num_features), change.dtype)
        each = 1 if regression.weight is None else regression.weight[:, None, None]
        gram = gram.at[ids[:, :, None], ids[:, None, :]].add(each, mode='drop')
        right = jnp.zeros((num_features, change.shape[1]), change.dtype)
        right = right.at[ids].add(_counted(regression, change)[:, None, :], mode='drop')
        return Normal(gram, right, change)

    def of_blocks(blocks: Float[jax.Array, 'B N u']) -> Any:
        return function(jax.lax.map(normal, blocks))

    is_shared = (measured == measured[:, :1]).all()
    return jax.lax.cond(is_shared, lambda: of_blocks(change[None]), lambda: of_blocks(change.T[:, :, None]))


def is_fitted(regression: Regression, change: Float[jax.Array, 'N u']) -> Bool[jax.Array, ' N']:
    """The rows that a block fits."""
    return regression.is_training & ~jnp.isnan(change[:, 0])


def _fitted_features(regression: Regression, change: Float[jax.Array, 'N u']) -> Int[jax.Array, 'N J']:
    """The features of fitted rows; F + G is none."""
    none = (regression.features < 0) | ~is_fitted(regression, change)[:, None]
    return jnp.where(none, regression.num_features + regression.num_wholes, regression.features)


def _counted(regression: Regression, change: Float[jax.Array, 'N u']) -> Float[jax.Array, 'N u']:
    """The change of fitted rows times their weights, else 0."""
    return weighed(jnp.where(is_fitted(regression, change)[:, None], change, 0), regression.weight)


def wholes_of(
    regression: Regression, change: Float[jax.Array, 'N u'], penalty: Float[jax.Array, ' A']
) -> Wholes | None:
    """The sums over each whole in a block; None without wholes."""
    size, num_features = regression.num_wholes, regression.num_features
    if not size:
        return None
    ids = _fitted_features(regression, change)
    whole = ids[:, -1] - num_features
    weight = weighed(jnp.ones(len(whole), change.dtype), regression.weight)
    features = jnp.zeros((size, num_features), change.dtype)
    features = features.at[whole[:, None], ids].add(weight[:, None], mode='drop')
    total = jnp.zeros((size, change.shape[1]), change.dtype).at[whole].add(_counted(regression, change), mode='drop')
    weights = jnp.zeros(size, change.dtype).at[whole].add(weight, mode='drop')
    return Wholes(features, total, weights, 1 / (penalty[num_features:] + weights))


def without_wholes(
    normal: Normal, wholes: Wholes | None, penalty: Float[jax.Array, ' A']
) -> tuple[Float[jax.Array, 'F F'], Float[jax.Array, 'F u']]:
    """X'MX + L and X'My of one block."""
    gram, right = normal.gram, normal.right
    if wholes is not None:
        shared = (wholes.features * wholes.share[:, None]).T
        gram, right = gram - exact_matmul(shared, wholes.features), right - exact_matmul(shared, wholes.change)
    return gram + jnp.diag(penalty[: len(gram)]), right


def with_wholes(effects: Float[jax.Array, 'F u'], wholes: Wholes | None) -> Float[jax.Array, 'A u']:
    """The effects of the features, and after them those of the wholes."""
    if wholes is None:
        return effects
    left_over = wholes.change - exact_matmul(wholes.features, effects)
    return jnp.concatenate([effects, wholes.share[:, None] * left_over])


def solve(regression: Regression, penalty: Float[jax.Array, ' A']) -> Float[jax.Array, 'A U']:
    """The effects, with the penalty of each feature and whole."""

    def of_blocks(normal: Normal) -> Float[jax.Array, 'A U']:
        def of_block(each: Normal) -> Float[jax.Array, 'A u']:
            wholes = wholes_of(regression, each.change, penalty)
            gram, right = without_wholes(each, wholes, penalty)
            return with_wholes(jax.scipy.linalg.solve(gram, right, assume_a='pos'), wholes)

        effects = jax.lax.map(of_block, normal)
        return jnp.moveaxis(effects, 1, 0).reshape(effects.shape[1], -1)

    return by_block(regression, of_blocks)
