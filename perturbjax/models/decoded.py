"""A ridge regression from embeddings of conditions to their profiles: a foundation model without its weights.

In each context of each screen, with E the embeddings of the n training conditions (control among them, if the table
has its row), Y their profiles, bars for means over the n and E_c, Y_c for what is left beside them,

    prediction(e) = y_bar + (e - e_bar) (E_c' E_c + alpha I)^-1 E_c' Y_c.

Source: the decoder that Ahlmann-Eltze et al. 2025 put behind the embeddings of UCE, scBERT and Geneformer
(scikit-learn's Ridge, alpha 1). Where embeddings hardly differ beside alpha, its answer is y_bar.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float, Int

from perturbjax.errors import InputError, check_positive, check_settings
from perturbjax.models.condition_table import Table, condition_table, embed
from perturbjax.models.model import Masks, Model, Query
from perturbjax.models.per_context import ContextFits, fit_contexts, predict_contexts
from perturbjax.models.sums import exact_matmul
from perturbjax.readers.cell_embeddings import read_cell_embeddings
from perturbjax.readers.embedding_file import read_embedding
from perturbjax.readers.naming.fields import Fields
from perturbjax.readers.naming.presets import with_preset
from perturbjax.screens.arrays import Array
from perturbjax.screens.screen import Compendium, Screen

# With squared distances from the mean that add up to less than this share of alpha, no direction of the embeddings
# keeps more than this share of what least squares would predict by it.
_HARDLY = 0.1


class Ridge(NamedTuple):
    """The fit of one context, in R axes that hold all differences between training embeddings.

    Attributes:
      centre: the mean training embedding.
      axes: orthogonal unit vectors.
      weights: what a step of 1 along an axis adds to a profile.
      mean: the mean training profile; NaN where nothing was measured.
    """

    centre: Float[jax.Array, ' D']
    axes: Float[jax.Array, 'D R']
    weights: Float[jax.Array, 'R M']
    mean: Float[jax.Array, ' M']


class Params(NamedTuple):
    """The embeddings, and the fits of every screen."""

    table: Table
    screens: tuple[ContextFits, ...]


def decoded(
    embedding: str,
    obsm: str = '',
    alpha: float = 1.0,
    preset: str = '',
    fields: Mapping[str, Any] | None = None,
) -> Model:
    """The ridge decoder, fitted in every context of every screen on its own.

    It has no answer for a condition without an embedding, and none in a context without training conditions.

    Args:
      embedding: a file with a vector for each condition (`A`, `A+B`, `ctrl`), in a form of
        `readers.embedding_file`; or, with `obsm`, an h5ad file of cells. If it has combinations, each must have its
        own vector. If it has none, a combination's is the sum of its parts'.
      obsm: the key of the embeddings in the h5ad file, such as `X_uce`. They are averaged by condition.
      alpha: the penalty, positive.
      preset, fields: with `obsm`, which columns name the perturbation of each cell, as in `config.data`.

    Raises:
      InputError: a file that cannot be read, that lacks the key or a column, or that names no condition of the
        screen.

    Example:
      >>> config_models = {'uce': {'model': 'decoded', 'embedding': 'cells.h5ad', 'obsm': 'X_uce', 'preset': 'gears'}}
    """
    check_positive('models.decoded', alpha=alpha)
    names, vectors = _read(embedding, obsm, preset, fields or {})
    _tell_if_constant(vectors, alpha, embedding)

    def fit(compendium: Compendium, training: Masks) -> Params:
        dtype = jax.dtypes.canonicalize_dtype(compendium.screens[0].values.dtype)
        table = condition_table(names, vectors, compendium.vocabulary, embedding, dtype)
        screens = [_fit_screen(*each, table, alpha) for each in zip(compendium.screens, training, strict=True)]
        return Params(table, tuple(screens))

    return Model(fit, _predict)


def _read(embedding: str, obsm: str, preset: str, fields: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """The names of conditions and their vectors."""
    if not obsm:
        if preset or fields:
            raise InputError('models.decoded.fields: they name columns of cells, so give obsm, a key of an h5ad file.')
        return read_embedding(embedding)
    try:
        columns = with_preset(preset, fields={'context_name': 'all', **fields})['fields']
        columns.pop('context', None)  # cells of all contexts count together
        check_settings(Fields, columns, 'data.fields')
        return read_cell_embeddings(embedding, obsm, Fields(**columns))
    except InputError as error:  # says where a screen has its fields
        raise InputError(re.sub(r'\bdata\.(fields|preset)', r'models.decoded.\1', str(error))) from error


def _tell_if_constant(vectors: Float[np.ndarray, 'n D'], alpha: float, path: str) -> None:
    """Warns where the answer cannot be far from the mean of the training profiles, whatever these are."""
    spread = float(((vectors - vectors.mean(axis=0)) ** 2).sum())
    if spread < _HARDLY * alpha:
        logging.warning(
            '%s: the embeddings hardly vary: the squares of their distances from their mean add up to %.3g, beside a '
            'penalty of %g (models.decoded.alpha), so predictions are nearly the mean of the training profiles.',
            *(path, spread, alpha),
        )


def _fit_screen(screen: Screen, training: Bool[Array, ' N'], table: Table, alpha: float) -> ContextFits:
    vectors, values = embed(table, screen.perturbation), jnp.asarray(screen.values)
    used = jnp.asarray(training) & ~jnp.isnan(vectors).any(axis=1)
    return fit_contexts(screen, lambda in_context: regress(vectors, values, used & in_context, alpha))


def regress(
    vectors: Float[jax.Array, 'N D'], values: Float[jax.Array, 'N M'], used: Bool[jax.Array, ' N'], alpha: float
) -> Ridge:
    """The ridge regression of the used profiles on their embeddings.

    A value not measured counts as the mean of its readout. By QR of the embeddings above sqrt(alpha) I, not by normal
    equations, which in float32 lose what is small beside the largest embedding.
    """
    rows = used[:, None]
    centre = jnp.where(rows, vectors, 0).sum(axis=0) / jnp.maximum(used.sum(), 1)
    measured = ~jnp.isnan(values) & rows
    count = measured.sum(axis=0)
    mean = jnp.where(measured, values, 0).sum(axis=0) / jnp.where(count > 0, count, jnp.nan)
    residual = jnp.where(measured, values - mean[None, :], 0)
    axes, along = _turned(jnp.where(rows, vectors - centre[None, :], 0))
    penalty = jnp.sqrt(alpha).astype(along.dtype) * jnp.eye(along.shape[1], dtype=along.dtype)
    basis, triangle = jnp.linalg.qr(jnp.concatenate([along, penalty]))
    weights = solve_triangular(triangle, exact_matmul(basis[: len(along)].T, residual))
    return Ridge(centre, axes, weights, mean)


def _turned(vectors: Float[jax.Array, 'N D']) -> tuple[Float[jax.Array, 'D R'], Float[jax.Array, 'N R']]:
    """Axes that hold all vectors, no more than there are vectors, and the vectors along them."""
    if vectors.shape[0] >= vectors.shape[1]:
        return jnp.eye(vectors.shape[1], dtype=vectors.dtype), vectors
    axes, along = jnp.linalg.qr(vectors.T)
    return axes, along.T


def _predict(params: Params, query: Query) -> Float[jax.Array, 'Q M']:
    """Predictions; NaN for a condition without an embedding."""
    vectors = embed(params.table, query.perturbation)

    def answer(fit: Ridge, column: Int[jax.Array, ' M']) -> Float[jax.Array, 'Q M']:
        along = exact_matmul(vectors - fit.centre[None, :], fit.axes)
        return exact_matmul(along, fit.weights[:, column]) + fit.mean[column][None, :]

    return predict_contexts(params.screens, query, answer)
